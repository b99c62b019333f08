"""One device: its extractors, style targets and engines, made from settings and kept."""

import os
from collections.abc import Iterable
from pathlib import Path

import torch

from stylebatch.architectures import ARCHITECTURES
from stylebatch.errors import UserError
from stylebatch.images import Pixels, style_size
from stylebatch.recipes import Recipe, Settings
from stylebatch.records import Style
from stylebatch.targets import StyleTargets, TargetRequest, to_tensor
from stylebatch.transfer.engine import Engine, Problem, SolverSpec
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.objective import Objective, ObjectiveSpec
from stylebatch.transfer.optimizers import OptimizerSpec
from stylebatch.weights import load_tensors

# Images of these many pixels together are optimised at once. On a CPU larger batches gain nothing
# and only use memory (about 2 KB per pixel to conv3_3).
CPU_PIXEL_BUDGET = 2**17
GPU_BYTES_PER_PIXEL = 6 * 1024
GPU_MEMORY_SHARE = 0.7
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class DeviceError(UserError):
    """A device that this machine does not have, or a precision that none has."""


def available_devices() -> list[str]:
    """Return this machine's devices, the fastest kind first; `cpu` is always there."""
    found = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]


def choose_devices(asked: str | Iterable[str]) -> list[str]:
    """Return the devices to use: for `auto` every GPU, without one the CPU.

    Raises:
        DeviceError: a named device that is not there.
    """
    available = available_devices()
    if asked == "auto":
        gpus = [name for name in available if name.startswith("cuda")]
        return gpus or available[:1]
    names = [asked] if isinstance(asked, str) else list(asked)
    names = ["cuda:0" if name == "cuda" else name for name in names]
    for name in names:
        if name not in available:
            allowed = f"this machine has {', '.join(available)}"
            raise DeviceError("devices", f"no device '{name}'", allowed, "or write auto")
        if names.count(name) > 1:
            raise DeviceError("devices", f"'{name}' twice", "each device once", "remove the repeat")
    return names


def usable_cores() -> int:
    """Return how many cores this process may use: its affinity and its cgroup's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(cores or 1, int(quota) // int(period)))
    except (OSError, ValueError):
        return cores or 1


def choose_precision(asked: str, device: str) -> torch.dtype:
    """Return the dtype of the convolutions; `auto` is bfloat16 where the hardware multiplies it.

    Raises:
        DeviceError: no such precision.
    """
    if asked == "auto":
        return torch.bfloat16 if _multiplies_bfloat16(device) else torch.float32
    if asked not in PRECISIONS:
        allowed = f"one of auto, {', '.join(PRECISIONS)}"
        raise DeviceError("precision", f"no precision '{asked}'", allowed)
    return PRECISIONS[asked]


def _multiplies_bfloat16(device: str) -> bool:
    if device.startswith("cuda"):
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device != "cpu":
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


class Device:
    """What one worker runs on.

    Every extractor that its settings need is built once, no deeper than they need.
    """

    def __init__(self, name: str, root: Path, cache: Path) -> None:
        """Open a device.

        Args:
            root: the folder that style paths start from.
            cache: the folder of cached style targets.
        """
        self.name = name
        self.targets = StyleTargets(root, cache)
        self._extractors: dict[tuple[object, ...], Extractor] = {}

    @property
    def pixel_budget(self) -> int:
        """How many pixels to optimise at once."""
        if not self.name.startswith("cuda"):
            return CPU_PIXEL_BUDGET
        free, _ = torch.cuda.mem_get_info(self.name)
        return int(free * GPU_MEMORY_SHARE / GPU_BYTES_PER_PIXEL)

    def engine(self, settings: Settings, capacity: int, width: int, height: int) -> Engine:
        """Make an engine for images of one size."""
        recipe = settings.recipe
        extractor = self._extractor(settings, choose_precision(settings.precision, self.name))
        objective = Objective(_objective_spec(recipe), extractor)
        return Engine(objective, _solver_spec(recipe), capacity, height, width)

    def problem(
        self,
        key: str,
        settings: Settings,
        engine: Engine,
        pixels: Pixels,
        style: Style,
        strength: float,
        noise_seed: int | None,
    ) -> Problem:
        """Put an image (H, W, 3) and the style's targets for each level of an engine together."""
        grams = tuple(
            self.targets.get(style, request, lambda: self._extractor(settings, torch.float32))
            for request in self._requests(settings, engine)
        )
        content = to_tensor(pixels)
        return Problem(key, content, grams, strength, noise_seed)

    def _requests(self, settings: Settings, engine: Engine) -> list[TargetRequest]:
        """Return one request a level; the style's size scales with the level."""
        recipe, finest = settings.recipe, max(engine.sizes[-1])
        full = style_size(finest) if recipe.style_size_px == "match" else recipe.style_size_px
        return [
            TargetRequest(
                size_px=max(16, round(full * max(size) / finest)),
                layers=tuple(recipe.style_layers),
                layers_digest=settings.layers_digest,
                pooling=recipe.pooling,
                padding=recipe.padding,
                divisor=recipe.gram_divisor,
                device_kind=self.name.split(":")[0],
            )
            for size in engine.sizes
        ]

    def _extractor(self, settings: Settings, dtype: torch.dtype) -> Extractor:
        recipe, weights = settings.recipe, settings.weights
        key = (settings.layers_digest, recipe.layers, recipe.pooling, recipe.padding, dtype)
        if key not in self._extractors:
            self._extractors[key] = Extractor(
                ARCHITECTURES[weights.arch],
                load_tensors(weights, recipe.layers),
                recipe.layers,
                mean=weights.normalisation.mean,
                std=weights.normalisation.std,
                pooling=recipe.pooling,
                padding=recipe.padding,
                device=self.name,
                dtype=dtype,
            )
        return self._extractors[key]


def _objective_spec(recipe: Recipe) -> ObjectiveSpec:
    return ObjectiveSpec(
        content_layers=recipe.content_layers,
        content_loss=recipe.content_loss,
        content_weight=recipe.content_weight,
        style_layers=recipe.style_layers,
        style_loss=recipe.style_loss,
        gram_divisor=recipe.gram_divisor,
        style_weight=recipe.style_weight,
        layer_reduction=recipe.layer_reduction,
        tv_weight=recipe.tv_weight,
    )


def _solver_spec(recipe: Recipe) -> SolverSpec:
    optimizer = OptimizerSpec(
        optimizer=recipe.optimizer,
        history=recipe.history,
        preconditioner_levels=recipe.preconditioner_levels,
        first_rms_change=recipe.first_rms_change,
        max_rms_change=recipe.max_rms_change,
        max_change=recipe.max_change,
        tolerated_rise=recipe.tolerated_rise,
        learning_rate=recipe.learning_rate,
        learning_rate_schedule=recipe.learning_rate_schedule,
        betas=recipe.betas,
        epsilon=recipe.epsilon,
    )
    return SolverSpec(
        start=recipe.start,
        steps=recipe.steps,
        tolerance=recipe.tolerance,
        window=recipe.window,
        keep=recipe.keep,
        levels=recipe.levels,
        optimizer=optimizer,
    )

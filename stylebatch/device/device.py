"""One device: its extractors, style targets and engines, made from settings and kept."""

import gc
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from stylebatch.device.choice import choose_precision, set_cuda_policy
from stylebatch.device.cpu_memory import CPU_PIXEL_BUDGET
from stylebatch.device.from_recipe import input_constants, objective_spec, solver_spec
from stylebatch.device.memory import Peaks, free_bytes, max_images, measure_peaks
from stylebatch.device.requests import Requests, TargetRequest, requests_at
from stylebatch.device.style_targets import StyleTargets
from stylebatch.device.tensors import mask_tensor, to_tensor
from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.extractors.weights import load_planned
from stylebatch.pictures.images import Pixels
from stylebatch.recipes import Settings
from stylebatch.records import Style, StyleImage, device_kind
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.objective import Objective
from stylebatch.transfer.problem import Problem, SolverSpec
from stylebatch.transfer.sizes import at_scale
from stylebatch.transfer.tiled import TiledObjective
from stylebatch.transfer.tiles import WHOLE_PIXELS, Tiling, auto_tile_px, smaller_tile_px

# No extractor needs less (`slim` in bfloat16: docs/lab/benchmarks.md). What fits is measured for
# each shape; this only bounds how many jobs the scheduler keeps at hand for a GPU.
GPU_LEAST_BYTES_PER_PIXEL = 512


class Device:
    """What one worker runs on.

    Every extractor that its settings need is built once, no deeper than they need.
    """

    def __init__(
        self,
        name: str,
        root: Path,
        cache: Path,
        tell: Callable[[str], object] = lambda text: None,
    ) -> None:
        """Open a device.

        Args:
            root: the folder that style paths start from.
            cache: the folder of cached style targets.
            tell: is told what is wrong with the cache, which stops nothing.
        """
        self.name = name
        self.targets = StyleTargets(root, cache, tell)
        self._extractors: dict[tuple[object, ...], Extractor] = {}
        self._peaks: dict[tuple[object, ...], Peaks] = {}
        # Of tiles, by settings, height and width, where memory has not sufficed for larger ones.
        self._tile_px: dict[tuple[str, int, int], int] = {}
        self._is_cuda = name.startswith("cuda")
        if self._is_cuda:
            set_cuda_policy()

    @property
    def model(self) -> str:
        """What a GPU calls itself; "" of a CPU."""
        return torch.cuda.get_device_name(self.name) if self._is_cuda else ""

    @property
    def pixel_budget(self) -> int:
        """How many pixels to optimise at once at most, whatever their images' shape."""
        if not self._is_cuda:
            return CPU_PIXEL_BUDGET
        return free_bytes(torch.device(self.name)) // GPU_LEAST_BYTES_PER_PIXEL

    def pixel_budget_of(
        self, settings: Settings, width: int, height: int, *, is_masked: bool = False
    ) -> int:
        """How many pixels to optimise at once of images of one shape: on a GPU by a probe."""
        if not self._is_cuda:
            return CPU_PIXEL_BUDGET
        key = (settings.id, width, height, is_masked)
        size = height, width
        objective, spec = self.objective(settings, size), self._solver_spec(settings)
        try:
            if key not in self._peaks:
                self._peaks[key] = measure_peaks(
                    objective, spec.optimizer, size, is_masked=is_masked
                )
        except torch.OutOfMemoryError:
            # One may fit all the same, and if not, it may in tiles.
            return width * height
        free = free_bytes(objective.extractor.device)
        return max_images(free, self._peaks[key]) * width * height

    def free_memory(self) -> None:
        """Give back what torch keeps of freed memory, in pieces that may not fit what comes."""
        gc.collect()
        if self._is_cuda:
            torch.cuda.empty_cache()

    def engine(self, settings: Settings, capacity: int, width: int, height: int) -> Engine:
        """Make an engine for images of one size."""
        size = height, width
        objective, spec = self.objective(settings, size), self._solver_spec(settings)
        return Engine(objective, spec, capacity, height, width)

    def objective(self, settings: Settings, size: tuple[int, int] | None = None) -> Objective:
        """Return what settings ask to be optimised, in their precision.

        Args:
            size: (height, width) of the images, where memory may not have sufficed for theirs.
        """
        extractor = self._extractor(settings, choose_precision(settings.precision, self.name))
        spec, tiling = objective_spec(settings.recipe), self._tiling(settings, extractor, size)
        if tiling is None:
            return Objective(spec, extractor)
        return TiledObjective(spec, extractor, tiling)

    def _tiling(
        self, settings: Settings, extractor: Extractor, size: tuple[int, int] | None
    ) -> Tiling | None:
        """Return which images are cut into tiles; None: none is."""
        asked = settings.recipe.tile_px
        if size is not None and (known := self._tile_px.get((settings.id, *size))):
            return Tiling(known, known**2)
        if asked == "none" or (asked == "auto" and self._is_cuda):
            return None
        if asked == "auto":
            edge = auto_tile_px(extractor.reach_of(layer) for layer in extractor.taps)
            return Tiling(edge, WHOLE_PIXELS)
        return Tiling(asked, asked**2)

    def shrink_tiles(self, settings: Settings, width: int, height: int) -> int:
        """Let images of one size be evaluated in smaller tiles, as memory has not sufficed.

        Returns:
            their edge; 0 where there are no smaller ones, or none are wanted.
        """
        if settings.recipe.tile_px == "none":
            return 0
        size = height, width
        objective, tried = self.objective(settings, size), None
        if isinstance(objective, TiledObjective) and objective.tiling.cuts(*size):
            tried = objective.tiling.tile_px
        edge = smaller_tile_px(tried, *size)
        if edge:
            self._tile_px[settings.id, *size] = edge
        return edge

    def _solver_spec(self, settings: Settings) -> SolverSpec:
        constants = settings.weights.normalisation
        return solver_spec(settings.recipe, constants, settings.smallest_edge_px)

    def problem(
        self,
        key: str,
        settings: Settings,
        engine: Engine,
        *,
        pixels: Pixels,
        style: Style,
        strength: float,
        noise_seed: int | None,
        mask: Pixels | None = None,
    ) -> Problem:
        """Put an image and the style's targets for each level of an engine together.

        Args:
            pixels: (H, W, 3), the content at work size.
            mask: (H, W), 255 where the style applies, 0 where the content stays.

        Raises:
            StyleError, ImageError: as `StyleTargets.get`.
        """
        recipe = settings.recipe
        requests = self._requests(settings, engine)
        colors = pixels if recipe.color == "matched" else None
        height, width = pixels.shape[:2]
        start = None
        if "style" in recipe.start_shares:
            start = self.targets.image(style, width, height, requests[-1][0][0], colors)
        return Problem(
            key,
            self._upload(to_tensor(pixels, recipe.input_stretch)),
            tuple(self._targets_at(scales, settings, style, colors) for scales in requests),
            strength,
            noise_seed,
            None if start is None else self._upload(start),
            None if mask is None else self._upload(mask_tensor(mask)),
        )

    def style_chroma(
        self, settings: Settings, engine: Engine, pixels: Pixels, style: Style
    ) -> float:
        """Return the fine chroma of a style at the size at which a content is given it.

        Args:
            pixels: (H, W, 3), the content at work size.

        Raises:
            StyleError, ImageError: as `StyleTargets.get`.
        """
        request = self._requests(settings, engine)[-1][0][0]
        colors = pixels if settings.recipe.color == "matched" else None
        return self.targets.fine_chroma(style, request, colors)

    def warm(self, settings: Settings, image: StyleImage, request: TargetRequest) -> bool:
        """Have targets of a style image kept; return whether they were computed for it.

        Errors as `StyleTargets.warm`.
        """
        return self.targets.warm(image, request, lambda: self._extractor(settings, torch.float32))

    def _upload(self, tensor: Tensor) -> Tensor:
        """Bring a tensor to a GPU in the order of its other work, without waiting for it."""
        if not self._is_cuda:
            return tensor
        return tensor.pin_memory().to(self.name, non_blocking=True)

    def _targets_at(
        self,
        requests: list[list[TargetRequest]],
        settings: Settings,
        style: Style,
        colors: Pixels | None,
    ) -> Mapping[str, Tensor]:
        """Return the style's statistics by layer and scale, averaged over the style's sizes."""

        def extractor() -> Extractor:
            return self._extractor(settings, torch.float32)

        found = {}
        for of_scale in requests:
            sizes = [self.targets.get(style, request, extractor, colors) for request in of_scale]
            for layer, one in sizes[0].items():
                every = [size[layer] for size in sizes]
                mean = torch.stack(every).mean(0) if len(every) > 1 else one
                found[at_scale(layer, of_scale[0].halvings)] = self._upload(mean)
        return found

    def _requests(self, settings: Settings, engine: Engine) -> Requests:
        """Return requests by level, by scale, by the style's sizes, which go with the level."""
        return requests_at(settings, engine.sizes, device_kind(self.name))

    def _extractor(self, settings: Settings, dtype: torch.dtype) -> Extractor:
        recipe, weights = settings.recipe, settings.weights
        mean, std = input_constants(recipe, weights.normalisation)
        key = (settings.layers_digest, recipe.layers, recipe.pooling, recipe.padding, mean, std)
        if (*key, dtype) not in self._extractors:
            self._extractors[*key, dtype] = Extractor(
                ARCHITECTURES[weights.arch],
                load_planned(weights, recipe.layers, settings.layers_digest),
                recipe.layers,
                mean=mean,
                std=std,
                pooling=recipe.pooling,
                padding=recipe.padding,
                device=self.name,
                dtype=dtype,
            )
        return self._extractors[*key, dtype]

"""A photograph and a style, square, and the objective between them."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.setting.inputs import STYLES, photograph_paths, settings_of, square
from benchmarks.setting.networks import load_extractor
from stylebatch.device.from_recipe import objective_spec
from stylebatch.device.style_statistics import image_statistics
from stylebatch.device.target_files import Statistics
from stylebatch.device.tensors import to_pixels, to_tensor
from stylebatch.recipes import Settings
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.objective import Objective, Targets
from stylebatch.transfer.starts import draw_noise

NUM_PAIRS = 8


class Pair:
    """A photograph, a style, and `balanced`'s objective between them (VGG-19 to conv3_3).

    Its settings run to the end of the budget.
    """

    def __init__(self, shared: Path, photograph: Path, style: str, edge: int, start: str) -> None:
        self.edge, self.start_name = edge, start
        self.name = pair_name(photograph, style)
        self.settings = settings_of(shared, tolerance=0.0, start=start)
        self.content = to_tensor(square(photograph, edge))
        self.start = draw_noise(0, (edge, edge)) if start == "noise" else self.content
        self._style = shared / STYLES / f"{style}.jpg"
        self.statistics = self.statistics_at(edge)

    def statistics_at(self, edge: int) -> Statistics:
        """Return the style's statistics at a pyramid level's edge."""
        objective = objective_in(self.settings, torch.float32)
        style = to_tensor(square(self._style, edge))
        return image_statistics(style, objective.spec, objective.extractor)

    @cached_property
    def targets(self) -> Targets:
        """The targets in float32."""
        objective = objective_in(self.settings, torch.float32)
        return objective.targets(self.content, self.statistics, self.settings.recipe.strength)

    def evaluate(self, image: Tensor) -> tuple[float, Tensor]:
        """Return the loss and the gradient (1, 3, H, W) of an image, in float32."""
        losses, gradient = objective_in(self.settings, torch.float32).evaluate(image, self.targets)
        return float(losses.total), gradient

    def judge(self, image: Tensor) -> float | None:
        """Return the float32 loss of an image as it would be saved; None on a coarser level."""
        if image.shape != self.content.shape:
            return None
        saved = to_tensor(to_pixels(image.detach().clamp(0, 1)))
        objective = objective_in(self.settings, torch.float32)
        with torch.no_grad():
            return float(objective.losses(saved, self.targets).total)


def make_pairs(shared: Path, edge: int, start: str, count: int = NUM_PAIRS) -> Iterator[Pair]:
    """Yield pairs: those of `choose_pairs`."""
    for photograph, style in choose_pairs(shared, count):
        yield Pair(shared, photograph, style, edge, start)


def pair_name(photograph: Path, style: str) -> str:
    """Return what a pair is called."""
    return f"{photograph.stem} × {style}"


def choose_pairs(shared: Path, count: int = NUM_PAIRS) -> list[tuple[Path, str]]:
    """Return photographs, the first of each class, each with a style's name, styles by turns."""
    styles = sorted(path.stem for path in (shared / STYLES).iterdir())
    photographs = photograph_paths(shared, count)
    return [(path, styles[index % len(styles)]) for index, path in enumerate(photographs)]


_made: dict[tuple[str, torch.dtype], Extractor] = {}


def objective_in(settings: Settings, precision: torch.dtype) -> Objective:
    """Return the objective with convolutions in a precision; its extractor is made once."""
    key = (settings.id, precision)
    if key not in _made:
        _made[key] = load_extractor(settings.weights, settings.recipe, precision)
    return Objective(objective_spec(settings.recipe), _made[key])

"""What every batched optimiser over pixels in [0, 1] is told and does: per-image state throughout.

Each works by asking and telling: `ask(n)` gives the points to evaluate, `tell(n, losses,
gradients)` takes what came out and says which were accepted; `restore` sends some of them back.
Slots 0…n-1 are in use; `admit` resets one, `move` copies one into another's place, `export` and
`resume` carry one's whole state to another optimiser. No number of one slot enters another's, and
but for `export` nothing waits for the device.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from stylebatch.transfer.by_slot import SlotState
from stylebatch.transfer.reductions import max_abs_pixels

# By what every length of step is multiplied where an image is restored.
CARE = 0.25


@dataclass(frozen=True, slots=True)
class OptimizerSpec:
    """Fields are those of `recipes.Recipe`; changes are of pixels in [0, 1].

    `learning_rate` and `epsilon` are stated in units of `pixel_scale`, by channel.
    """

    optimizer: str
    history: int
    preconditioner_levels: int
    first_rms_change: float
    max_rms_change: float
    max_change: float
    tolerated_rise: float
    learning_rate: float
    learning_rate_schedule: str
    betas: tuple[float, float]
    epsilon: float
    clamp: bool = True
    pixel_scale: tuple[float, float, float] = (1.0, 1.0, 1.0)


class Optimizer(Protocol):
    """What the engine needs of an optimiser over (B, 3, H, W).

    Attributes:
        max_refused: refused steps in a row from which it does not get on by itself.
        max_not_finite: the same where losses or gradients are no numbers.
    """

    max_refused: int
    max_not_finite: int

    def admit(self, slot: int, start: Tensor, budget: int) -> None:
        """Reset a slot to a start (3, H, W) and its budget of evaluations."""

    def move(self, source: int, target: int) -> None:
        """Copy a slot's whole state into another slot."""

    def export(self, slot: int) -> dict[str, Tensor]:
        """Return copies of all that a slot's image has to go on with, on the CPU, by name."""

    def resume(self, slot: int, state: SlotState) -> None:
        """Put what `export` gave into a slot, whichever: it goes on with the same bits."""

    def ask(self, active: int) -> Tensor:
        """Return the points (n, 3, H, W) at which the first n slots want an evaluation."""

    def tell(self, active: int, losses: Tensor, gradients: Tensor) -> Tensor:
        """Take losses (n,) and gradients (n, 3, H, W) there; return which were accepted (n,)."""

    def restore(self, failed: Tensor, points: Tensor) -> None:
        """Go on from points (n, 3, H, W) where failed (n,), more carefully.

        What was learnt on the way (curvature, moments) is forgotten, and steps are shorter by
        `CARE` from then on, each time again, until a new image is admitted.
        """


def unit_of(gradients: Tensor) -> Tensor:
    """Return for each image a power of two that brings its largest slope to about 1: (B,).

    Losses are in units of their recipes: squares of slopes of 10²⁰ or 10⁻²⁵ don't fit into float32.
    Multiplying by a power of two changes no digit.
    """
    largest = max_abs_pixels(gradients).clamp(1e-30, 1e38)
    mantissa, _ = torch.frexp(largest)
    return mantissa / largest

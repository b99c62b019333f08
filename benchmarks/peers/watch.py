"""A clock that stops while what it sees is put aside: what a run would hand back, and when."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from stylebatch.pictures.images import Pixels


class Watch:
    """Keeps what a run would hand back after each evaluation, with the CPU time up to there.

    Attributes:
        seconds: after each evaluation, without what keeping took.
        images: what would be saved then, (H, W, 3) in 8 bits.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.images: list[Pixels] = []
        self._began = 0.0

    def begin(self) -> None:
        """Let the time count from now."""
        self._began = time.process_time()

    def saw(self, make_pixels: Callable[[], Pixels]) -> None:
        """Take what would be handed back after one more evaluation."""
        now = time.process_time()
        self.seconds.append(now - self._began)
        self.images.append(make_pixels())
        self._began += time.process_time() - now


class WatchedLBFGS(torch.optim.LBFGS):
    """torch's own, whose evaluations a watch sees; the last of them is there for later.

    Attributes:
        image: the one parameter.
        closure: what it was stepped with: evaluates `image`, and returns the loss.
    """

    watch: Watch
    make_pixels: Callable[[Tensor], Pixels]
    made: "WatchedLBFGS"

    def __init__(self, params: Any, **options: Any) -> None:
        params = list(params)
        super().__init__(params, **options)
        (self.image,) = params
        type(self).made = self

    def step(self, closure: Any) -> Any:  # type: ignore[override]
        """Step as torch does."""
        self.closure, kind = closure, type(self)

        def watched() -> Any:
            loss = closure()
            kind.watch.saw(lambda: kind.make_pixels(self.image.detach()))
            return loss

        if not kind.watch.seconds:
            kind.watch.begin()
        return super().step(watched)  # type: ignore[no-untyped-call]


def watched_by(watch: Watch, make_pixels: Callable[[Tensor], Pixels]) -> type[WatchedLBFGS]:
    """Return an optimiser to put in the place of `torch.optim.LBFGS`.

    Args:
        make_pixels: what the tool saves of its parameter.
    """
    attributes = {"watch": watch, "make_pixels": staticmethod(make_pixels)}
    return type("LBFGS", (WatchedLBFGS,), attributes)

"""Optimisers by the name that recipes have for them."""

from collections.abc import Callable

from torch import Tensor

from stylebatch.transfer.optimizers.adam import Adam
from stylebatch.transfer.optimizers.lbfgs import ProjectedLBFGS
from stylebatch.transfer.optimizers.protocol import Optimizer, OptimizerSpec

OPTIMIZERS: dict[str, Callable[[OptimizerSpec, int, tuple[int, int], Tensor], Optimizer]] = {
    "lbfgs": ProjectedLBFGS,
    "adam": Adam,
}

"""Optimisers for tests, and functions whose minimum is known."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from stylebatch.transfer.optimizers import OPTIMIZERS
from stylebatch.transfer.optimizers.protocol import Optimizer, OptimizerSpec

LIKE = torch.zeros(0)


SHAPE = (3, 4, 4)


Function = Callable[[Tensor], tuple[Tensor, Tensor]]


def spec(**changes: Any) -> OptimizerSpec:
    fields: dict[str, Any] = {
        "optimizer": "lbfgs",
        "history": 5,
        "preconditioner_levels": 0,
        "first_rms_change": 0.05,
        "max_rms_change": 0.05,
        "max_change": 0.25,
        "tolerated_rise": 0.02,
        "learning_rate": 0.02,
        "learning_rate_schedule": "constant",
        "betas": (0.9, 0.999),
        "epsilon": 1e-8,
    }
    return OptimizerSpec(**{**fields, **changes})


def make(spec: OptimizerSpec, capacity: int = 1, size: tuple[int, int] = (4, 4)) -> Optimizer:
    return OPTIMIZERS[spec.optimizer](spec, capacity, size, LIKE)


def quadratic(condition: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return A (48, 48), of that condition number, and c (48,), partly outside [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    Q, _ = torch.linalg.qr(torch.randn(48, 48, generator=generator, dtype=torch.float64))
    A = Q @ torch.diag(torch.logspace(0, math.log10(condition), 48, dtype=torch.float64)) @ Q.T
    return A, 2 * torch.rand(48, generator=generator, dtype=torch.float64) - 0.5


def function_of(A: Tensor, c: Tensor) -> Function:
    """Return x (n, 3, 4, 4) → ½ (x-c)ᵀA(x-c) and its gradient."""

    def evaluate(x: Tensor) -> tuple[Tensor, Tensor]:
        offset = x.flatten(1).double() - c
        slopes = offset @ A
        losses = 0.5 * (offset * slopes).sum(1)
        return losses.float(), slopes.view(x.shape).float()

    return evaluate

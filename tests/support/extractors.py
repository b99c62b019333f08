"""Extractors with seeded random filters, and how far two results are apart."""

from typing import Any

import torch
from support import naive
from torch import Tensor

from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.transfer.extractor import Extractor


def relative_error(found: Tensor, wanted: Tensor) -> float:
    assert found.shape == wanted.shape
    return float((found.double() - wanted).norm() / wanted.norm())


MEAN, STD = (torch.tensor(values).view(3, 1, 1) for values in (naive.MEAN, naive.STD))


def tensors_of(arch: str) -> dict[str, tuple[Tensor, Tensor]]:
    state = naive.random_network(arch).state_dict(prefix="features.")
    for layer, head in naive.random_heads(arch).items() if arch in naive.SLIM else ():
        state |= head.state_dict(prefix=f"heads.{layer}.")
    for layer, branch in naive.random_branches(arch).items():
        state |= branch.state_dict(prefix=f"branches.{layer}.")
    return {
        part.name: (state[f"{part.parameters}.weight"], state[f"{part.parameters}.bias"])
        for part in ARCHITECTURES[arch].convolutions()
    }


def of(arch: str, layers: tuple[str, ...], **options: Any) -> Extractor:
    constants: dict[str, Any] = {"mean": naive.MEAN, "std": naive.STD}
    return Extractor(ARCHITECTURES[arch], tensors_of(arch), layers, **constants, **options)

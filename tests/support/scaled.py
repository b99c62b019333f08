"""The objective on several scales beside the formulas of `naive_scales`, on images of 64×80 px."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from support import naive, naive_scales
from torch import Tensor

from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.objective import Losses, Objective, ObjectiveSpec

SPEC: dict[str, Any] = {
    "content_layers": {"relu1_2": 2, "conv2_1": 1},
    "content_loss": "relative",
    "content_weight": 3,
    "style_layers": {"conv1_1": 1, "relu2_1": 4},
    "statistic": "gram",
    "scales": (1,),
    "content_scales": (1,),
    "style_loss": "relative",
    "gram_divisor": "n",
    "style_weight": 5,
    "strength_acts_on": "style_weight",
    "layer_reduction": "mean",
    "tv_weight": 0.01,
    "tv_divisor": "none",
    "tv_border": False,
}
CONTENT, STYLE = naive.draw(3, 64, 80, seed=1), naive.draw(3, 72, 64, seed=2).square()
# Three scales of the style, two of the content.
THREE = {**SPEC, "scales": (1, 2, 1), "content_scales": (2, 1)}
IMAGE = (0.8 * CONTENT + 0.2 * naive.draw(3, 64, 80, seed=3)).clamp(0, 1)


# Where the mask of `blob` is black.
LEFT = 21


def blob(seed: int = 7) -> Tensor:
    """Draw a mask (64, 80): black at the left, white at the right, grey between."""
    mask = naive.draw(64, 80, seed=seed)
    mask[:, :LEFT] = 0
    mask[:, 60:] = 1
    return mask


def make_objective(spec: Mapping[str, Any]) -> Objective:
    layers = [*spec["content_layers"], *spec["style_layers"]]
    constants: dict[str, Any] = {"mean": naive.MEAN, "std": naive.STD}
    extractor = Extractor(ARCHITECTURES["vgg19"], naive.weights(), layers, **constants)
    return Objective(ObjectiveSpec(**spec), extractor)


def evaluate(
    spec: Mapping[str, Any],
    image: Tensor,
    strength: float = 1,
    mask: Tensor | None = None,
    *,
    content: Tensor = CONTENT,
    style: Mapping[str, Tensor] | None = None,
) -> tuple[Losses, Tensor]:
    """Return the terms of one image (3, H, W), (1,) each, and its gradient (1, 3, H, W).

    Args:
        mask: (H, W).
        style: as `naive_scales.given` returns it; that of `STYLE` without it.
    """
    objective = make_objective(spec)
    style = naive_scales.given(STYLE, spec) if style is None else style
    of_mask = None if mask is None else mask[None, None]
    targets = objective.targets(content[None], style, strength, of_mask)
    return objective.evaluate(image[None], targets)


def assert_agrees(
    spec: Mapping[str, Any],
    strength: float = 1,
    mask: Tensor | None = None,
    *,
    image: Tensor = IMAGE,
    content: Tensor = CONTENT,
) -> None:
    """Compare all terms to 1e-5 of their value, and the gradient to 1e-4 of its norm."""
    losses, gradient = evaluate(spec, image, strength, mask, content=content)
    x = image.double().requires_grad_()
    style = naive_scales.given(STYLE, spec)
    wanted = naive_scales.terms(x, content, style, spec, strength, mask)
    for name, value in losses._asdict().items():
        assert float(value) == pytest.approx(float(wanted[name].detach()), rel=1e-5), name
    (slope,) = torch.autograd.grad(wanted["total"], x)
    assert float((gradient[0].double() - slope).norm() / slope.norm()) < 1e-4

"""The published objectives, each written out from the literature with its numbers as literals.

float64, one image, torchvision's VGG-19 with random filters; nothing here imports stylebatch or
reads a recipe. F, P and S are the feature maps of the image, of the content and of the style.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import support.balanced
import torch
from support import naive
from torch import Tensor

Maps = dict[str, Tensor]
# content, style without strength, total variation
Three = tuple[Tensor, Tensor, Tensor]
NONE = torch.zeros((), dtype=torch.float64)
MEAN = torch.tensor(naive.MEAN).double().view(3, 1, 1)
STD = torch.tensor(naive.STD).double().view(3, 1, 1)
RELU_1 = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONV_1 = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")


def published_terms(
    name: str, image: Tensor, content: Tensor, style: Tensor, strength: float, **variant: Any
) -> dict[str, Tensor]:
    """Return a recipe's total, content, style and tv at an image; differentiable by the image.

    Args:
        image, content, style: (3, H, W) in [0, 1]; the image in the variable after any stretch.
        variant: what a formula takes beside them: pooling, the powers of the style difference, or
            the network's dtype.
    """
    if name in ON_AN_AXIS:
        variant["strength"], factor = strength, 1.0
    else:
        factor = strength
    content, style, tv = PUBLISHED[name](image.double(), content, style, **variant)
    style = factor * style
    return {"total": content + style + tv, "content": content, "style": style, "tv": tv}


def maps(image: Tensor, *layers: str, **options: Any) -> Maps:
    found = naive.feature_maps(image[None], layers, **options)
    return {layer: found[layer][0] for layer in layers}


def three_maps(images: Sequence[Tensor], *layers: str, **options: Any) -> tuple[Maps, ...]:
    return tuple(maps(image, *layers, **options) for image in images)


def gram(features: Tensor) -> Tensor:
    return naive.gram(features, "none")


def mean_square(difference: Tensor) -> Tensor:
    return (difference**2).sum() / difference.numel()


def shallow(*images: Tensor, **options: Any) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Return F-P at conv2_2, and G/(C·N) and A/(C·N) at the first five convolutions."""
    layers = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1")
    F, P, S = three_maps(images, *layers, **options)
    pairs = [
        (gram(F[layer]) / F[layer].numel(), gram(S[layer]) / S[layer].numel()) for layer in layers
    ]
    return F["conv2_2"] - P["conv2_2"], pairs


def perceptual(*images: Tensor, pooling: str = "max") -> Three:
    """mean (F-P)² + Σ 1000 · mean ((G-A)/(C·N))²."""
    difference, pairs = shallow(*images, pooling=pooling)
    return mean_square(difference), sum((1000 * mean_square(G - A) for G, A in pairs), NONE), NONE


def pytorch_tutorial(*images: Tensor, pooling: str = "max") -> Three:
    """mean (1·F-1·P)² + Σ mean (1000·G/(C·N) - 1000·A/(C·N))², the input not normalised."""
    difference, pairs = shallow(*images, pooling=pooling, normalisation="none")
    style = sum((mean_square(1000 * G - 1000 * A) for G, A in pairs), NONE)
    return mean_square(1 * difference), style, NONE


def keras(
    image: Tensor, content: Tensor, style: Tensor, *, powers: tuple[int, ...] = (2,)
) -> Three:
    """0.08 · Σ (F-P)² + Σ w · Σ (G-A)² / (4·3²·S²) + Σ (a+b)^1.25 in 0–255."""
    F, P, S = three_maps((image, content, style), *RELU_1, "relu5_2")
    painted = NONE
    size = image.shape[1] * image.shape[2]
    for layer, weight in zip(RELU_1, (0.1, 0.1, 0.4, 0.3, 0.1), strict=True):
        difference = gram(F[layer]) - gram(S[layer])
        power = sum((difference**power).sum() for power in powers)
        painted = painted + weight * power / (4 * 3**2 * size**2)
    x = 255 * image
    a = (x[:, :-1, :-1] - x[:, 1:, :-1]) ** 2
    b = (x[:, :-1, :-1] - x[:, :-1, 1:]) ** 2
    return 0.08 * ((F["relu5_2"] - P["relu5_2"]) ** 2).sum(), painted, ((a + b) ** 1.25).sum()


def stretched(image: Tensor) -> Tensor:
    """Return an image with its least value over all channels at 0, its greatest at 1."""
    low, high = image.double().min(), image.double().max()
    return (image.double() - low) / (high - low)


def matlab(image: Tensor, content: Tensor, style: Tensor) -> Three:
    """½ mean (F-P)² + 1000 · Σ w · mean (G-A)² / (H·W·C)², average pooling, inputs stretched."""
    images = (image, stretched(content), stretched(style))
    F, P, S = three_maps(images, *CONV_1, "conv4_2", pooling="average")
    painted = NONE
    for layer, weight in zip(CONV_1, (0.5, 1, 1.5, 3, 4), strict=True):
        channels, height, width = S[layer].shape
        loss = mean_square(gram(F[layer]) - gram(S[layer])) / (height * width * channels) ** 2
        painted = painted + 1000 * weight * loss
    return 0.5 * mean_square(F["conv4_2"] - P["conv4_2"]), painted, NONE


def feili(*images: Tensor) -> Three:
    """10⁴ · mean (F-P)² + 10 · Σ mean ((G-A)/(C·N))², after the activation."""
    F, P, S = three_maps(images, *RELU_1, "relu4_2")
    differences = (
        mean_square(gram(F[layer]) / F[layer].numel() - gram(S[layer]) / S[layer].numel())
        for layer in RELU_1
    )
    style = sum(differences, NONE)
    return 10000 * mean_square(F["relu4_2"] - P["relu4_2"]), 10 * style, NONE


def gatys(*images: Tensor, pooling: str = "max") -> Three:
    """mean (F-P)² + Σ 10³/n² · mean ((G-A)/N)²."""
    F, P, S = three_maps(images, *RELU_1, "relu4_2", pooling=pooling)
    painted = NONE
    for layer, n in zip(RELU_1, (64, 128, 256, 512, 512), strict=True):
        G, A = (gram(x[layer]) / x[layer][0].numel() for x in (F, S))
        painted = painted + 1000 / n**2 * mean_square(G - A)
    return mean_square(F["relu4_2"] - P["relu4_2"]), painted, NONE


def neural_style(image: Tensor, content: Tensor, style: Tensor, **options: Any) -> Three:
    """5 · mean (F-P)² + 100 · Σ mean ((G-A)/(C·N))² + 10⁻³/2 · Σ (dx²+dy²), pixels ×256."""
    images = (image, content, style)
    F, P, S = three_maps(images, *RELU_1, "relu4_2", input_range=256, **options)
    differences = (
        100 * mean_square(gram(F[layer]) / F[layer].numel() - gram(S[layer]) / S[layer].numel())
        for layer in RELU_1
    )
    painted = sum(differences, NONE)
    tv = 0.001 / 2 * naive.total_variation(256 * image)
    return 5 * mean_square(F["relu4_2"] - P["relu4_2"]), painted, tv


def scale_free(images: Sequence[Tensor], content_layer: str, *style_layers: str) -> Three:
    """mean (F-P)² / mean P² + 10 · the mean over layers of ‖G-A‖² / ‖A‖², per position."""
    F, P, S = three_maps(images, content_layer, *style_layers)
    style = []
    for layer in style_layers:
        G, A = (gram(x[layer]) / x[layer][0].numel() for x in (F, S))
        style.append(((G - A) ** 2).sum() / (A**2).sum())
    content = mean_square(F[content_layer] - P[content_layer]) / mean_square(P[content_layer])
    return content, 10 * sum(style, NONE) / len(style), NONE


def balanced_2026_11(*images: Tensor) -> Three:
    return scale_free(images, "conv3_3", "conv1_1", "conv2_1", "conv3_1")


def deep_2026_11(*images: Tensor) -> Three:
    return scale_free(images, "conv4_2", *CONV_1)


def balanced(image: Tensor, content: Tensor, style: Tensor, strength: float) -> Three:
    found = support.balanced.terms(image, content, style, strength)
    return found["content"], found["style"], found["tv"]


def augment(image: Tensor, content: Tensor, style: Tensor, strength: float) -> Three:
    content, style, tv = balanced(image, content, style, strength)
    return content, style, tv * (2e-4 / 6.5e-5)


def deep(image: Tensor, content: Tensor, style: Tensor, strength: float) -> Three:
    found = support.balanced.terms(image, content, style, strength, "conv4_2", RELU_1)
    return found["content"], found["style"], found["tv"]


# Of which strength is no factor: it is within their formulas.
ON_AN_AXIS = ("augment", "balanced", "deep")
PUBLISHED: dict[str, Callable[..., Three]] = {
    "augment": augment,
    "balanced": balanced,
    "balanced-2026-11": balanced_2026_11,
    "deep": deep,
    "deep-2026-11": deep_2026_11,
    "feili": feili,
    "gatys": gatys,
    "keras": keras,
    "matlab": matlab,
    "neural-style": neural_style,
    "perceptual": perceptual,
    "pytorch-tutorial": pytorch_tutorial,
}


def adain_style(image: Tensor, style: Tensor, layers: Iterable[str]) -> Tensor:
    """Σ over layers of the mean square difference of the channels' means and deviations.

    Source: Huang & Belongie 2017, equation 13, with the squares and the 1e-5 of their code.
    """
    total = NONE
    for layer in layers:
        one, other = (maps(x, layer)[layer].flatten(1) for x in (image, style))
        differences = []
        for mine, theirs in zip(one, other, strict=True):
            differences.append(mine.mean() - theirs.mean())
            differences.append(deviation(mine) - deviation(theirs))
        total = total + mean_square(torch.stack(differences))
    return total


def deviation(values: Tensor) -> Tensor:
    return torch.sqrt(((values - values.mean()) ** 2).sum() / len(values) + 1e-5)


# --- the published initial images ------------------------------------------------------------


def noise_in(name: str, start: Tensor, content: Tensor) -> Tensor:
    """Return what a source must have drawn for its initial image to be this one, (3, H, W).

    matlab: x = 0.7 · noise + (1 - 0.7) · content, both in 0–255 minus the mean pixel.
    neural-style: x = 0.001 · noise, in 0–256 minus the mean pixel.
    """
    if name == "matlab":
        x = 255 * (start.double() - MEAN)
        return (x - (1 - 0.7) * 255 * (stretched(content) - MEAN)) / 0.7
    assert name == "neural-style"
    return (256 * start.double() - 255 * MEAN) / 0.001

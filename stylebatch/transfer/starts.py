"""Initial images: the content, the style, noise, or a mix of them around the mean pixel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class StartSpec:
    """What an image starts from; fields are those of `recipes.Recipe`.

    Attributes:
        shares: content | style | noise → share.
        mean: the mean pixel of the extractor's input, RGB in [0, 1].
        pixel_scale: by channel; `noise_scale` is stated in its units.
        clamp: whether the start is brought into [0, 1].
    """

    shares: Mapping[str, float]
    noise: str = "uniform"
    noise_scale: float = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pixel_scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    clamp: bool = True

    @property
    def is_content(self) -> bool:
        """Whether it is the content as it is."""
        return dict(self.shares) == {"content": 1.0}


def draw_noise(seed: int, size: tuple[int, int]) -> Tensor:
    """Draw (1, 3, *size), uniform in [0, 1], on the CPU: the same on any device."""
    return torch.rand((1, 3, *size), generator=torch.Generator().manual_seed(seed))


def make_start(
    spec: StartSpec,
    size: tuple[int, int],
    images: Mapping[str, Tensor],
    noise_seed: int | None,
    device: torch.device,
) -> Tensor:
    """Return the initial image, (1, 3, *size): mean + Σ share · (image - mean), and the noise.

    Source: of the mix, MathWorks' example; around the mean pixel because the extractor's input is
    centred there.

    Args:
        images: content and style, where they have a share, (1, 3, *size) in [0, 1].
        noise_seed: where noise has a share.
    """
    if len(spec.shares) == 1 and "noise" not in spec.shares and 1.0 in spec.shares.values():
        return images[next(iter(spec.shares))].to(device)
    if dict(spec.shares) == {"noise": 1.0} and spec.noise == "uniform":
        assert noise_seed is not None, "a noise start needs a seed"
        return draw_noise(noise_seed, size).to(device)
    mean = _by_channel(spec.mean)
    start = mean.expand(1, 3, *size).clone()
    for name, share in spec.shares.items():
        if name == "noise":
            assert noise_seed is not None, "a noise start needs a seed"
            start += share * _draw_deviation(spec, size, noise_seed)
        else:
            start += share * (images[name].cpu() - mean)
    return (start.clamp_(0, 1) if spec.clamp else start).to(device)


def _draw_deviation(spec: StartSpec, size: tuple[int, int], seed: int) -> Tensor:
    """Draw noise on the CPU as what is added to the mean pixel, in units of [0, 1]."""
    if spec.noise == "uniform":
        return draw_noise(seed, size) - _by_channel(spec.mean)
    generator = torch.Generator().manual_seed(seed)
    shape = (1, 3, *size)
    if spec.noise == "normal":
        noise = spec.noise_scale * torch.randn(shape, generator=generator)
    else:
        largest = round(spec.noise_scale)
        noise = torch.randint(-largest, largest + 1, shape, generator=generator).float()
    return noise / _by_channel(spec.pixel_scale)


def _by_channel(values: Sequence[float]) -> Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)

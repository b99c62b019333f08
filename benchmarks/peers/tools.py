"""The PyTorch tutorial and neural-style-pt, each run as it is and asked for its own loss.

Both get the weights that stylebatch gets, in their own preprocessing, and the same squares as
files. Of their layers those that the weights have: neural-style-pt its first three style layers,
content at relu3_2 in the place of relu4_2; without its total variation of absolute differences,
which stylebatch has none of.
"""

import os
import runpy
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar
from unittest import mock

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmarks.peers.watch import Watch, watched_by
from benchmarks.setting.inputs import WEIGHTS
from benchmarks.setting.judge import vgg19_features
from stylebatch.device.tensors import to_pixels, to_tensor
from stylebatch.pictures.images import Pixels

# Of the shared weights: conv1_1 to conv3_4 with what stands between, to relu3_3.
NUM_MODULES = 16
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# As neural-style-pt subtracts it, red to blue.
CAFFE_MEAN = (123.68, 116.779, 103.939)


class Peer(ABC):
    """A tool at its defaults.

    Attributes:
        recipe, changes: what stylebatch minimises instead of it: the same objective.
    """

    name: ClassVar[str]
    recipe: ClassVar[str]
    changes: ClassVar[Mapping[str, Any]]

    def __init__(self, code: Path, shared: Path, folder: Path) -> None:
        """Begin with the tool's code, the shared folder and a new one for files of its own."""
        self.code, self.shared, self.folder = code, shared, folder
        self.weights = folder / f"vgg19-{self.name}.safetensors"
        folder.mkdir(parents=True, exist_ok=True)
        self._made: Any = None
        self.write_weights()

    @abstractmethod
    def write_weights(self) -> None:
        """Write `weights`, what stylebatch reads, and what the tool does."""

    @abstractmethod
    def start(self, start: str, edge: int) -> None:
        """Run the tool's own code to its end."""

    @abstractmethod
    def to_image(self, pixels: Pixels) -> Tensor:
        """Return 8-bit pixels as what the tool optimises."""

    @abstractmethod
    def to_pixels(self, image: Tensor) -> Pixels:
        """Return what the tool would save of what it optimises."""

    def run(self, content: Pixels, style: Pixels, start: str) -> Watch:
        """Run it on two squares of one size, (H, W, 3), from the content or from noise."""
        Image.fromarray(content).save(self.folder / "content.png")
        Image.fromarray(style).save(self.folder / "style.png")
        watch = Watch()
        optimizer = watched_by(watch, self.to_pixels)
        with (
            mock.patch("torch.optim.LBFGS", optimizer),
            redirect_stdout(StringIO()),
            _inside(self.folder),
        ):
            self.start(start, len(content))
        self._made = optimizer.made
        return watch

    def loss(self, pixels: Pixels) -> float:
        """Return the loss of an image as the tool itself has it; after `run`, of its pair."""
        with torch.no_grad():
            self._made.image.copy_(self.to_image(pixels))
        with redirect_stdout(StringIO()), _inside(self.folder):
            return float(self._made.closure().detach())


class Tutorial(Peer):
    """The PyTorch tutorial "Neural Transfer"; `code` is its neural_style_tutorial.py."""

    name = "tutorial"
    recipe = "pytorch-tutorial"
    changes: ClassVar = {
        "normalisation": "weights",
        "weights_in_square": False,
        "style_weight": 1e6,
    }

    def write_weights(self) -> None:
        # Features of the input over s with the biases over s are features over s, so that they
        # have about the size of those of torchvision's weights.
        scale = 255 * sum(IMAGENET_STD) / 3
        tensors = _read_weights(self.shared)
        for name in [name for name in tensors if name.endswith("bias")]:
            tensors[name] = tensors[name] / scale
        first = torch.tensor(IMAGENET_STD) * 255 / scale
        tensors["features.0.weight"] = tensors["features.0.weight"] * first.view(1, 3, 1, 1)
        _write_weights(self.shared, self.weights, tensors, IMAGENET_MEAN, IMAGENET_STD)

    def start(self, start: str, edge: int) -> None:
        images = self.folder / "data/images/neural-style"
        images.mkdir(parents=True, exist_ok=True)
        # The names that it asks for; a reader goes by what is in them.
        for name, own in (("content", "dancing"), ("style", "picasso")):
            (images / f"{own}.jpg").write_bytes((self.folder / f"{name}.png").read_bytes())
        source = self.code.read_text(encoding="utf-8")
        source = _changed(source, "else 128", f"else {edge}")
        if start == "noise":
            source = _changed(source, "# input_img = torch.randn", "input_img = torch.randn")
            torch.manual_seed(0)
        network = vgg19_features(self.weights, NUM_MODULES)
        pictures = mock.MagicMock()  # its windows
        windows = {"matplotlib": ModuleType("matplotlib"), "matplotlib.pyplot": pictures}
        windows["matplotlib"].pyplot = pictures  # type: ignore[attr-defined]
        found = SimpleNamespace(features=network)
        with (
            mock.patch.dict(sys.modules, windows),
            mock.patch.object(torchvision.models, "vgg19", return_value=found),
        ):
            exec(compile(source, str(self.code), "exec"), {"__name__": "tutorial"})

    def to_image(self, pixels: Pixels) -> Tensor:
        return to_tensor(pixels)

    def to_pixels(self, image: Tensor) -> Pixels:
        return to_pixels(image)


class NeuralStylePt(Peer):
    """neural-style-pt (Brad Andrews, 2019) from the content; `code` is a clone."""

    name = "neural-style-pt"
    recipe = "neural-style"
    changes: ClassVar = {
        "content_layers": {"relu3_2": 1},
        "style_layers": {"relu1_1": 1, "relu2_1": 1, "relu3_1": 1},
        "tv_weight": 0,
        "input_range": 255,
        "pixel_scale": 255,
    }
    iterations = 1000

    def write_weights(self) -> None:
        tensors = _read_weights(self.shared)
        mean = tuple(value / 255 for value in CAFFE_MEAN)
        _write_weights(self.shared, self.weights, tensors, mean, (1 / 255,) * 3)
        own = dict(tensors)
        own["features.0.weight"] = tensors["features.0.weight"].flip(1)
        torch.save(own, self.folder / "vgg19-own.pth")

    def start(self, start: str, edge: int) -> None:
        options = {
            "content_image": "content.png",
            "style_image": "style.png",
            "image_size": edge,
            "gpu": "c",
            "init": "image" if start == "content" else "random",
            "seed": 0,
            "model_file": "vgg19-own.pth",
            "content_layers": ",".join(self.changes["content_layers"]),
            "style_layers": ",".join(self.changes["style_layers"]),
            "tv_weight": 0,
            "num_iterations": self.iterations,
            "save_iter": 0,
            "print_iter": 0,
        }
        told = [word for name, value in options.items() for word in (f"-{name}", str(value))]
        path = [str(self.code), *sys.path]
        with (
            mock.patch.object(sys, "argv", ["", *told, "-disable_check"]),
            mock.patch.object(sys, "path", path),
            mock.patch.object(nn.Linear, "reset_parameters"),
        ):
            # Its unused last layers are a hundred million numbers, which nobody has to draw.
            runpy.run_path(str(self.code / "neural_style.py"), run_name="__main__")

    def to_image(self, pixels: Pixels) -> Tensor:
        image = torch.tensor(pixels).permute(2, 0, 1).float() - torch.tensor(CAFFE_MEAN).view(
            3, 1, 1
        )
        return image.flip(0)[None]

    def to_pixels(self, image: Tensor) -> Pixels:
        return _rounded(image[0].flip(0) + torch.tensor(CAFFE_MEAN).view(3, 1, 1))


PEERS: dict[str, type[Peer]] = {peer.name: peer for peer in (Tutorial, NeuralStylePt)}


def _rounded(image: Tensor) -> Pixels:
    pixels: Pixels = image.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    return np.ascontiguousarray(pixels)


def _changed(source: str, old: str, new: str) -> str:
    if source.count(old) != 1:
        sys.exit(f"this tutorial is another than was looked at: it has no single `{old}`")
    return source.replace(old, new)


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _read_weights(shared: Path) -> dict[str, Tensor]:
    return dict(load_file(shared / WEIGHTS))


def _write_weights(
    shared: Path,
    path: Path,
    tensors: Mapping[str, Tensor],
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> None:
    with safe_open(shared / WEIGHTS, "pt") as file:
        told = {**file.metadata(), **{"mean": _joined(mean), "std": _joined(std)}}
    told.pop("digest", None)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, told)


def _joined(values: tuple[float, ...]) -> str:
    return ",".join(map(repr, values))

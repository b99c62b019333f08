"""The weight sets that have a name, and where torchvision keeps them."""

import os
from dataclasses import dataclass
from pathlib import Path

from stylebatch.system.paths import expand_home


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What an extractor's weights expect: (RGB in [0, 1] - mean) / std, per channel.

    Attributes:
        mean, std: in RGB order, whatever `channels` says.
        channels: the order in which the first convolution takes them: rgb | bgr.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channels: str = "rgb"


NORMALISATIONS: dict[str, Normalisation] = {
    # torchvision's own training.
    "imagenet": Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    # The original Caffe models: BGR in 0–255 minus the mean pixel (103.939, 116.779, 123.68).
    "caffe": Normalisation(
        (123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255, 1 / 255, 1 / 255), "bgr"
    ),
    # Those models with their first filters turned to RGB and the mean pixel rounded to (123, 117,
    # 104), as torchvision has VGG-16's.
    "caffe_rgb": Normalisation((0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255)),
}


@dataclass(frozen=True, slots=True)
class NamedWeights:
    """A weight set that torchvision downloads and checks.

    Attributes:
        size_mib: of the file, as torchvision tells it; None where it is not known.
    """

    identifier: str
    url: str
    normalisation: str
    size_mib: float | None = None

    @property
    def file_name(self) -> str:
        """The file in torch hub's folder."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def place(self) -> Path:
        """Where the file is once it has been downloaded."""
        return hub_folder() / self.file_name

    @property
    def sha256_start(self) -> str:
        """The first digits of the file's sha256, with which torchvision ends its stem."""
        return Path(self.file_name).stem.rsplit("-", 1)[-1]


NAMED_WEIGHTS: dict[tuple[str, str], NamedWeights] = {
    ("vgg19", "imagenet"): NamedWeights(
        "VGG19_Weights.IMAGENET1K_V1",
        "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        "imagenet",
        548.051,
    ),
    ("vgg16", "imagenet"): NamedWeights(
        "VGG16_Weights.IMAGENET1K_V1",
        "https://download.pytorch.org/models/vgg16-397923af.pth",
        "imagenet",
        527.796,
    ),
    # The authors' own, turned to RGB; its classifier is left empty.
    ("vgg16", "features"): NamedWeights(
        "VGG16_Weights.IMAGENET1K_FEATURES",
        "https://download.pytorch.org/models/vgg16_features-amdegroot-88682ab5.pth",
        "caffe_rgb",
        527.802,
    ),
    ("alexnet", "imagenet"): NamedWeights(
        "AlexNet_Weights.IMAGENET1K_V1",
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        "imagenet",
        233.087,
    ),
    ("squeezenet1_1", "imagenet"): NamedWeights(
        "SqueezeNet1_1_Weights.IMAGENET1K_V1",
        "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
        "imagenet",
        4.729,
    ),
}

# Weights of ours that lie beside this module.
SHIPPED_WEIGHTS: dict[tuple[str, str], str] = {
    ("slim", "shipped"): "slim.safetensors",
    ("slim-2026-11", "shipped"): "slim-2026-11.safetensors",
}


def names_of(arch: str) -> list[str]:
    """Return the names of an architecture's weight sets; the first is the one it has by itself."""
    sets = (*NAMED_WEIGHTS, *SHIPPED_WEIGHTS)
    return [*(name for known, name in sets if known == arch), "random"]


def hub_folder() -> Path:
    """Return the folder into which torchvision downloads, as torch.hub finds it, without torch."""
    cache = Path(expand_home(os.environ.get("XDG_CACHE_HOME", "~/.cache")))
    home = os.environ.get("TORCH_HOME", str(cache / "torch"))
    return Path(expand_home(home)) / "hub" / "checkpoints"

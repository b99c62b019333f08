"""A folder of style images, and targets that are cached beside them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from support.runs import picture
from torch import Tensor

from stylebatch.device.style_targets import StyleTargets
from stylebatch.records import Style, StyleImage
from stylebatch.system.files import digest_bytes
from stylebatch.transfer.extractor import Extractor


def never() -> Extractor:
    raise AssertionError("the cache should have had it")


class Folder:
    """Style images, and targets that are cached beside them."""

    def __init__(self, root: Path) -> None:
        self.root, self.cache = root, root / "cache"

    def image(self, name: str, number: int, width: int = 60, height: int = 40) -> StyleImage:
        picture(number, width, height).save(self.root / name)
        return StyleImage(name, 1.0, digest_bytes((self.root / name).read_bytes()))

    def style(self, *images: StyleImage) -> Style:
        digest = " ".join(f"{image.digest} {image.weight}" for image in images)
        return Style("key", "name", images, digest)

    def targets(self) -> StyleTargets:
        """Return targets that have nothing in memory."""
        return StyleTargets(self.root, self.cache)

    def files(self) -> list[Path]:
        return sorted(path for path in (self.cache / "grams").rglob("*") if path.is_file())


def assert_equal(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[layer], wanted[layer]) for layer in wanted)


def fitted(path: Path, size: tuple[int, int]) -> Tensor:
    """Return an image file at a size (width, height), (3, H, W) in [0, 1]."""
    with Image.open(path) as image:
        pixels = np.asarray(image.resize(size, Image.Resampling.LANCZOS), np.float64) / 255
    return torch.from_numpy(pixels).permute(2, 0, 1)


def assert_close(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Compare to 10⁻⁵ of the largest number, of means apart from that of what is below them."""
    assert found.keys() == wanted.keys()
    for layer, one in wanted.items():
        assert found[layer].dtype == torch.float32
        assert found[layer].shape == one.shape
        for rows in (slice(1), slice(1, None)):
            worst = (found[layer].double() - one)[rows].abs().max()
            assert float(worst / one[rows].abs().max()) < 1e-5, layer

"""Colours that are hidden under a style's transparency count in none of its statistics."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from support.encoded import encode
from support.runs import color_project, picture
from support.style_folders import Folder, assert_equal

from stylebatch.device.requests import TargetRequest
from stylebatch.device.style_images import StyleError, StyleImages
from stylebatch.device.target_files import Statistics
from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.extractors.weights import find_weights, load_tensors
from stylebatch.pictures.color_transfer import color_statistics, transfer_colors
from stylebatch.pictures.colors import match_colors
from stylebatch.records import StyleImage
from stylebatch.system.files import digest_bytes
from stylebatch.transfer.extractor import Extractor

LAYERS = ("conv1_1", "conv2_1")
# As large as the image, so that nothing is resampled.
REQUEST = TargetRequest(64, LAYERS, "digest", "max", "zeros", "cpu")
STATISTICS = ["gram", "mean_std", "mean_covariance"]


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    tensors = load_tensors(find_weights("vgg19", "random", Path()), LAYERS)
    return Extractor(ARCHITECTURES["vgg19"], tensors, LAYERS, mean=(0.5,) * 3, std=(0.2,) * 3)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def alpha(kind: str = "half") -> np.ndarray:
    found = np.full((48, 64), 255, np.uint8)
    if kind == "half":
        found[:, 24:] = 0
    if kind == "soft":
        found[:] = np.linspace(0, 255, 64).astype(np.uint8)
    return found


def save(folder: Folder, name: str, rgb: np.ndarray, alpha: np.ndarray) -> StyleImage:
    data = encode(Image.fromarray(np.dstack([rgb, alpha])))
    (folder.root / name).write_bytes(data)
    return StyleImage(name, 1.0, digest_bytes(data))


def painting(number: int = 1) -> np.ndarray:
    return np.asarray(picture(number, 64, 48))


def targets(
    folder: Folder, image: StyleImage, extractor: Extractor, request: TargetRequest = REQUEST
) -> Statistics:
    return dict(folder.targets().get(folder.style(image), request, lambda: extractor))


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("halvings", [0, 1])
def test_hidden_colours_change_nothing(
    folder: Folder, extractor: Extractor, statistic: str, halvings: int
) -> None:
    request = replace(REQUEST, statistic=statistic, halvings=halvings)
    hidden = np.where(alpha()[..., None] > 0, painting(), 255 - painting(7)).astype(np.uint8)
    one, other = (
        save(folder, name, rgb, alpha()) for name, rgb in (("a.png", painting()), ("b.png", hidden))
    )
    assert one.digest != other.digest
    found = targets(folder, one, extractor, request)
    assert_equal(targets(folder, other, extractor, request), found)
    opaque = save(folder, "c.png", painting(), alpha("opaque"))
    assert not torch.equal(targets(folder, opaque, extractor, request)["conv1_1"], found["conv1_1"])


def test_positions_count_by_what_is_visible_of_them(folder: Folder, extractor: Extractor) -> None:
    for kind in ("half", "soft"):
        found = targets(folder, save(folder, f"{kind}.png", painting(), alpha(kind)), extractor)
        share = alpha(kind)[..., None] / 255
        mean = (painting() * share).sum((0, 1)) / share.sum()
        filled = np.rint(painting() * share + mean * (1 - share)) / 255
        image = torch.from_numpy(filled).permute(2, 0, 1)[None].float()
        maps = extractor(image, LAYERS)
        for layer in LAYERS:
            features = maps[layer][0].double()
            height, width = features.shape[1:]
            share_of = torch.from_numpy(alpha(kind) / 255)[None]
            pooled = F.adaptive_avg_pool2d(share_of, (height, width))
            gram = torch.einsum("ihw,jhw,hw->ij", features, features, pooled[0]) / pooled.sum()
            worst = (found[layer].double() - gram).abs().max() / gram.abs().max()
            assert float(worst) < 1e-5, (kind, layer)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_an_alpha_that_hides_nothing_is_none(
    folder: Folder, extractor: Extractor, statistic: str
) -> None:
    request = replace(REQUEST, statistic=statistic)
    picture(1, 64, 48).save(folder.root / "rgb.png")
    data = (folder.root / "rgb.png").read_bytes()
    plain = StyleImage("rgb.png", 1.0, digest_bytes(data))
    opaque = save(folder, "rgba.png", painting(), alpha("opaque"))
    found = targets(folder, opaque, extractor, request)
    assert_equal(found, targets(folder, plain, extractor, request))


def test_colours_are_matched_by_those_that_are_visible(folder: Folder) -> None:
    image = save(folder, "a.png", painting(), alpha())
    read = StyleImages(folder.root, folder.cache).read(image)
    content = painting(3)
    matched = match_colors(read.pixels, content, read.counted)
    wanted = match_colors(painting()[:, :24], content)
    assert np.abs(matched[:, :24].astype(int) - wanted).max() <= 1


def test_a_style_that_is_all_transparent_is_refused(folder: Folder) -> None:
    image = save(folder, "a.png", painting(), alpha() * 0)
    with pytest.raises(StyleError, match=r"^a\.png: is transparent everywhere; choose another"):
        StyleImages(folder.root, folder.cache).read(image)


def test_a_colour_transfer_takes_the_colours_that_are_visible(tmp_path: Path) -> None:
    small = color_project(tmp_path)
    rgba = np.dstack([np.asarray(picture(5, 64, 48)), alpha()])
    Image.fromarray(rgba).save(small.root / "styles/s.png")
    small.again()
    photo = np.asarray(Image.open(small.root / "photos/cats/a.png").convert("RGB"))
    shown = np.ascontiguousarray(rgba[:, :24, :3])
    weighted = [(color_statistics(shown, "mean_std"), 1.0)]
    wanted = transfer_colors(photo, weighted, "mean_std", 1)
    made = np.asarray(Image.open(small.out / "images/cats/a-s.png"))
    assert np.abs(made[..., :3].astype(int) - wanted).max() <= 1

"""Style targets on several scales and of every statistic: the numbers, and their files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from support import naive, naive_scales
from support.style_folders import Folder, assert_close, assert_equal, fitted, never
from torch import Tensor

from stylebatch.device.requests import TargetRequest
from stylebatch.device.style_statistics import image_statistics
from stylebatch.device.tensors import to_tensor
from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.objective import ObjectiveSpec

LAYERS = ("conv1_1", "relu2_1")
# A picture of 60×40 px becomes one of 96×64.
REQUEST = TargetRequest(
    size_px=96,
    layers=LAYERS,
    layers_digest="digest",
    pooling="max",
    padding="zeros",
    device_kind="cpu",
)
STATISTICS = naive_scales.STATISTICS


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    constants: dict[str, Any] = {"mean": naive.MEAN, "std": naive.STD}
    return Extractor(ARCHITECTURES["vgg19"], naive.weights(), LAYERS, **constants)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def maps_of(path: Path, size: tuple[int, int], halvings: int) -> dict[str, Tensor]:
    """Return layer → map (C, h, w) of a file that is brought to a size and halved, in float64."""
    image = naive_scales.pyramid(fitted(path, size), 1 + halvings)[halvings]
    return {layer: maps[0] for layer, maps in naive.feature_maps(image[None], LAYERS).items()}


# --- the numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize("halvings", [0, 1, 2])
@pytest.mark.parametrize("statistic", STATISTICS)
def test_statistics_are_those_of_the_style_at_its_size_and_then_halved(
    folder: Folder, extractor: Extractor, statistic: str, halvings: int
) -> None:
    request = replace(REQUEST, statistic=statistic, halvings=halvings)
    style = folder.style(folder.image("s.png", 1))
    found = folder.targets().get(style, request, lambda: extractor)
    maps = maps_of(folder.root / "s.png", (96, 64), halvings)
    wanted = {layer: naive_scales.as_given(statistic, maps[layer]) for layer in LAYERS}
    assert_close(found, wanted)
    assert_equal(folder.targets().get(style, request, never), found)


@pytest.mark.parametrize("statistic", ["mean_covariance", "wasserstein"])
def test_of_a_covariance_means_and_second_moments_are_kept(
    folder: Folder, extractor: Extractor, statistic: str
) -> None:
    request = replace(REQUEST, statistic=statistic, halvings=2)
    folder.targets().get(folder.style(folder.image("s.png", 1)), request, lambda: extractor)
    (path,) = folder.files()
    maps = maps_of(folder.root / "s.png", (96, 64), 2)
    assert maps["relu2_1"].shape == (128, 8, 12)
    assert_close(load_file(path), {layer: naive_scales.moments(maps[layer]) for layer in LAYERS})


@pytest.mark.parametrize(
    ("size", "size_px", "halvings", "wanted"),
    [
        ((200, 20), 64, 0, (64, 16)),
        ((200, 20), 64, 1, (64, 32)),
        ((20, 200), 96, 2, (64, 96)),
        ((60, 40), 96, 2, (96, 64)),
        ((60, 40), 32, 2, (64, 64)),
    ],
)
def test_a_style_is_large_enough_to_keep_16_px_when_it_is_halved(
    folder: Folder,
    extractor: Extractor,
    size: tuple[int, int],
    size_px: int,
    halvings: int,
    wanted: tuple[int, int],
) -> None:
    request = replace(REQUEST, size_px=size_px, halvings=halvings)
    style = folder.style(folder.image("s.png", 2, *size))
    found = folder.targets().get(style, request, lambda: extractor)
    maps = maps_of(folder.root / "s.png", wanted, halvings)
    assert_close(found, {layer: naive.gram(maps[layer], "n") for layer in LAYERS})


@pytest.mark.parametrize("statistic", ["gram", "mean_covariance", "wasserstein"])
def test_a_blend_s_statistics_are_those_of_all_its_positions_by_their_weights(
    folder: Folder, extractor: Extractor, statistic: str
) -> None:
    images = (
        replace(folder.image("a.png", 3), weight=3.0),
        replace(folder.image("b.png", 4, 40, 60), weight=1.0),
    )
    request = replace(REQUEST, statistic=statistic, halvings=1)
    found = folder.targets().get(folder.style(*images), request, lambda: extractor)
    a = maps_of(folder.root / "a.png", (96, 64), 1)
    b = maps_of(folder.root / "b.png", (64, 96), 1)
    wanted = {layer: pooled(statistic, (a[layer], 0.75), (b[layer], 0.25)) for layer in LAYERS}
    assert_close(found, wanted)
    assert len(folder.files()) == 2


def pooled(statistic: str, *parts: tuple[Tensor, float]) -> Tensor:
    """Return the statistics of several maps as one, each with its weight in all of it."""
    rows = torch.cat([maps.flatten(1) for maps, _ in parts], 1)[:, None]
    each = [torch.full((maps[0].numel(),), weight / maps[0].numel()) for maps, weight in parts]
    found = naive_scales.mean_and_covariance(rows, torch.cat(each).double()[None])
    second = found[1:] + torch.outer(found[0], found[0])
    return second if statistic == "gram" else torch.cat([found[:1], second])


@pytest.mark.parametrize("statistic", STATISTICS)
def test_statistics_of_an_image_at_hand_are_those_of_its_file_on_every_scale(
    folder: Folder, extractor: Extractor, statistic: str
) -> None:
    style = folder.style(folder.image("s.png", 1, 96, 64))
    layers = dict.fromkeys(LAYERS, 1.0)
    spec = ObjectiveSpec(
        {}, "mean", 1, layers, "mean", "n", 1, "mean", 0.0, statistic=statistic, scales=(1, 0, 1)
    )
    with Image.open(folder.root / "s.png") as image:
        found = image_statistics(to_tensor(np.array(image)), spec, extractor)
    for scale in (0, 2):
        request = replace(REQUEST, statistic=statistic, halvings=scale)
        of_file = folder.targets().get(style, request, lambda: extractor)
        for layer in LAYERS:
            assert torch.equal(found[naive_scales.key(layer, scale)], of_file[layer])
    # The half does not count.
    assert len(found) == 2 * len(LAYERS)


def test_an_image_at_hand_has_the_scales_of_a_content_of_its_size(extractor: Extractor) -> None:
    layers = dict.fromkeys(LAYERS, 1.0)
    spec = ObjectiveSpec({}, "mean", 1, layers, "mean", "n", 1, "mean", 0.0, scales=(4, 2, 1))
    for size, scales in (((64, 80), 3), ((63, 80), 2), ((31, 80), 1)):
        found = image_statistics(naive.draw(1, 3, *size), spec, extractor)
        wanted = {naive_scales.key(layer, scale) for layer in LAYERS for scale in range(scales)}
        assert found.keys() == wanted


# --- the files -------------------------------------------------------------------------------


def test_files_keep_their_names() -> None:
    """As format 4 names them, without `halvings` where there are none."""
    before = replace(REQUEST, size_px=48, layers=("conv1_1", "conv2_1"))
    assert before.cache_key("image") == "ba8e4a00358bf34794dad894c1ce497b"
    of_means = replace(before, statistic="mean_std")
    assert of_means.cache_key("image") == "5204b8bcf9232cd77c8937436564e203"


def test_both_that_are_made_of_moments_share_a_file(folder: Folder, extractor: Extractor) -> None:
    style = folder.style(folder.image("s.png", 1))
    one, other = (
        replace(REQUEST, statistic=statistic) for statistic in ("mean_covariance", "wasserstein")
    )
    first = folder.targets().get(style, one, lambda: extractor)
    assert_equal(folder.targets().get(style, other, never), first)
    assert len(folder.files()) == 1


def test_every_scale_and_every_other_statistic_has_a_file_of_its_own() -> None:
    keys = {
        replace(REQUEST, statistic=statistic, halvings=halvings).cache_key("image")
        for statistic in ("gram", "mean_std", "wasserstein")
        for halvings in range(3)
    }
    assert len(keys) == 9

"""Which images a device evaluates in tiles, and that one is made which memory has no room for."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import naive, naive_scales
from support.extractors import of
from support.projects import Project

from stylebatch import stylize
from stylebatch.device import style_statistics
from stylebatch.device.device import Device
from stylebatch.device.requests import TargetRequest
from stylebatch.device.style_images import StylePicture
from stylebatch.device.style_statistics import compute_statistics
from stylebatch.errors import UserError
from stylebatch.pictures.images import Pixels
from stylebatch.transfer.tiled import TiledObjective
from stylebatch.transfer.tiles import WHOLE_PIXELS

LARGE = (WHOLE_PIXELS // 1024 + 1, 1024)


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device("cpu", tmp_path, tmp_path / "cache")


def settings(tmp_path: Path, **fields: Any) -> Any:
    return Project(tmp_path).settings(**fields)


def edge_of(device: Device, of_settings: Any, size: tuple[int, int]) -> int:
    """Return the edge of the tiles that images of a size are cut into; 0: they are not."""
    objective = device.objective(of_settings, size)
    if isinstance(objective, TiledObjective) and objective.tiling.cuts(*size):
        return objective.tiling.tile_px
    return 0


@pytest.mark.parametrize(
    ("tile_px", "size", "wanted"),
    [
        ("auto", (1024, WHOLE_PIXELS // 1024), 0),
        ("auto", LARGE, 512),
        ("none", LARGE, 0),
        (256, (256, 256), 0),
        (256, (256, 257), 256),
    ],
)
def test_a_recipe_s_tiles_are_taken_and_by_itself_a_cpu_cuts_what_is_large(
    device: Device, tmp_path: Path, tile_px: Any, size: tuple[int, int], wanted: int
) -> None:
    assert edge_of(device, settings(tmp_path, tile_px=tile_px), size) == wanted


def test_deep_layers_get_larger_tiles(device: Device, tmp_path: Path) -> None:
    deep = settings(tmp_path, style_layers={"relu5_1": 1})
    assert edge_of(device, deep, LARGE) == 1024


def test_where_memory_does_not_suffice_tiles_get_smaller_for_images_of_that_size(
    device: Device, tmp_path: Path
) -> None:
    by_itself = settings(tmp_path)
    assert [device.shrink_tiles(by_itself, 600, 500) for _ in range(4)] == [512, 256, 128, 0]
    assert edge_of(device, by_itself, (500, 600)) == 128
    assert edge_of(device, by_itself, (600, 500)) == 0
    assert [device.shrink_tiles(by_itself, *LARGE) for _ in range(3)] == [256, 128, 0]
    fixed = settings(tmp_path, tile_px=300, layers_digest="x")
    assert device.shrink_tiles(fixed, 600, 501) == 256


def test_where_none_are_wanted_none_are_tried(device: Device, tmp_path: Path) -> None:
    never = settings(tmp_path, tile_px="none")
    assert device.shrink_tiles(never, 4096, 4096) == 0
    assert edge_of(device, never, (4096, 4096)) == 0


@pytest.mark.parametrize("value", [0, 63, 20000, "off", "auto "])
def test_what_is_no_edge_of_a_tile_is_refused(value: Any) -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(UserError, match=r"^tile_px: .*; allowed is .*64 to 16384.*; it is: edge"):
        stylize(image, image, override={"tile_px": value})


def photo(width: int, height: int, seed: int) -> Pixels:
    """Draw soft colours."""
    coarse = naive.draw(8, 12, 3, seed=seed).mul(255).byte().numpy()
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def test_a_picture_made_in_tiles_is_the_picture() -> None:
    content, style = photo(160, 128, 1), photo(96, 96, 2)
    options: dict[str, Any] = {
        "weights": "random", "size_px": 160, "steps": 4, "precision": "float32", "device": "cpu"
    }  # fmt: skip
    (whole,) = stylize(content, style, **options)
    (parts,) = stylize(content, style, override={"tile_px": 64}, **options)
    apart = np.asarray(whole).astype(int) - np.asarray(parts).astype(int)
    assert np.abs(np.asarray(whole).astype(int) - content).mean() > 5
    assert np.abs(apart).max() <= 1


@pytest.mark.parametrize("is_seen_through", [False, True])
@pytest.mark.parametrize("statistic", naive_scales.STATISTICS)
def test_targets_of_a_large_style_are_added_up_over_tiles(
    statistic: str, is_seen_through: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = ("conv1_1", "relu2_1", "relu3_1")
    request = TargetRequest(700, layers, "digest", "max", "zeros", "cpu", statistic)
    visible = np.zeros((60, 70), np.uint8)
    visible[10:, :40] = 255
    picture = StylePicture(photo(70, 60, 3), visible if is_seen_through else None)
    network = of("vgg19", layers)
    whole = compute_statistics(picture, request, network)
    monkeypatch.setattr(style_statistics, "WHOLE_PIXELS", 600 * 700 - 1)
    parts = compute_statistics(picture, request, network)
    assert parts.keys() == whole.keys()
    for name, value in whole.items():
        assert float((parts[name] - value).double().norm()) <= 1e-5 * float(
            value.double().norm()
        ), name
    assert any(not torch.equal(parts[name], value) for name, value in whole.items())


CHILD = """
import resource, sys
import numpy as np
from stylebatch import stylize
draw, size = np.random.default_rng(0), (1000, 1000, 3)
content, style = (draw.integers(0, 256, size, np.uint8) for _ in range(2))
options = {"arch": "slim", "precision": "float32", "device": "cpu", "steps": 2}
stylize(content[:64, :64], style[:64, :64], **options)  # all is loaded
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + int(sys.argv[1]) * 2**20,) * 2)
override = {"tile_px": sys.argv[2], "history": 2, "style_size_px": 256}
options |= {"size_px": 1000, "override": override}
(image,) = stylize(content, style, **options)
print(image.size)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_an_image_that_memory_has_no_room_for_is_made_in_tiles() -> None:
    """A real limit; evaluated as a whole, it takes a third of a gigabyte more than there is."""
    ended = {
        tile_px: subprocess.run(
            [sys.executable, "-c", CHILD, "1200", tile_px],
            capture_output=True,
            text=True,
            check=False,
        )
        for tile_px in ("none", "auto")
    }
    assert ended["none"].returncode != 0
    assert re.search("out of memory with one image; .* lower size_px", ended["none"].stderr)
    assert ended["auto"].stdout.strip() == "(1000, 1000)", ended["auto"].stderr

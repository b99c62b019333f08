"""A run whose device has no memory for an image at once: it goes on in tiles, and says so."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.runs import Small, small_project
from torch import Tensor

from stylebatch.transfer.extractor import Extractor

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("on_one_core")]


@pytest.fixture
def large(tmp_path: Path) -> Small:
    """Make a project with one photograph that is worked on at 288×256 px."""
    small = small_project(tmp_path)
    small.photo("cats/a.png", 1, 300, 260)
    (small.root / "photos/dogs/b.png").unlink()
    (small.root / "styles/t.png").unlink()
    small.pair["size_px"] = 288
    small.write()
    return small


def picture(small: Small) -> np.ndarray:
    return np.asarray(Image.open(small.out / "images/cats/a-s.png")).astype(int)


def log_of(small: Small) -> str:
    return (small.out / ".stylebatch/run.log").read_text()


def has_memory_for(pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the network have memory for images of so many pixels, where it keeps maps."""
    real = Extractor.__call__

    def look(self: Extractor, images: Tensor, *args: Any) -> dict[str, Tensor]:
        if images.requires_grad and images[:, 0].numel() > pixels:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, images, *args)

    monkeypatch.setattr(Extractor, "__call__", look)


def test_an_image_that_does_not_fit_alone_is_made_in_smaller_and_smaller_tiles(
    large: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert large.run().code == 0
    wanted = picture(large)
    large.document["output"], large.out = "again", large.root / "again"
    large.write()
    has_memory_for(150 * 150, monkeypatch)
    assert large.run().code == 0
    for edge in (256, 128):
        text = f"out of memory on cpu: going on with 1 image at once, in tiles of {edge} px"
        assert text in log_of(large)
    assert np.abs(picture(large) - wanted).max() <= 1


def test_it_fails_where_no_tile_is_small_enough_or_none_is_wanted(
    large: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_memory_for(100, monkeypatch)
    ended = large.run()
    assert ended.code == 3
    assert "out of memory on cpu with this image alone: lower size_px" in ended.err
    assert "in tiles of 128 px" in log_of(large)
    has_memory_for(150 * 150, monkeypatch)
    large.pair["override"]["tile_px"] = "none"
    large.document["output"], large.out = "again", large.root / "again"
    large.write()
    assert large.run().code == 3
    assert "in tiles" not in log_of(large)


def test_tiles_by_a_field_of_the_recipe_have_the_bytes_that_they_have_again(large: Small) -> None:
    large.pair["override"]["tile_px"] = 100
    large.write()
    assert large.run().code == 0
    wanted = large.images()
    large.document["output"], large.out = "again", large.root / "again"
    large.write()
    assert large.run().code == 0
    assert large.images() == wanted

"""A job's content and mask: read as planned, brought to work size; against Pillow."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.runs import picture

from stylebatch.device.content import ContentError, read_content
from stylebatch.pictures.errors import ImageError
from stylebatch.recipes import Settings, make_settings, recipe_fields, recipe_on
from stylebatch.records import Job
from stylebatch.system.files import digest_bytes


def settings(**fields: Any) -> Settings:
    recipe = recipe_on("vgg19", {**recipe_fields("balanced"), **fields})
    return make_settings(recipe, None, "", "auto")


def write(root: Path, name: str, image: Image.Image, **options: Any) -> str:
    """Write an image; return its digest."""
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    image.save(root / name, **options)
    return digest_bytes((root / name).read_bytes())


def job(digest: str, width: int, height: int, **fields: Any) -> Job:
    return Job(
        "cats/a-s.png", "f", "pair", "s", "photos/a.png", digest, "cats", "style", 1, width, height,
        1.0, None, **fields,
    )  # fmt: skip


def test_a_content_is_what_pillow_makes_of_it_at_work_size(tmp_path: Path) -> None:
    image = picture(1, 64, 48)
    digest = write(tmp_path, "photos/a.png", image)
    found = read_content(tmp_path, job(digest, 32, 24), settings())
    wanted = np.asarray(image.resize((32, 24), Image.Resampling.LANCZOS))
    assert np.array_equal(found.pixels, wanted)
    assert found.mask is None
    assert (found.canvas.width, found.canvas.height) == (64, 48)
    assert found.canvas.content is found.canvas.alpha is found.canvas.mask is None


def test_alpha_waits_on_the_canvas_at_the_images_own_size(tmp_path: Path) -> None:
    image = picture(2, 40, 30, "RGBA")
    digest = write(tmp_path, "photos/a.png", image)
    found = read_content(tmp_path, job(digest, 20, 15), settings())
    assert found.canvas.alpha is not None
    assert np.array_equal(found.canvas.alpha, np.asarray(image)[..., 3])
    assert found.pixels.shape == (15, 20, 3)


def test_an_image_that_lies_on_its_side_is_upright_before_it_is_scaled(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° to see it
    digest = write(tmp_path, "photos/a.png", picture(3, 40, 20), exif=exif)
    found = read_content(tmp_path, job(digest, 20, 40), settings())
    assert (found.canvas.width, found.canvas.height) == (20, 40)
    assert np.array_equal(found.pixels, np.rot90(np.asarray(picture(3, 40, 20)), -1))


def test_a_mask_comes_along_at_both_sizes(tmp_path: Path) -> None:
    digest = write(tmp_path, "photos/a.png", picture(1, 64, 48))
    mask = picture(4, 64, 48).convert("L")
    told = {"mask": "masks/a.png", "mask_digest": write(tmp_path, "masks/a.png", mask)}
    found = read_content(tmp_path, job(digest, 32, 24, **told), settings())
    assert found.mask is not None
    assert np.array_equal(found.mask, np.asarray(mask.resize((32, 24), Image.Resampling.LANCZOS)))
    assert found.canvas.mask is not None
    assert np.array_equal(found.canvas.mask, np.asarray(mask))
    assert found.canvas.content is not None, "what the mask leaves shows through"


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("gone", r"photos/a.png: can't be read \(No such file or directory\)"),
        ("changed", r"photos/a.png: this image has changed since planning; run again"),
        ("mask changed", r"masks/a.png: this mask has changed since planning"),
        (
            "mask of another size",
            r"masks/a.png: is 10×10 px, .*allowed is its 64×48",
        ),
    ],
)
def test_what_is_not_as_planned_is_refused_by_name(tmp_path: Path, what: str, message: str) -> None:
    digest = write(tmp_path, "photos/a.png", picture(1, 64, 48))
    size = (10, 10) if what == "mask of another size" else (64, 48)
    told = {
        "mask": "masks/a.png",
        "mask_digest": write(tmp_path, "masks/a.png", picture(4, *size).convert("L")),
    }
    if what == "gone":
        (tmp_path / "photos/a.png").unlink()
    elif what == "changed":
        write(tmp_path, "photos/a.png", picture(9, 64, 48))
    elif what == "mask changed":
        write(tmp_path, "masks/a.png", picture(9, 64, 48))
    with pytest.raises(ContentError, match=message) as caught:
        read_content(tmp_path, job(digest, 32, 24, **told), settings())
    assert not caught.value.is_transient


def test_half_an_image_is_no_image(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    picture(1, 64, 48).save(buffer, "PNG")
    half = buffer.getvalue()[:200]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").write_bytes(half)
    with pytest.raises(ImageError, match=r"photos/a\.png"):
        read_content(tmp_path, job(digest_bytes(half), 32, 24), settings())


@pytest.mark.parametrize(
    ("mask", "message"),
    [("masks/a.*", "has no mask: no image"), ("a.png and a.jpg", "has two masks")],
)
def test_a_job_without_its_mask_says_which(tmp_path: Path, mask: str, message: str) -> None:
    digest = write(tmp_path, "photos/a.png", picture(1, 64, 48))
    with pytest.raises(ContentError, match=message):
        read_content(tmp_path, job(digest, 32, 24, mask=mask), settings())

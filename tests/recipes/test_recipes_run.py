"""The first row of a real run's loss log, recipe by recipe, against the published formulas.

Files in, files out: decoding, resampling, crops, stretches, starts and cached style targets are all
on the way to that number.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from safetensors.torch import save_file
from support import naive
from support.loss_logs import read_log
from support.published import MEAN, PUBLISHED, STD, published_terms, stretched
from support.runs import Small, contents, picture
from torch import Tensor

from stylebatch.recipes import needs_network, recipe_names
from stylebatch.transfer.problem import Row

pytestmark = pytest.mark.slow

Box = tuple[int, int, int, int]


class Fitting(NamedTuple):
    """How a source brings a picture to its work size: resized, then perhaps a box cut out."""

    filter: Image.Resampling
    size: tuple[int, int]
    box: Box | None = None


LANCZOS, BICUBIC = Image.Resampling.LANCZOS, Image.Resampling.BICUBIC
BILINEAR, NEAREST = Image.Resampling.BILINEAR, Image.Resampling.NEAREST
CONTENT_SIZE, STYLE_SIZE, STRENGTH = (128, 64), (80, 60), 2
# Each recipe's size_px in these runs, and what its source then does to content and style.
CASES: dict[str, tuple[int, Fitting, Fitting]] = {
    "augment": (64, Fitting(LANCZOS, (64, 32)), Fitting(LANCZOS, (64, 48))),
    "balanced": (64, Fitting(LANCZOS, (64, 32)), Fitting(LANCZOS, (64, 48))),
    "balanced-2026-11": (64, Fitting(LANCZOS, (64, 32)), Fitting(LANCZOS, (64, 48))),
    "deep": (64, Fitting(LANCZOS, (64, 32)), Fitting(LANCZOS, (64, 48))),
    "deep-2026-11": (64, Fitting(LANCZOS, (64, 32)), Fitting(LANCZOS, (64, 48))),
    "feili": (
        48,
        Fitting(BILINEAR, (96, 48), (24, 0, 72, 48)),
        Fitting(BILINEAR, (64, 48), (8, 0, 56, 48)),
    ),
    "gatys": (48, Fitting(BILINEAR, (96, 48)), Fitting(BILINEAR, (64, 48))),
    "keras": (48, Fitting(NEAREST, (48, 48)), Fitting(NEAREST, (48, 48))),
    "matlab": (64, Fitting(BICUBIC, (64, 48)), Fitting(BICUBIC, (64, 48))),
    "neural-style": (64, Fitting(BILINEAR, (64, 32)), Fitting(BILINEAR, (64, 48))),
    "perceptual": (48, Fitting(BILINEAR, (48, 48)), Fitting(BILINEAR, (48, 48))),
    "pytorch-tutorial": (48, Fitting(BILINEAR, (96, 48)), Fitting(BILINEAR, (64, 48))),
}
NAMES = sorted(CASES)
STEPS = 16


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """Run one photograph through every recipe, a single evaluation each."""
    return run_all(tmp_path_factory.mktemp("recipes"), steps=1)


@pytest.fixture(scope="module")
def longer(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """The same for a few evaluations."""
    return run_all(tmp_path_factory.mktemp("longer"), steps=STEPS)


def run_all(root: Path, steps: int) -> Small:
    small = Small(root)
    small.photo("a.png", 1, *CONTENT_SIZE)
    (small.root / "styles").mkdir()
    picture(11, *STYLE_SIZE).save(small.root / "styles/s.png")
    write_weights(small.root / "vgg19.safetensors")
    small.document["extractor"] = {"weights": "vgg19.safetensors"}
    small.document["pairs"] = [pair(name, steps) for name in NAMES]
    ended = small.run()
    assert ended.code == 0, ended
    return small


def write_weights(path: Path) -> None:
    """Write the whole random network, with the constants that the formulas use."""
    mean, std = (",".join(map(str, values)) for values in (naive.MEAN, naive.STD))
    tensors = {f"features.{key}": value for key, value in naive.random_vgg19().state_dict().items()}
    save_file(tensors, path, {"mean": mean, "std": std})


def pair(name: str, steps: int) -> dict[str, Any]:
    return {
        "name": name,
        "into": name,
        "content": "photos",
        "styles": ["styles"],
        "recipe": name,
        "size_px": CASES[name][0],
        "strength": STRENGTH,
        "steps": steps,
    }


def fitted(path: Path, how: Fitting) -> Tensor:
    """Read a picture as the source does, (3, H, W) in [0, 1], 8-bit steps as float32 has them."""
    with Image.open(path) as image:
        pixels = image.resize(how.size, how.filter)
    if how.box:
        pixels = pixels.crop(how.box)
    return (torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float() / 255).double()


def start(name: str, content: Tensor, seed: int | None) -> Tensor:
    """Return the published initial image, with the noise that a seed gives."""
    if name not in ("matlab", "neural-style"):
        return content
    assert seed is not None
    generator = torch.Generator().manual_seed(seed)
    shape = (1, *content.shape)
    if name == "matlab":
        noise = torch.randint(-20, 21, shape, generator=generator)[0].double()
        return MEAN + (0.7 * noise + 0.3 * 255 * (stretched(content) - MEAN)) / 255
    noise = torch.randn(shape, generator=generator)[0].double()
    return (255 * MEAN + 0.001 * noise) / 256


def test_every_recipe_is_run() -> None:
    assert [name for name in recipe_names() if needs_network(name)] == NAMES == sorted(PUBLISHED)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_row_of_the_loss_log_is_the_published_number(name: str, done: Small) -> None:
    _, content_fit, style_fit = CASES[name]
    content = fitted(done.root / "photos/a.png", content_fit)
    style = fitted(done.root / "styles/s.png", style_fit)
    told = done.metadata()[f"{name}/a-s.png"]
    image = start(name, content, told["seed"])
    wanted = published_terms(name, image, content, style, STRENGTH)
    (row,) = read_log((done.out / "losses" / name / "a-s.csv").read_bytes())
    for term, value in wanted.items():
        # Where the start is the content, its term is 0.
        assert getattr(row, term) == pytest.approx(float(value), rel=1e-4, abs=1e-9), term


@pytest.mark.parametrize("name", NAMES)
def test_the_output_has_the_published_size(name: str, done: Small) -> None:
    _, fit, _ = CASES[name]
    is_resampled_back = name.startswith(("augment", "balanced", "deep")) or name == "matlab"
    box = fit.box or (0, 0, *fit.size)
    work = (box[2] - box[0], box[3] - box[1])
    with Image.open(done.out / "images" / name / "a-s.png") as image:
        assert image.size == (CONTENT_SIZE if is_resampled_back else work)


def rows_of(small: Small, name: str) -> list[Row]:
    return read_log((small.out / "losses" / name / "a-s.csv").read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_in_a_few_evaluations_the_loss_falls(name: str, longer: Small) -> None:
    rows = rows_of(longer, name)
    assert [row.evaluation for row in rows] == list(range(1, STEPS + 1))
    assert min(row.total for row in rows[1:]) < rows[0].total
    assert all(row.accepted for row in rows if name in BY_ADAM)
    assert longer.metadata()[f"{name}/a-s.png"]["status"] == "budget_spent"


BY_ADAM = {
    # Learning rate, what white is in the source's variable, and which image is kept.
    "perceptual": (0.003, 1 / STD, "after the last"),
    "matlab": (2, torch.full((3, 1, 1), 255.0).double(), "after the best"),
}


@pytest.mark.parametrize("name", BY_ADAM)
def test_the_image_is_the_one_that_torch_s_adam_gives(name: str, longer: Small) -> None:
    """In the source's own variable, on the published formula; then saved as the source does."""
    rate, scale, kept = BY_ADAM[name]
    _, content_fit, style_fit = CASES[name]
    content = fitted(longer.root / "photos/a.png", content_fit)
    style = fitted(longer.root / "styles/s.png", style_fit)
    seed = longer.metadata()[f"{name}/a-s.png"]["seed"]
    variable = (start(name, content, seed) * scale).requires_grad_()
    adam = torch.optim.Adam([variable], lr=rate, betas=(0.9, 0.999), eps=1e-8)
    lowest, image = float("inf"), variable
    for _ in range(STEPS):
        adam.zero_grad()
        loss = published_terms(name, variable / scale, content, style, STRENGTH)["total"]
        torch.autograd.backward(loss)
        adam.step()
        if loss.item() < lowest or kept == "after the last":
            lowest, image = loss.item(), (variable / scale).detach().clone()
    wanted = (255 * image.clamp(0, 1)).round().permute(1, 2, 0).numpy().astype(np.uint8)
    with Image.open(longer.out / "images" / name / "a-s.png") as file:
        expected = Image.fromarray(wanted).resize(file.size, BICUBIC)
        difference = np.abs(np.asarray(file, int) - np.asarray(expected, int))
    # float32 against float64: now and then a number is rounded the other way.
    assert difference.max() <= 2
    assert difference.mean() < 0.05


def test_keras_saves_what_it_started_from_brighter_more_colourful_and_sharper(done: Small) -> None:
    """After one evaluation the image is still the content; truncating takes nothing from it."""
    with Image.open(done.root / "photos/a.png") as image:
        wanted = image.resize((48, 48), NEAREST)
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Color, ImageEnhance.Sharpness):
        wanted = enhancer(wanted).enhance(1.2)
    with Image.open(done.out / "images/keras/a-s.png") as found:
        assert np.array_equal(np.asarray(found), np.asarray(wanted))


def test_matlab_shows_its_way_and_all_three_pictures_and_keras_its_rounds(longer: Small) -> None:
    assert contents(longer.out / "progress").keys() == {"matlab/a-s/00001.png"}
    assert contents(longer.out / "side_by_side").keys() == {"matlab/a-s.png"}
    with Image.open(longer.out / "side_by_side/matlab/a-s.png") as row:
        # The content's size twice, and the style at that height.
        assert row.size == (128 + 128 + round(80 * 64 / 60), 64)

"""On the CPU an image has the same bytes however, wherever and in whatever company it is made."""

import csv
import io
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from PIL import Image
from support.runs import Small, command, contents, copy_tree, end, start, wait_until

from stylebatch.device import device
from stylebatch.pictures.sizes import work_size
from stylebatch.run import specs as run_specs

pytestmark = pytest.mark.slow

# Width and height; the folder is the class. At 96 px and buckets of 32 they share eight shapes.
PHOTOS = {
    "ducks/digit.png": (28, 28),
    "ducks/odd.png": (33, 47),
    "ducks/one-bucket.png": (64, 64),
    "gulls/flat.png": (48, 40),
    "gulls/square.png": (224, 224),
    "hawks/landscape.png": (500, 375),
    "hawks/vga.png": (640, 480),
    "hawks/portrait.png": (375, 500),
    "herons/panorama.png": (600, 120),
    "herons/tower.png": (120, 600),
}
STYLES = ("van_gogh_la_cafe", "hokusai_wave")
SIZE_PX, BUCKET_PX = 96, 32
# Two of 96×64, six of 32×32: slots are refilled while others are under way.
REFILLING_PX = 2 * 96 * 64

RECIPE: dict[str, Any] = {
    "content_layers": {"conv3_1": 1},
    "style_layers": {"conv1_1": 1, "conv2_1": 1},
    "bucket_px": BUCKET_PX,
    "tolerance": 0.4,
    "window": 3,
}
FROM_NOISE = RECIPE | {"start": "noise", "levels": 2, "optimizer": "adam", "tolerance": 0}


class Made(NamedTuple):
    """What a run has made, but for times and devices."""

    images: dict[str, bytes]
    losses: dict[str, list[list[str]]]
    metadata: dict[str, dict[str, Any]]


def made(small: Small) -> Made:
    """Collect what a finished run has made."""
    losses = {path: _without_seconds(data) for path, data in contents(small.out / "losses").items()}
    metadata = {
        path: {key: value for key, value in row.items() if key not in ("seconds", "device")}
        for path, row in small.metadata().items()
    }
    return Made(small.images(), losses, metadata)


def _without_seconds(data: bytes) -> list[list[str]]:
    header, *rows = csv.reader(io.StringIO(data.decode()))
    index = header.index("seconds")
    return [row[:index] + row[index + 1 :] for row in [header, *rows]]


def assert_same(found: Made, wanted: Made) -> None:
    """Compare piece by piece, so that a failure names what differs."""
    assert found.images.keys() == wanted.images.keys()
    differs = [path for path, data in wanted.images.items() if found.images[path] != data]
    assert differs == []
    assert found.losses == wanted.losses
    assert found.metadata == wanted.metadata


@pytest.fixture(autouse=True, scope="module")
def _same_threads_after() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def inputs(
    request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Crop and scale real photographs and paintings; write the manifest over them."""
    small = Small(tmp_path_factory.mktemp(request.param))
    for path, size in PHOTOS.items():
        folder = shared / "images/photos" / path.split("/")[0]
        source = sorted(folder.iterdir())[len(path) % 20]
        _write_scaled(source, small.root / "photos" / path, size)
    for name in STYLES:
        source = next((shared / "images/styles").glob(f"{name}*"))
        _write_scaled(source, small.root / f"styles/{name}.png", (160, 120))
    _describe(small, request.param, shared / "weights/vgg19_conv3_4.safetensors")
    small.write()
    return small.root


def _write_scaled(source: Path, target: Path, size: tuple[int, int]) -> None:
    """Crop an image to a size's proportions, from its centre, and scale it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(source) as image:
        scale = min(image.width / size[0], image.height / size[1])
        x, y = image.width / 2, image.height / 2
        half = size[0] * scale / 2, size[1] * scale / 2
        box = (x - half[0], y - half[1], x + half[0], y + half[1])
        image.convert("RGB").resize(size, Image.Resampling.LANCZOS, box).save(target)


def _describe(small: Small, precision: str, weights: Path) -> None:
    """Fill the manifest: images from the content, and some from noise with two levels.

    bfloat16 has fewer: many CPUs only emulate it.
    """
    is_full = precision == "float32"
    small.document["extractor"] = {"weights": str(weights)}
    small.document["run"]["precision"] = precision
    small.pair |= {
        "content": "photos" if is_full else "photos/ducks",
        "size_px": SIZE_PX,
        "steps": 7,
        "override": RECIPE,
    }
    noise = small.pair | {"name": "noise", "into": "noise", "content": "photos/ducks"}
    noise |= {"steps": 3, "override": FROM_NOISE}
    small.document["pairs"] = [small.pair, noise]


@pytest.fixture
def fresh(inputs: Path, tmp_path: Path) -> Small:
    """The project with nothing made of it, the style targets included."""
    copy_tree(inputs, tmp_path / "project")
    return Small(tmp_path / "project")


@pytest.fixture(scope="module")
def alone(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Every image made alone, one after the other, by one thread of this process."""
    small = Small(tmp_path_factory.mktemp("alone") / "project")
    copy_tree(inputs, small.root)
    _run_here(small, threads=1, pixel_budget=1)
    return made(small)


def _run_here(small: Small, threads: int, pixel_budget: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_specs, "computing_cores", lambda: threads)
        patch.setattr(device, "CPU_PIXEL_BUDGET", pixel_budget)
        ended = command("run", str(small.manifest), "--quiet")
    assert ended.code == 0, ended
    assert torch.get_num_threads() == threads


def test_the_shapes_and_endings_are_of_many_kinds(alone: Made) -> None:
    sizes = {work_size(*size, SIZE_PX, BUCKET_PX) for size in PHOTOS.values()}
    assert len(sizes) == 8
    statuses = [row["status"] for row in alone.metadata.values() if row["pair"] == "all"]
    assert {"converged", "budget_spent"} == set(statuses)
    evaluations = {row["evaluations"] for row in alone.metadata.values() if row["pair"] == "all"}
    assert len(evaluations) >= 2
    for path, data in alone.images.items():
        stem = Path(path).stem
        size = next(size for photo, size in PHOTOS.items() if stem.startswith(Path(photo).stem))
        assert Image.open(io.BytesIO(data)).size == size


def test_in_batches_that_are_refilled_with_two_threads(fresh: Small, alone: Made) -> None:
    _run_here(fresh, threads=2, pixel_budget=REFILLING_PX)
    assert_same(made(fresh), alone)


@contextmanager
def _running(small: Small, workers: int) -> "Iterator[subprocess.Popen[str]]":
    """Start a run with workers of their own; leave none of its processes behind."""
    text = small.manifest.read_text()
    assert text.count("executor: inline") == 1
    told = f"executor: local\n  cpu_workers: {workers}"
    small.manifest.write_text(text.replace("executor: inline", told))
    process = start("run", str(small.manifest), "--quiet")
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize("workers", [1, 2])
def test_in_processes_of_their_own(fresh: Small, alone: Made, workers: int) -> None:
    with _running(fresh, workers) as process:
        assert end(process) == (0, "", "")
    assert_same(made(fresh), alone)


def test_after_a_run_that_was_killed(fresh: Small, alone: Made) -> None:
    # On a fast machine all images are published together: the first that is written will do.
    written = fresh.out / ".stylebatch/tmp"
    with _running(fresh, workers=2) as process:
        wait_until(
            lambda: any(written.rglob("*.png.tmp")) or fresh.images() or process.poll() is not None,
            "an image",
        )
    before = fresh.images()
    assert process.returncode == -signal.SIGKILL
    assert len(before) < len(alone.images)
    ended = command("run", str(fresh.manifest), "--executor", "inline", "--quiet")
    assert ended.code == 0, ended
    assert fresh.summary()["done"] >= len(alone.images) - len(before)
    assert_same(made(fresh), alone)

import io
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.paths import ROOT
from support.runs import command
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from stylebatch.demo.demo import MANIFEST, manifest_text, write_demo
from stylebatch.demo.paintings import PAINTINGS
from stylebatch.errors import Problems
from stylebatch.manifest import load_manifest
from stylebatch.pictures.contact_sheet import Cell, contact_sheet
from stylebatch.pictures.images import decode


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    write_demo(folder)
    return folder


def state(folder: Path) -> dict[Path, tuple[int, bytes]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


@pytest.mark.slow
def test_writes_photographs_in_classes_styles_and_a_manifest(demo: Path) -> None:
    written = {path.relative_to(demo).as_posix() for path in state(demo)}
    assert written == {
        "photos/animals/chelsea.png",
        "photos/machines/rocket.jpg",
        "photos/objects/coffee.png",
        "photos/people/astronaut.png",
        "styles/brush_strokes.png",
        "styles/stained_glass.png",
        "pipeline.yaml",
    }


def test_its_manifest_is_right_as_it_is(demo: Path) -> None:
    (pair,) = load_manifest(demo / MANIFEST).pairs
    assert [style.name for style in pair.styles] == ["brush_strokes", "stained_glass"]
    assert pair.settings.weights.source == "shipped"


@pytest.mark.parametrize("name", ["its own", "the repository's"])
def test_a_plan_of_it_warns_of_nothing_and_passes_nothing_over(
    name: str, demo: Path, tmp_path: Path
) -> None:
    shutil.copytree(demo, tmp_path / "demo")
    shutil.copy(ROOT / MANIFEST, tmp_path)
    path = tmp_path / (MANIFEST if name == "the repository's" else f"demo/{MANIFEST}")
    ended = command("plan", str(path))
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.endswith("\n")
    assert not [line for line in ended.out.splitlines() if "warning" in line or "passed" in line]
    assert "12 images to make" in ended.out.splitlines()[-1]


@pytest.mark.slow
def test_what_its_manifest_makes_is_a_set_to_train_on(demo: Path, tmp_path: Path) -> None:
    shutil.copytree(demo, tmp_path / "demo")
    shutil.copy(ROOT / MANIFEST, tmp_path)
    quick = ("--set", "pairs.0.steps=1", "--set", "pairs.0.size_px=32")
    ended = command("run", str(tmp_path / MANIFEST), "--executor", "inline", *quick)
    assert ended.code == 0, ended
    loaded = ImageFolder(tmp_path / "out/images", transform=v2.PILToTensor())
    ((batch, labels),) = DataLoader(loaded, batch_size=12)
    assert batch.shape == (12, 3, 224, 224)
    assert loaded.classes == ["animals", "machines", "objects", "people"]
    assert labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_its_manifest_can_stand_above_the_demonstration(demo: Path) -> None:
    manifest = demo.parent / "above.yaml"
    manifest.write_text(manifest_text(below=f"{demo.name}/", output="elsewhere"))
    loaded = load_manifest(manifest)
    assert loaded.pairs[0].content == f"{demo.name}/photos"
    assert loaded.output == demo.parent / "elsewhere"


def test_writing_again_touches_nothing(demo: Path) -> None:
    before = state(demo)
    assert write_demo(demo) == []
    assert state(demo) == before


def test_writing_again_brings_back_only_what_is_missing(demo: Path) -> None:
    before = state(demo)
    removed = [demo / "styles" / "stained_glass.png", demo / "photos" / "objects" / "coffee.png"]
    for path in removed:
        path.unlink()
    assert sorted(write_demo(demo)) == sorted(removed)
    after = state(demo)
    assert {path: data for path, (_, data) in after.items()} == {
        path: data for path, (_, data) in before.items()
    }


def test_an_edited_manifest_stays(demo: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(demo, tmp_path / "copy")
    (copy / MANIFEST).write_text("mine")
    assert write_demo(copy) == []
    assert (copy / MANIFEST).read_text() == "mine"


def test_files_with_other_content_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    others = [tmp_path / "photos/animals/chelsea.png", tmp_path / "styles/brush_strokes.png"]
    for path in others:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"mine")
    with pytest.raises(Problems) as caught:
        write_demo(tmp_path)
    assert str(caught.value).splitlines() == [
        f"{path}: is there with other content; nothing is overwritten; "
        "move it away, or choose another folder"
        for path in others
    ]
    assert sorted(state(tmp_path)) == sorted(others)


def test_without_scikit_image_the_message_says_what_to_install(tmp_path: Path) -> None:
    """A real environment without it: this one's packages, each by a link, but for skimage."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if entry.name != "skimage":
            (packages / entry.name).symlink_to(entry)
    program = (
        "from pathlib import Path; from stylebatch.demo import write_demo; write_demo(Path('x'))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(packages)])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stderr.splitlines()[-1] == (
        "stylebatch.demo.demo.DemoError: x: the photographs come with scikit-image, which is not "
        "installed; allowed is scikit-image 0.22 or newer; pip install 'stylebatch[demo]'"
    )
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", PAINTINGS)
def test_paintings_have_many_colours_and_strong_local_structure(demo: Path, name: str) -> None:
    rgb = decode((demo / "styles" / f"{name}.png").read_bytes(), name).rgb
    assert rgb.shape == (512, 512, 3)
    assert len(np.unique(rgb.reshape(-1, 3) // 32, axis=0)) > 100
    steps = np.abs(np.diff(rgb.astype(int), axis=1)).mean()
    assert steps > 8


def test_a_sheet_has_a_cell_for_each_picture_and_fits_long_captions() -> None:
    wide, tall = np.full((50, 100, 3), 200, np.uint8), np.full((100, 50, 3), 10, np.uint8)
    rows = [[Cell(wide, "a"), Cell(tall, "b\nc"), Cell(wide, "d" * 500)], [Cell(wide)]]
    sheet = Image.open(io.BytesIO(contact_sheet(rows, ["content", "style", "result"], 96)))
    pixels = np.asarray(sheet)
    assert sheet.width == 6 + 3 * (96 + 6)
    assert (pixels == 10).all(axis=2).sum() == 48 * 96
    assert (pixels == 200).all(axis=2).sum() == 3 * 96 * 48
    assert (pixels[:, -6:] == pixels[0, 0]).all()


def test_a_sheet_of_nothing_is_still_a_picture() -> None:
    assert decode(contact_sheet([]), "x").rgb.size > 0

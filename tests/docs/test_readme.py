"""What the README shows does what it says."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from support.documents import PAGES, blocks
from support.paths import ROOT

from stylebatch.demo import write_demo
from stylebatch.manifest import Manifest, load_manifest

pytestmark = pytest.mark.slow

FIRST, TRAINING, PAIRS = blocks("README.md", "yaml")


def loaded(folder: Path, text: str) -> Manifest:
    """Load a manifest beside the demonstration, as after `make run`."""
    write_demo(folder / "demo")
    (folder / "pipeline.yaml").write_text(text, encoding="utf-8")
    manifest = load_manifest(folder / "pipeline.yaml")
    return replace(manifest, pairs=tuple(replace(pair, line=0) for pair in manifest.pairs))


def test_the_library_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = blocks("README.md", "python")
    write_demo(tmp_path / "demo")
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    assert (tmp_path / "chelsea.png").stat().st_size > 10_000


def test_the_manifest_is_what_make_run_runs(tmp_path: Path) -> None:
    own = (ROOT / "pipeline.yaml").read_text(encoding="utf-8")
    assert loaded(tmp_path, FIRST) == loaded(tmp_path, own)
    done = subprocess.run(["make", "-n", "run"], cwd=ROOT, capture_output=True, text=True)
    assert "stylebatch run pipeline.yaml" in done.stdout


def test_masks_sweep_and_override_are_as_shown(tmp_path: Path) -> None:
    write_demo(tmp_path)
    shutil.copytree(tmp_path / "photos", tmp_path / "masks")
    text = yaml.safe_dump(yaml.safe_load(FIRST) | yaml.safe_load(PAIRS))
    points = loaded(tmp_path, text).pairs
    assert [pair.name for pair in points] == [
        f"paintings:style_weight={weight}" for weight in (5, 10, 20)
    ]
    assert {pair.masks for pair in points} == {"masks"}
    assert {pair.assign.count for pair in points} == {2}
    assert {pair.strength for pair in points} == {(0.5, 2)}
    assert {pair.settings.recipe.color for pair in points} == {"content"}
    assert {pair.settings.recipe.style_scales for pair in points} == {(0.5, 1)}


def test_the_manifest_of_a_training_set_says_what_it_does(tmp_path: Path) -> None:
    write_demo(tmp_path)
    text = yaml.safe_dump(yaml.safe_load(FIRST) | yaml.safe_load(TRAINING))
    (pair,) = loaded(tmp_path, text).pairs
    assert (pair.split.kind, pair.assign.count) == ("shares", 2)
    assert pair.settings.recipe.output_size == (256, 256)


def test_the_first_screen_has_what_it_is_a_picture_a_manifest_and_two_commands() -> None:
    screen = PAGES["README.md"].partition("\n## ")[0]
    assert "](docs/picture.png)" in screen
    assert FIRST in screen
    commands = blocks("README.md", "")[0].splitlines()
    assert [command.split("#")[0].strip() for command in commands] == ["make run", "make test"]
    assert len(FIRST.splitlines()) <= 12

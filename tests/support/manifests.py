"""A small manifest over tiny inputs, and what becomes of it when it is changed."""

from pathlib import Path

import pytest
from PIL import Image

from stylebatch.errors import Problems
from stylebatch.manifest import Manifest, ManifestError, load_manifest

GOOD = """\
version: 1
output: out
seed: 0
extractor:
  weights: random
defaults:
  recipe: balanced
pairs:
  - name: paintings
    content: photos
    styles: [styles/a.png]
    size_px: 128
run:
  executor: inline
"""


def write_inputs(folder: Path) -> None:
    """Write photographs, styles and what is none of them."""
    for path in ("photos/ducks/x.jpg", "styles/a.png", "styles/b.jpg", "styles/more/c.png"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (len(path), 7, 9)).save(folder / path)
    (folder / "styles/notes.txt").write_text("no image")
    (folder / "empty").mkdir()
    (folder / "map.csv").write_text("file,style\n")


def load(text: str) -> Manifest:
    """Load a manifest that stands in the working directory."""
    Path("pipeline.yaml").write_text(text, encoding="utf-8")
    return load_manifest(Path("pipeline.yaml"))


def changed(old: str, new: str) -> str:
    """Return the good manifest with one part replaced."""
    assert GOOD.count(old) == 1, f"{old!r} is not there once"
    return GOOD.replace(old, new)


def messages(text: str) -> list[str]:
    """Return the messages of a manifest that can't be used."""
    with pytest.raises((ManifestError, Problems)) as caught:
        load(text)
    assert caught.value.exit_code == 2
    return str(caught.value).splitlines()

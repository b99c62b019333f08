"""docs/tutorial.md: its commands and its code, in order, on the demonstration's inputs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.documents import blocks
from support.paths import ROOT
from support.runs import PATIENCE_S, contents, one_core

pytestmark = pytest.mark.slow

PAGE = "docs/tutorial.md"
COMMAND = f"""#!/bin/sh
exec {sys.executable} -m stylebatch "$@"
"""


class Reader:
    """Somebody who follows the page in a folder, with `stylebatch` on the path."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "work"
        self.folder.mkdir()
        programs = root / "bin"
        programs.mkdir()
        (programs / "stylebatch").write_text(COMMAND)
        (programs / "stylebatch").chmod(0o755)
        path = f"{programs}:{os.environ['PATH']}"
        own = {"PATH": path, "PYTHONPATH": str(ROOT), "STYLEBATCH_CACHE": str(root / "cache")}
        self.environment = {**os.environ, **own}

    def run(self, *arguments: str) -> str:
        """Run something to its end, without an error or a word on stderr."""
        with one_core():
            done = subprocess.run(
                arguments,
                cwd=self.folder,
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
            )
        assert (done.returncode, done.stderr) == (0, ""), (arguments, done)
        return done.stdout


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Reader, list[str], list[str]]:
    """Follow the whole page once; return the reader, and what commands and code have printed."""
    reader = Reader(tmp_path_factory.mktemp("tutorial"))
    said = [reader.run("sh", "-e", "-c", text) for text in blocks(PAGE, "sh")]
    # The second part goes on in the first one's session.
    first, second = blocks(PAGE, "python")
    printed = [reader.run(sys.executable, "-c", text) for text in (first, first + second)]
    return reader, said, printed


def test_the_commands_make_the_set_that_is_shown(
    told: tuple[Reader, list[str], list[str]],
) -> None:
    reader, (_, drafted, _, looked, ran), _ = told
    assert "photos: 4 photographs, 4 classes" in drafted
    assert "time: " in drafted
    assert "8 images to make" in looked
    assert "2 images on one sheet: out-preview.png" in looked
    assert "8 images made in" in ran
    assert "8 of 8 images are there" in ran
    made = contents(reader.folder / "out/images")
    assert len(made) == 8
    shown = re.findall(r"^  images/(\S+\.png)$", "\n".join(blocks(PAGE, "")), re.MULTILINE)
    assert len(shown) == 2
    assert set(shown) <= made.keys()


def test_the_folders_are_as_shown(told: tuple[Reader, list[str], list[str]]) -> None:
    reader, _, _ = told
    (tree,) = (text for text in blocks(PAGE, "") if text.startswith("photos/"))
    folder = ""
    for line in tree.splitlines():
        if line.endswith("/"):
            folder = line
        elif line.strip() != "…":
            assert (reader.folder / folder / line.strip()).is_file(), line


def test_the_code_trains_on_photographs_and_stylised_images(
    told: tuple[Reader, list[str], list[str]],
) -> None:
    _, _, (trained, chosen) = told
    assert re.fullmatch(r"(epoch \d: loss \d+\.\d\d\n){2}", trained)
    assert chosen.splitlines()[-1] == "4 of 8 images"

"""docs/tutorial.md: its commands, in order, on the demonstration's inputs."""

import re

import pytest
from support.documents import blocks
from support.reader import Reader
from support.runs import contents

pytestmark = pytest.mark.slow

PAGE = "docs/tutorial.md"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Reader, list[str]]:
    """Follow the whole page once; return the reader, and what commands have printed."""
    reader = Reader(tmp_path_factory.mktemp("tutorial"))
    return reader, [reader.run("sh", "-e", "-c", text) for text in blocks(PAGE, "sh")]


def test_the_commands_make_the_set_that_is_shown(
    told: tuple[Reader, list[str]],
) -> None:
    reader, (_, drafted, _, looked, ran) = told
    assert "photos: 4 photographs, 4 classes" in drafted
    assert "time: " in drafted
    assert "8 images to make" in looked
    assert "2 images on one sheet: out-preview.png" in looked
    assert "8 images made in" in ran
    assert "8 of 8 images are done" in ran
    made = contents(reader.folder / "out/images")
    assert made.pop("metadata.jsonl")
    assert len(made) == 8
    shown = re.findall(r"^  images/(\S+\.png)$", "\n".join(blocks(PAGE, "")), re.MULTILINE)
    assert len(shown) == 2
    assert set(shown) <= made.keys()


def test_the_folders_are_as_shown(told: tuple[Reader, list[str]]) -> None:
    reader, _ = told
    (tree,) = (text for text in blocks(PAGE, "") if text.startswith("photos/"))
    folder = ""
    for line in tree.splitlines():
        if line.endswith("/"):
            folder = line
        elif line.strip() != "…":
            assert (reader.folder / folder / line.strip()).is_file(), line

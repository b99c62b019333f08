"""docs/export.md: its commands and its code, on a real output; its tables."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from support.documents import blocks, table
from support.runs import Small, command, small_project

from stylebatch.cli.main import load_command

PAGE = "docs/export.md"
LIBRARIES = {"webdataset": "webdataset", "parquet": "datasets", "coco": "pycocotools"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    small = small_project(tmp_path_factory.mktemp("documented"))
    assert small.run().code == 0
    return small


def exports() -> dict[str, list[str]]:
    """Return the arguments of the page's commands, by format."""
    lines = "".join(blocks(PAGE, "")).splitlines()
    found = [shlex.split(line)[1:] for line in lines if line.startswith("stylebatch export ")]
    return {words[1]: words for words in found}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", exports())
def test_an_example_does_what_it_says(
    small: Small, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small.root)
    assert command(*exports()[name]).code == 0
    if name not in LIBRARIES:
        return
    pytest.importorskip(LIBRARIES[name])
    (code,) = (
        text for text in blocks(PAGE, "python") if f"from {LIBRARIES[name]} import" in _needs(text)
    )
    found: dict[str, Any] = {}
    exec(code, found)
    loaded = found["loaded"]["train"] if name == "parquet" else found["loaded"]
    assert sum(1 for _ in loaded) == len(small.images())


def _needs(code: str) -> str:
    return code.replace("from torchvision.datasets", "from pycocotools").replace(
        "import webdataset", "from webdataset import"
    )


def test_the_tables_name_every_format_and_every_option() -> None:
    group = load_command("export")
    assert [row[0].strip("`") for row in table(PAGE, "| format |")] == list(group.commands)
    assert exports().keys() == group.commands.keys()
    told: dict[str, set[str]] = {}
    for option, of, _ in table(PAGE, "| option |"):
        for name in group.commands if of == "all" else of.split(", "):
            told.setdefault(name, set()).update(re.findall(r"--[a-z-]+", option))
    known = {
        name: {option for each in one.params for option in each.opts if option.startswith("--")}
        for name, one in group.commands.items()
    }
    assert told == known


def test_the_page_is_found_from_where_people_look() -> None:
    root = Path(__file__).parents[2]
    for page in ("README.md", "docs/running.md", "docs/output.md", "docs/README.md"):
        assert "export.md" in (root / page).read_text(encoding="utf-8")

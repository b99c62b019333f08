"""The card: what it tells, and whose lines are whose."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.projects import Project, project_of_three

from stylebatch.ledger import Ledger
from stylebatch.manifest import Pair
from stylebatch.run.card import name_splits
from stylebatch.run.metadata import write_records


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return project_of_three(tmp_path)


@pytest.fixture
def pair(project: Project) -> Pair:
    return project.pair([project.style("wave.png", 1), project.style("sky.png", 2)])


def told(project: Project) -> dict[str, Any]:
    """Return the YAML of the card."""
    text = project.dataset.card.read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


def test_it_tells_what_is_there(project: Project, pair: Pair) -> None:
    project.run(pair)
    text = project.dataset.card.read_text(encoding="utf-8")
    assert "| `train` | 0 | 6 |" in text
    assert "Classes (2): `cats`, `dogs`." in text
    assert "`styles/sky.png` (3), `styles/wave.png` (3)" in text
    assert "| `all` | `photos` | 6 | `settings` |" in text
    card = told(project)
    assert (card["license"], card["pretty_name"]) == ("unknown", "out")
    assert card["size_categories"] == ["n<1K"]
    (config,) = card["configs"]
    paths = ["images/**/*.png", "metadata.jsonl"]
    assert config["data_files"] == [{"split": "train", "path": paths}]
    assert config["features"] == card["dataset_info"]["features"]


def change(project: Project, *changes: tuple[str, str]) -> str:
    text = project.dataset.card.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    project.dataset.card.write_text(text, encoding="utf-8")
    return text


def test_what_a_user_writes_stays_and_the_rest_is_written_anew(
    project: Project, pair: Pair
) -> None:
    project.run(pair)
    mine = (
        ("license: unknown  # fill in", "license: cc-by-4.0\nlanguage: en  # mine"),
        ("\n# out\n", "\n# My birds\n\nOf the garden.\n"),
        ("Fill in: ", "By my aunt, "),
    )
    before = change(project, *mine)
    project.photo("cats/more.png", 9)
    project.run(pair)
    after = project.dataset.card.read_text(encoding="utf-8")
    assert "| `train` | 0 | 8 |" in after
    assert after == before.replace("| 6 |", "| 8 |").replace("(3)", "(4)")
    assert told(project)["license"] == "cc-by-4.0"


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: "# Mine\n",
        lambda text: "",
        lambda text: text.replace("# </stylebatch>\n", ""),
        lambda text: text.replace("<!-- </stylebatch> -->", ""),
        lambda text: text + "\n" + text,
    ],
)
def test_a_readme_of_ones_own_is_left_alone(
    project: Project, pair: Pair, edit: Callable[[str], str]
) -> None:
    project.run(pair)
    own = edit(project.dataset.card.read_text(encoding="utf-8"))
    project.dataset.card.write_text(own, encoding="utf-8")
    project.photo("cats/more.png", 9)
    project.run(pair)
    assert project.dataset.card.read_text(encoding="utf-8") == own
    assert len(project.dataset.metadata.read_text().splitlines()) == 8


def test_a_readme_that_was_there_first_or_is_no_text_is_left_alone(
    project: Project, pair: Pair
) -> None:
    project.dataset.root.mkdir()
    project.dataset.card.write_bytes(b"\xff\xfe mine")
    project.run(pair)
    assert project.dataset.card.read_bytes() == b"\xff\xfe mine"


def test_it_is_written_only_where_it_changes(project: Project, pair: Pair) -> None:
    project.run(pair)
    before = project.dataset.card.stat()
    project.dataset.metadata.unlink()
    project.run(pair)
    assert project.dataset.card.stat().st_ino == before.st_ino
    project.dataset.card.unlink()
    project.run(pair)
    assert project.dataset.card.is_file()


def with_splits(project: Project, *splits: str | None) -> None:
    """Let the images of the ledger be in splits, in turn."""
    with project.ledger() as ledger:
        rows = ledger._connection.execute("SELECT folder, name FROM jobs").fetchall()
        for number, row in enumerate(rows):
            split = splits[number % len(splits)]
            query = "UPDATE jobs SET split = ? WHERE folder = ? AND name = ?"
            ledger._connection.execute(query, (split, *row))
        ledger._connection.commit()
        ledger.put("written", None)
        write_records(project.dataset, ledger)


def test_each_split_has_a_file_of_its_lines_as_long_as_there_are_several(
    project: Project, pair: Pair
) -> None:
    project.run(pair)
    (project.dataset.root / "metadata-mine.jsonl").write_text("mine")
    with_splits(project, "train", "val", None)
    lines = project.dataset.metadata.read_text(encoding="utf-8").splitlines()
    parts = {}
    for split in ("train", "validation"):
        path = project.dataset.root / f"metadata-{split}.jsonl"
        types, *parts[split] = path.read_text(encoding="utf-8").splitlines()
        assert '"kind": "types of the columns"' in types
    assert (len(parts["train"]), len(parts["validation"])) == (4, 2)
    assert sorted(parts["train"] + parts["validation"]) == sorted(lines)
    with_splits(project, "train")
    left = {path.name for path in project.dataset.root.glob("metadata*")}
    assert left == {"metadata.jsonl", "metadata-mine.jsonl"}
    assert "metadata_filenames" not in told(project)["configs"][0]


def test_where_the_card_is_the_user_s_splits_have_no_files(project: Project, pair: Pair) -> None:
    project.run(pair)
    project.dataset.card.write_text("mine")
    with_splits(project, "train", "val")
    assert [path.name for path in project.dataset.root.glob("metadata*")] == ["metadata.jsonl"]


@pytest.mark.parametrize(
    ("splits", "called"),
    [
        (["train", "val", "test"], ["train", "validation", "test"]),
        (["Training", "dev", "eval"], ["train", "validation", "test"]),
        (["eval", "test", "holdout"], ["eval", "test", "holdout"]),
        (["my split", "é-1"], ["my_split", "é_1"]),
    ],
)
def test_splits_are_called_as_hugging_face_calls_them(splits: list[str], called: list[str]) -> None:
    names = name_splits([*splits, None])
    assert [names[split] for split in splits] == called
    assert names[None] == "train"
    assert all(re.fullmatch(r"\w+", name) for name in names.values())


def test_two_splits_are_never_called_the_same() -> None:
    names = name_splits(["a b", "a-b", "A B", "a_b_2", "eval", "test", "train", "training"])
    del names[None]
    # On some disks names of files don't differ by case.
    assert len({name.lower() for name in names.values()}) == 8


def test_nothing_is_told_of_an_output_without_images(project: Project) -> None:
    project.dataset.make_folders()
    with Ledger.open(project.dataset.ledger) as ledger:
        write_records(project.dataset, ledger)
    assert "| `train` | 0 | 0 |" in project.dataset.card.read_text(encoding="utf-8")

"""docs/training.md: its commands, its manifest and its code, in order, on the demonstration."""

import importlib.util
import inspect
import re
import sys

import pytest
from support.documents import blocks, table
from support.reader import Reader
from support.runs import contents, lines

from stylebatch.data import StylisedDataset

pytestmark = pytest.mark.slow

PAGE = "docs/training.md"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Somebody who has made the set of the page."""
    reader = Reader(tmp_path_factory.mktemp("training"))
    (manifest,) = blocks(PAGE, "yaml")
    (reader.folder / "pipeline.yaml").write_text(manifest, encoding="utf-8")
    cache = str(reader.folder.parent / "hf")
    reader.environment |= {"HF_HOME": cache, "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    for text in blocks(PAGE, "sh"):
        reader.run("sh", "-e", "-c", text)
    return reader


def test_the_set_has_photographs_of_both_splits_and_versions_of_one(reader: Reader) -> None:
    rows = lines(reader.folder / "out/metadata.jsonl")
    assert {(row["split"], row["kind"]) for row in rows} == {
        ("train", "original"),
        ("train", "stylised"),
        ("val", "original"),
    }
    assert len({row["content"] for row in rows}) == 4
    there = contents(reader.folder / "out/images").keys()
    tables = {"train/metadata.jsonl", "val/metadata.jsonl"}
    assert there == {row["file_name"].removeprefix("images/") for row in rows} | tables


def test_the_code_trains_and_chooses_a_style(reader: Reader) -> None:
    # The second part goes on in the first one's session. Workers need a file and a main.
    first, second, *_ = blocks(PAGE, "python")
    said = reader.run(sys.executable, "-c", first + second).splitlines()
    rows = lines(reader.folder / "out/metadata.jsonl")
    count = {split: len({row["content"] for row in rows if row["split"] == split}) for split in
             ("train", "val")}  # fmt: skip
    for epoch, line in enumerate(said[:2]):
        number = rf"\d+ of {count['val']} right"
        assert re.fullmatch(rf"epoch {epoch}: loss \d+\.\d\d, {number}", line), said
    assert said[2:] == [f"{count['train']} photographs"]


def test_other_loaders_see_the_same_images(reader: Reader) -> None:
    rows = lines(reader.folder / "out/metadata.jsonl")
    *_, folder, hugging_face = blocks(PAGE, "python")
    train = [row for row in rows if row["split"] == "train"]
    assert reader.run(sys.executable, "-c", folder) == f"{len(train)} images of train\n"
    if importlib.util.find_spec("datasets") is None:
        pytest.skip("needs datasets")
    photographs = [row for row in train if row["kind"] == "original"]
    assert reader.run(sys.executable, "-c", hugging_face) == (
        f"{len(photographs)} photographs of train, {len(rows) - len(train)} of val\n"
    )


def test_the_arguments_are_those_that_are_told() -> None:
    told = [row[0].strip("`") for row in table(PAGE, "| argument |")]
    there = [name for name in inspect.signature(StylisedDataset).parameters if name != "root"]
    assert told == there

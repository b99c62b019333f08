"""docs/manifest.md: its tables are the schema's, and every example in them is taken."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from pydantic import BaseModel
from support.documents import blocks, table
from support.paths import ROOT
from support.runs import PATIENCE_S, command

from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.manifest import Manifest, load_manifest
from stylebatch.manifest.annotation_fields import AnnotationFields, TableFields
from stylebatch.manifest.file_fields import FormatFields, OriginalsFields
from stylebatch.manifest.run_fields import Run
from stylebatch.manifest.schema import (
    Choice,
    Extractor,
    ManifestFields,
    NormalisationFields,
    PairFields,
    SplitBy,
    StyleFields,
)
from stylebatch.plan.style_table import read_table
from stylebatch.recipes import PROSE, Recipe, SecondPass

PAGE = "docs/manifest.md"
# Each table by what stands before it, and the model that reads it.
TABLES: dict[str, type[BaseModel]] = {
    "top": ManifestFields,
    "extractor": Extractor,
    "normalisation": NormalisationFields,
    "pairs": PairFields,
    "styles": StyleFields,
    "assign": Choice,
    "split": SplitBy,
    "format": FormatFields,
    "originals": OriginalsFields,
    "annotations": AnnotationFields,
    "table": TableFields,
    "second_pass": SecondPass,
    "run": Run,
}
PAIR: dict[str, Any] = {"name": "one", "content": "photos", "styles": ["styles"]}
# What an example needs beside it.
BESIDE: dict[str, dict[str, Any]] = {
    "variants": {"strength": [0.5, 2]},
    "stylise": {"split": {"shares": {"train": 0.9, "val": 0.1}}},
    "normalisation": {"weights": "random"},
}
INPUTS = (
    *("photos/cats/a.jpg", "photos/dogs/b.jpg", "masks/cats/a.png"),
    *("styles/wave.jpg", "styles/van_gogh/c.jpg", "styles/a.jpg", "styles/b.jpg"),
)


def rows(name: str) -> dict[str, list[str]]:
    """Return a table's cells behind each key."""
    found = table(PAGE, "| key |", f"<!-- keys: {name} -->")
    return {row[0].strip("`"): row[1:] for row in found}


def example(cell: str) -> Any:
    return yaml.safe_load(cell.strip("`"))


def load(folder: Path, **sections: Any) -> Manifest:
    """Load a manifest with some sections among all files that the examples name."""
    for path in INPUTS:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32)).save(folder / path)
    (folder / "map.csv").write_text("content,style\n")
    for name in ("train.txt", "val.txt"):
        (folder / name).write_text("cats/a.jpg\n")
    for path in ("labels", "Annotations", "seg"):
        (folder / path).mkdir(exist_ok=True)
    for path in ("instances.json", "boxes.csv"):
        (folder / path).write_text("")
    document = {"version": 1, "output": "out", "pairs": [PAIR], **sections}
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(document))
    return load_manifest(folder / "pipeline.yaml")


def run_script(script: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def test_the_page_is_up_to_date() -> None:
    done = run_script(ROOT / "docs/make_manifest.py", "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_page_that_is_not_up_to_date_is_found_and_mended(tmp_path: Path) -> None:
    script = Path(shutil.copy(ROOT / "docs/make_manifest.py", tmp_path))
    page = Path(shutil.copy(ROOT / PAGE, tmp_path))
    written = page.read_text(encoding="utf-8")
    changed = written.replace("| the data set's root |", "| anything |")
    changed = re.sub(r"^\| `max_retries` .*\n", "", changed, flags=re.MULTILINE)
    page.write_text(changed, encoding="utf-8")
    done = run_script(script, "--check")
    assert done.returncode == 1
    assert "python docs/make_manifest.py" in done.stderr
    assert page.read_text(encoding="utf-8") == changed
    assert run_script(script).returncode == 0
    assert page.read_text(encoding="utf-8") == written


@pytest.mark.parametrize(("name", "model"), TABLES.items(), ids=list(TABLES))
def test_a_table_has_every_key_with_its_default_and_text(name: str, model: type[BaseModel]) -> None:
    told = rows(name)
    assert told.keys() == model.model_fields.keys()
    for key, field in model.model_fields.items():
        _, default, _, what = told[key]
        if field.is_required():
            assert default == "required", key
        elif field.default is not None:
            assert default == str(field.default), key
        assert what == " ".join((field.description or "").split()), key
        assert what, key
    for key in model.model_json_schema().get("required", ()):
        assert told[key][1] == "required", key


def test_of_a_pair_what_it_can_not_do_without_is_required(tmp_path: Path) -> None:
    required = {key for key, row in rows("pairs").items() if row[1] == "required"}
    for key in PAIR:
        pair = {name: value for name, value in PAIR.items() if name != key}
        with pytest.raises(Exception, match=f"no '{key}'"):
            load(tmp_path, pairs=[pair])
    assert required == PAIR.keys()


@pytest.mark.parametrize("key", rows("pairs"))
def test_an_example_of_a_pair_s_key_is_taken(key: str, tmp_path: Path) -> None:
    value = example(rows("pairs")[key][2])
    assert load(tmp_path, pairs=[PAIR | BESIDE.get(key, {}) | {key: value}]).pairs


@pytest.mark.parametrize(
    ("section", "key"),
    [(section, key) for section in ("extractor", "run") for key in rows(section)],
)
def test_an_example_of_a_section_s_key_is_taken(section: str, key: str, tmp_path: Path) -> None:
    value = example(rows(section)[key][2])
    assert load(tmp_path, **{section: BESIDE.get(key, {}) | {key: value}}).pairs


@pytest.mark.parametrize("key", rows("top"))
def test_an_example_at_the_top_is_taken(key: str, tmp_path: Path) -> None:
    assert load(tmp_path, **{key: example(rows("top")[key][2])}).pairs


def test_examples_of_smaller_mappings_are_taken_together(tmp_path: Path) -> None:
    whole = {
        name: {key: example(row[2]) for key, row in rows(name).items()}
        for name in ("normalisation", "styles", "second_pass")
    }
    given = {"weights": "random", "normalisation": whole["normalisation"]}
    path = {key: whole["styles"].pop(key) for key in ("path",)} | {"weight": 2}
    drawn = {"styles": [whole["styles"], path], "copies": 1}
    pair = PAIR | drawn | {"override": {"second_pass": whole["second_pass"]}}
    (loaded,) = load(tmp_path, extractor=given, pairs=[pair]).pairs
    assert [style.key for style in loaded.styles] == ["blend:dusk", "styles/wave.jpg"]
    assert [style.weight for style in loaded.styles] == [2, 2]
    assert loaded.settings.recipe.second_pass == SecondPass(**whole["second_pass"])
    for name in ("split", "format"):
        for key, row in rows(name).items():
            assert load(tmp_path, pairs=[PAIR | {name: {key: example(row[2])}}]).pairs
    carried = {key: example(row[2]) for key, row in rows("originals").items()}
    (loaded,) = load(tmp_path, pairs=[PAIR | {"originals": carried}]).pairs
    assert (loaded.originals.how, loaded.originals.share) == ("copy", 0.5)
    for key, row in rows("annotations").items():
        given = {"yolo": "labels", key: example(row[2])}
        (loaded,) = load(tmp_path, pairs=[PAIR | {"annotations": given}]).pairs
        assert loaded.annotations is not None
    named = {key: example(row[2]) for key, row in rows("table").items()}
    (loaded,) = load(tmp_path, pairs=[PAIR | {"annotations": {"csv": named}}]).pairs
    assert loaded.annotations is not None
    assert loaded.annotations.csv_box == ("x1", "y1", "x2", "y2")
    for key, row in rows("assign").items():
        beside = {"sample": 1} if key == "draw" else {}
        assert load(tmp_path, pairs=[PAIR | {"assign": beside | {key: example(row[2])}}]).pairs


def test_the_fields_of_an_override_are_the_recipe_s_with_the_usual_one_s_values(
    tmp_path: Path,
) -> None:
    told = rows("override")
    assert told.keys() == Recipe.model_fields.keys() - set(PROSE)
    values = {key: example(row[1]) for key, row in told.items()}
    (plain,) = load(tmp_path).pairs
    (written,) = load(tmp_path, pairs=[PAIR | {"override": values}]).pairs
    # All of them written out change nothing: they are what `balanced` has.
    assert written.settings == plain.settings
    assert {key: row[-1] for key, row in told.items()} == {
        key: Recipe.model_fields[key].description for key in told
    }


def test_types_name_what_is_allowed() -> None:
    assert rows("extractor")["arch"][0] == f"one of {', '.join(ARCHITECTURES)}"
    assert rows("pairs")["steps"][0] == "a whole number from 1 to 100000"
    assert rows("run")["deadline"][0] == "a number above 0 or text like 8h, 90m, 1h30m"


def test_the_table_of_styles_is_one(tmp_path: Path) -> None:
    (written,), (text, *_) = (blocks(PAGE, language) for language in ("csv", "yaml"))
    styles = load(tmp_path, **yaml.safe_load(text)).pairs[0].styles
    found = read_table(written.encode(), "map.csv", styles, root=Path())
    assert [len(found.versions_of(path)) for path in ("cats/a.jpg", "dogs/b.jpg")] == [2, 1]


def test_the_editor_reads_the_file_that_the_command_writes() -> None:
    (line,) = (text for text in blocks(PAGE, "") if "stylebatch schema" in text)
    written = line.strip().rpartition("> ")[2]
    named = re.findall(r"^# yaml-language-server: \$schema=(\S+)$", (ROOT / PAGE).read_text(), re.M)
    assert named == [written]
    (setting,) = blocks(PAGE, "json")
    schema = yaml.safe_load(command("schema").out)
    assert list(yaml.safe_load(setting)["yaml.schemas"]) == [written]
    # What the page promises of an editor: keys with a text, and keys that are not known refused.
    assert all(told["description"] for told in schema["properties"].values())
    assert schema["additionalProperties"] is False

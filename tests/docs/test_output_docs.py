"""docs/output.md: every file, field, column, status and exit code that it tells, by real runs."""

import json
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.documents import table
from support.drawn import Drawn
from support.paths import ROOT
from support.runs import Small, command, contents, end, lines, small_project, start, wait_until

from stylebatch.run import Stop
from stylebatch.transfer.problem import Status

pytestmark = pytest.mark.slow

PAGE = "docs/output.md"
TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "whole number": (int,),
    "number": (int, float),
    "true or false": (bool,),
    "mapping": (dict,),
    "list": (list,),
    "null": (type(None),),
}
# What a placeholder of a path stands for.
PLACEHOLDERS = {
    "CLASS": r"[\w/]+",
    "STEM-STYLE": r"\w+-\w+",
    "SPLIT": r"\w+",
    "STEM": r"\w+",
    "NUMBER": r"\d+",
    "SUFFIX": r"\w+",
    "RUN": r"\d+T[\d.]+-\d+",
    "I-of-N": r"\d+-of-\d+",
    "FINGERPRINT": r"[0-9a-f]{32}",
    "N.parquet": r"\d-[0-9a-f]{8}\.parquet",
}


# Keys of the metadata that only some runs, and some photographs, have.
SOMETIMES = {"loss_log", "levels", "pages"}
ANNOTATIONS = {
    *("labels/CLASS/STEM-STYLE.txt", "labels/classes.txt", "data.yaml", "annotations_coco.json"),
    *("annotations_voc/CLASS/STEM-STYLE.xml", "masks/CLASS/STEM-STYLE.png", "annotations.csv"),
    "files/CLASS/STEM-STYLE.SUFFIX",
}


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def types(header: str) -> dict[str, str]:
    """Return the types that a table tells, by key."""
    return {key: row[1] for row in table(PAGE, header) for key in names(row[0])}


def firsts(header: str) -> list[str]:
    return [row[0].strip("`") for row in table(PAGE, header)]


def files() -> dict[str, "re.Pattern[str]"]:
    """Return a pattern for each path of the table of files; of a folder for what is below it."""
    patterns = {}
    for path in firsts("| file |"):
        text = re.escape(path).replace(r"I\-of\-N", "I-of-N").replace(r"STEM\-STYLE", "STEM-STYLE")
        text = text.replace(r"\-N\.parquet", "-N.parquet")
        for name, stands_for in PLACEHOLDERS.items():
            text = text.replace(name, stands_for)
        patterns[path] = re.compile(text + (".*" if path.endswith("/") else ""))
    return patterns


def told_of(out: Path) -> set[str]:
    """Return the table's rows that the files of an output stand in; each stands in one."""
    rows = set()
    for path in contents(out):
        found = [row for row, pattern in files().items() if pattern.fullmatch(path)]
        assert len(found) == 1, (path, found)
        rows.update(found)
    return rows


def check_types(told: dict[str, str], found: dict[str, Any]) -> None:
    assert list(found) == list(told) or found.keys() == told.keys()
    for key, value in found.items():
        words = [told[key]] if told[key] in TYPES else told[key].split(" or ")
        allowed = [kind for word in words for kind in TYPES[word]]
        assert isinstance(value, tuple(allowed)), (key, value)
        # A truth value is a whole number to Python.
        assert isinstance(value, bool) == (told[key] == "true or false"), key


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A run with all that can come out: masks, pictures on the way, noise, an image that fails."""
    small = small_project(tmp_path_factory.mktemp("ran"))
    shutil.copytree(small.root / "photos", small.root / "masks")
    for path in (small.root / "masks").rglob("*.png"):
        Image.open(path).convert("L").save(path)
    (small.root / "photos/cats/broken.png").write_bytes(b"no image")
    small.pair |= {"masks": "masks", "steps": 30}
    small.pair |= {"originals": "copy", "levels": "full"}
    fields = {"side_by_side": True, "progress_at": [2], "start": "noise", "levels": 1}
    small.pair["override"] |= {**fields, "tolerance": 0.9, "window": 3}
    small.document["run"]["report"] = True
    assert small.run().code == 3
    return small


def test_every_file_that_a_run_leaves_is_told(ran: Small) -> None:
    later = {".stylebatch/holder.json", ".stylebatch/activity.json", ".stylebatch/tmp/RUN/"}
    later |= {"losses/RUN-N.parquet", "metadata-SPLIT.jsonl", "images/SPLIT/metadata.jsonl"}
    later |= {".stylebatch/stale/RUN/", ".stylebatch/shards/I-of-N/"}
    later |= {"scores.csv", ".stylebatch/saved/FINGERPRINT.safetensors", "report/data/"}
    later |= ANNOTATIONS
    assert told_of(ran.out) == files().keys() - later


def test_what_is_there_for_a_while_is_told_as_well(tmp_path: Path) -> None:
    small = small_project(tmp_path)
    assert small.run("--shard", "0/2").code == 0
    assert ".stylebatch/shards/I-of-N/" in told_of(small.out)
    assert small.run().code == 0
    small.remove_photo("cats/a.png")
    assert small.run("--keep-stale").code == 0
    assert command("judge", str(small.out)).code == 0
    assert "scores.csv" in told_of(small.out)
    assert small.run().code == 0
    assert ".stylebatch/stale/RUN/" in told_of(small.out)
    small.pair["steps"] = 100_000
    process = start("run", str(small.write()))
    state = small.out / ".stylebatch"
    there = [state / "holder.json", state / "activity.json"]
    wait_until(lambda: all(path.exists() for path in there), "the run tells what it does")
    holder = json.loads(there[0].read_bytes())
    row = next(row for row in table(PAGE, "| file |") if "holder.json" in row[0])
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGINT)
    end(process)
    assert set(names(row[1])) == holder.keys()
    assert not any(path.exists() for path in there)


def test_half_made_images_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stylebatch.run.specs.SAVE_AFTER_S", 0.0)
    small = small_project(tmp_path)
    small.pair["steps"] = 100_000
    assert small.run("--deadline", "4s").code == 4
    assert ".stylebatch/saved/FINGERPRINT.safetensors" in told_of(small.out)
    assert small.summary()["saved"] == 4


def test_a_line_of_the_metadata_has_the_fields_that_are_told(ran: Small) -> None:
    told = types("| key |")
    stylised = rows_of(ran, "stylised")
    assert len(stylised) == 4
    for row in stylised:
        check_types({key: told[key] for key in told if key not in SOMETIMES}, row)
        assert isinstance(row["seed"], int)
    (losses,) = (row[2] for row in table(PAGE, "| key |") if row[0] == "`losses`")
    assert set(names(losses)) == row["losses"].keys()


def rows_of(small: Small, kind: str) -> list[dict[str, Any]]:
    return [row for row in small.metadata().values() if row["kind"] == kind]


def test_what_is_null_of_an_original_is_told(ran: Small) -> None:
    told = list(types("| key |"))
    null = {"split", "style", "style_digest", "variant", "seed", *told[told.index("device") :]}
    null -= SOMETIMES
    originals = rows_of(ran, "original")
    assert len(originals) == 2
    for row in originals:
        assert row.keys() == set(told) - {"mask", "mask_digest"} - SOMETIMES
        assert {key for key, value in row.items() if value is None} == null
        assert row["strength"] == 0


def test_fields_that_are_told_to_be_there_with_masks_only_are(tmp_path: Path) -> None:
    small = small_project(tmp_path)
    assert small.run("--limit", "1").code == 0
    (row,) = small.metadata().values()
    assert types("| key |").keys() - row.keys() == {"mask", "mask_digest"} | SOMETIMES
    assert row["seed"] is None


def test_a_loss_log_has_the_columns_that_are_told_and_they_add_up(ran: Small) -> None:
    told = [name for row in table(PAGE, "| column |") for name in names(row[0])]
    for log in contents(ran.out / "losses").values():
        header, *rows = log.decode().splitlines()
        assert header.split(",") == told
        for number, text in enumerate(rows, 1):
            row = dict(zip(told, map(float, text.split(",")), strict=True))
            assert row["evaluation"] == number
            assert row["accepted"] in (0, 1)
            terms = row["content"] + row["style"] + row["tv"]
            assert terms == pytest.approx(row["total"], rel=1e-5)


def test_settings_have_the_entries_that_are_told(ran: Small) -> None:
    settings = json.loads((ran.out / "settings.json").read_bytes())
    assert settings.keys() == {row["settings_id"] for row in ran.metadata().values()}
    cells = {row[0].strip("`"): row[2] for row in table(PAGE, "| entry |")}
    carrying = {row["settings_id"] for row in rows_of(ran, "original")}
    (sentence,) = re.findall("^Of originals it has .*", (ROOT / PAGE).read_text(), re.MULTILINE)
    for entry in map(settings.pop, carrying):
        assert entry.keys() == set(names(sentence)) - {"copy", "link"}
    for entry in settings.values():
        check_types(types("| entry |"), entry)
        for key in ("extractor", "versions"):
            assert set(names(cells[key])) == entry[key].keys()
        assert "strength" not in entry["recipe"]


def test_a_line_of_the_failures_has_the_fields_that_are_told(ran: Small) -> None:
    rows = lines(ran.out / "failures.jsonl")
    assert len(rows) == 3
    of_metadata = ("file_name", "pair", "label", "split", "kind", "content", "style", "variant")
    told = {key: types("| key |")[key] for key in of_metadata} | types("| failure |")
    for row in rows:
        check_types(told, row)


def test_run_json_has_the_fields_that_are_told(ran: Small) -> None:
    summary = ran.summary()
    check_types(types("| field |"), summary)
    assert list(summary) == firsts("| field |")
    cells = {row[0].strip("`"): row[2] for row in table(PAGE, "| field |")}
    assert set(names(cells["workers"])) == summary["workers"][0].keys()
    assert names(cells["stopped_by"]) == list(map(str, Stop))
    assert summary["done_before"] + summary["done"] + summary["failed"] == summary["planned"]
    assert summary["rejected"] == summary["taken_out"] == 0


def test_annotations_and_what_is_wrong_with_them_are_told(tmp_path: Path) -> None:
    project = Drawn(tmp_path)
    project.write_all(is_stored=False)
    project.put("labels/classes.txt", "red\n")
    project.put("data.yaml", "names: [red, green, blue]\n")
    project.put("photos/cats/o1.json", "{}")
    project.annotations["files"] = [".json"]
    project.small.pair["output_size"] = [20, 40]
    assert project.small.run().code == 0
    there = told_of(project.out)
    assert there >= ANNOTATIONS
    counts = {
        name for kind in project.small.summary()["annotations"]["all"].values() for name in kind
    }
    cells = {row[0].strip("`"): row[2] for row in table(PAGE, "| field |")}
    assert counts <= set(names(cells["annotations"]))
    project.put("labels/cats/o1.txt", "x\n")
    project.put("labels/cats/o2.txt", "")
    assert project.small.run().code == 3
    rows = lines(project.out / "failures.jsonl")
    assert len(rows) == 2
    for row in rows:
        check_types(types("| of annotations |"), row)


def test_statuses_are_those_that_are_told(ran: Small, tmp_path: Path) -> None:
    told = set(firsts("| status |"))
    # One that diverges fails, and stands in no metadata.
    assert told == set(map(str, Status)) - {Status.DIVERGED}
    small = small_project(tmp_path)
    assert small.run("--limit", "1").code == 0
    rows = [*rows_of(ran, "stylised"), *small.metadata().values()]
    assert {row["status"] for row in rows} == told


def test_states_are_those_that_status_counts(ran: Small) -> None:
    found = json.loads(command("status", str(ran.manifest), "--json").out)
    assert list(found["total"]) == firsts("| state |")


def test_exit_codes_are_those_of_running() -> None:
    told = [row[0] for row in table(PAGE, "| exit code |")]
    assert told == [row[0] for row in table("docs/running.md", "| exit code |")]

"""Loss logs by choice: a file for each image, tables of several, or none."""

import importlib.util
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.documents import blocks
from support.loss_logs import read_log
from support.runs import COMMAND, PATIENCE_S, Small, command, contents, small_project

from stylebatch.output.loss_log import COLUMNS
from stylebatch.output.loss_table import encode_table
from stylebatch.system.crash_points import ENVIRONMENT_VARIABLE
from stylebatch.transfer.problem import Row

pytestmark = pytest.mark.slow
needs_parquet = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None or importlib.util.find_spec("pandas") is None,
    reason="needs pyarrow and pandas",
)


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return small_project(tmp_path)


def by_image(small: Small) -> dict[str, list[dict[str, Any]]]:
    """Return each image's rows but for their times, read as docs/output.md says."""
    (code,) = (text for text in blocks("docs/output.md", "python") if "read_parquet" in text)
    found: dict[str, Any] = {}
    exec(code.replace('"out/', f'"{small.out}/'), found)
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in found["losses"].sort_values("evaluation").to_dict("records"):
        path = str(row.pop("file_name"))
        rows.setdefault(path, []).append(plain(row))
    return rows


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without its time, its numbers as float32: in nine digits they are not more."""
    return {key: float(np.float32(row[key])) for key in COLUMNS if key != "seconds"}


def of_csv(small: Small) -> dict[str, list[dict[str, Any]]]:
    return {
        path.replace(".csv", ".png"): [plain(row._asdict()) for row in read_log(data)]
        for path, data in contents(small.out / "losses").items()
    }


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The rows that a run writes as CSV."""
    small = small_project(tmp_path_factory.mktemp("csv"))
    assert small.run().code == 0
    return of_csv(small)


@needs_parquet
def test_a_table_has_what_the_files_have(
    small: Small, wanted: dict[str, list[dict[str, Any]]]
) -> None:
    small.document["run"]["losses"] = "parquet"
    small.pair["originals"] = "copy"
    assert small.run().code == 0
    assert by_image(small) == wanted
    assert {Path(path).suffix for path in contents(small.out / "losses")} == {".parquet"}
    assert small.again() == set()


def test_none_writes_none_and_removes_nothing(small: Small) -> None:
    assert small.run("--limit", "2").code == 0
    before = contents(small.out / "losses")
    assert len(before) == 2
    small.document["run"]["losses"] = "none"
    assert small.run().code == 0
    assert contents(small.out / "losses") == before
    # Of an image that is replaced the log lies aside with it.
    small.pair["steps"] = 2
    assert len(small.again()) == 4
    assert contents(small.out / "losses") == {}
    small.pair["steps"] = 3
    assert small.run().code == 0
    assert small.summary()["taken_back"] == 4
    assert contents(small.out / "losses") == before


@needs_parquet
def test_rows_go_with_their_images_when_these_are_replaced_and_taken_back(
    small: Small, wanted: dict[str, list[dict[str, Any]]]
) -> None:
    small.document["run"]["losses"] = "parquet"
    assert small.run().code == 0
    small.pair["steps"] = 2
    assert len(small.again()) == 4
    assert {len(rows) for rows in by_image(small).values()} == {2}
    small.pair["steps"] = 3
    assert small.run().code == 0
    assert small.summary()["taken_back"] == 4
    assert by_image(small) == wanted
    (small.out / "images/cats/a-s.png").unlink()
    assert small.again() == {"cats/a-s.png"}
    assert by_image(small) == wanted


@needs_parquet
@pytest.mark.parametrize(
    ("point", "turn"),
    [
        ("temporary-written", 2),
        ("group-written", 1),
        *(("file-renamed", turn) for turn in (1, 2, 4, 5)),
        ("folders-synced", 1),
        ("recording", 1),
        ("recorded", 1),
    ],
)
def test_a_kill_leaves_every_image_with_its_rows_once(
    small: Small, wanted: dict[str, list[dict[str, Any]]], point: str, turn: int
) -> None:
    small.document["run"]["losses"] = "parquet"
    done = subprocess.run(
        [*COMMAND, "run", str(small.write()), "--quiet"],
        env={**os.environ, ENVIRONMENT_VARIABLE: f"{point}@{turn}:{small.root / 'ended'}"},
        capture_output=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode < 0
    assert command("metadata", str(small.out)).code == 0
    if there := small.metadata():
        assert by_image(small) == {path: wanted[path] for path in there}
    assert small.run().code == 0
    assert by_image(small) == wanted


@needs_parquet
def test_workers_and_shards_write_tables_of_their_own(
    small: Small, wanted: dict[str, list[dict[str, Any]]]
) -> None:
    small.document["run"] |= {"losses": "parquet", "executor": "local", "cpu_workers": 2}
    for shard in ("0/2", "1/2"):
        assert small.run("--shard", shard).code == 0
    assert command("merge", str(small.manifest)).code == 0
    assert by_image(small) == wanted


def test_what_is_missing_is_told_before_anything_begins(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name, *rest: None if name == "pyarrow" else found(name, *rest),
    )
    small.document["run"]["losses"] = "parquet"
    for arguments in (("run",), ("plan",)):
        ended = command(*arguments, str(small.write()))
        assert ended.code == 2
        assert "run.losses: parquet needs pyarrow, which is not installed" in ended.err
        assert "pip install 'stylebatch[export]'" in ended.err
    assert not small.out.exists()


@needs_parquet
def test_numbers_come_back_as_they_were() -> None:
    import io

    import pandas as pd  # type: ignore[import-untyped]

    rows = [Row(1, 0, 0.1, 1e-30, 3e30, 0.0, True, 0.5), Row(2, 1, 7.0, 1.0, 2.0, 4.0, False, 9.25)]
    data = encode_table("t.parquet", [("cats/é.png", rows), ("b.png", rows[:1])])
    table = pd.read_parquet(io.BytesIO(data))
    assert list(table.columns) == ["loss_log", "file_name", *COLUMNS]
    assert list(table["file_name"]) == ["cats/é.png"] * 2 + ["b.png"]
    assert set(table["loss_log"]) == {"t.parquet"}
    assert list(table["accepted"]) == [True, False, True]
    assert list(table["total"].astype("float32")) == pytest.approx([0.1, 7.0, 0.1], rel=1e-7)
    assert table["style"].iloc[0] == pytest.approx(3e30, rel=1e-6)

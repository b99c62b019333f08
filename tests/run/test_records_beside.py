"""The records while a run goes on: whole at any moment, and of what stands."""

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.runs import (
    Small,
    command,
    end,
    lines,
    needs_proc,
    run_process,
    small_project,
    start,
    wait_until,
)

from stylebatch.output.layout import Dataset
from stylebatch.output.lock import writing_records

pytestmark = [pytest.mark.slow, needs_proc]

# As the command, with another pause between two writings of the records.
EAGER = """
from stylebatch.run import metadata
metadata.REFRESH_S, metadata.REFRESH_SHARE = 0.0, 1.0
from stylebatch.cli import main
import sys
sys.argv = ["stylebatch", "run", sys.argv[1]]
main()
"""


@pytest.fixture
def many(tmp_path: Path) -> Small:
    """Enough to do for some seconds."""
    small = small_project(tmp_path)
    for number in range(30):
        small.photo(f"cats/{number:02}.png", 100 + number)
    small.pair |= {"steps": 60, "originals": "copy"}
    small.document["run"] |= {"executor": "local", "cpu_workers": 1}
    small.write()
    return small


def check(small: Small) -> int:
    """Check that each line is of an image that stands; return how many there are."""
    rows = small.metadata()
    settings = json.loads((small.out / "settings.json").read_bytes())
    for path, row in rows.items():
        assert (small.out / "images" / path).is_file()
        assert row["settings_id"] in settings
    return len(rows)


def test_they_are_written_beside_a_run_that_writes_them_at_its_end(many: Small) -> None:
    process = start("run", str(many.manifest), "--quiet")
    wait_until(lambda: len(list((many.out / "images").rglob("*.png"))) > 35, "some images")
    told = command("metadata", str(many.manifest))
    assert told.code == 0
    count = check(many)
    assert 0 < count < 96
    assert told.out == f"{many.out / 'metadata.jsonl'}: {count} images\n"
    assert process.poll() is None
    assert end(process) == (0, "", "")
    assert check(many) == 96


def test_a_run_writes_them_now_and_then(many: Small) -> None:
    code = EAGER.replace("sys.argv[1]", repr(str(many.manifest)))
    seen = set()

    def look() -> bool:
        if (many.out / "settings.json").exists():
            seen.add(len(lines(many.out / "metadata.jsonl")))
        return (many.out / "run.json").exists()

    with ThreadPoolExecutor(1) as threads:
        ended = threads.submit(run_process, code)
        wait_until(look, "the run's end")
    assert ended.result().code == 0
    assert max(seen) <= 96
    assert len(seen) >= 2, "written while it went on"
    assert check(many) == 96


def test_what_a_killed_run_has_made_is_told(many: Small) -> None:
    process = start("run", str(many.manifest), "--quiet")
    wait_until(lambda: len(list((many.out / "images").rglob("*.png"))) > 35, "some images")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (many.out / "metadata.jsonl").exists()
    assert command("metadata", str(many.out)).code == 0
    assert check(many) > 0


def test_shards_are_told_of_together(many: Small) -> None:
    many.pair["steps"] = 2
    for shard in ("0/2", "1/2"):
        assert many.run("--shard", shard).code == 0
    assert not (many.out / "metadata.jsonl").exists()
    assert command("metadata", str(many.out)).code == 0
    assert check(many) == 96


def test_the_ledger_is_only_read(many: Small) -> None:
    many.pair["steps"] = 2
    assert many.run().code == 0
    ledger, before = Dataset(many.out).ledger, (many.out / "metadata.jsonl").read_bytes()
    state = ledger.read_bytes(), ledger.stat().st_mtime_ns
    (many.out / "metadata.jsonl").unlink()
    assert command("metadata", str(many.out)).code == 0
    assert (ledger.read_bytes(), ledger.stat().st_mtime_ns) == state
    assert (many.out / "metadata.jsonl").read_bytes() == before


def test_who_writes_last_has_read_last(many: Small) -> None:
    """While somebody writes the records, a run waits with its own until these are in place."""
    many.pair["steps"] = 2
    many.write()
    dataset = Dataset(many.out)
    dataset.make_folders()
    with writing_records(dataset):
        process = start("run", str(many.manifest), "--quiet")
        wait_until(lambda: len(list(dataset.images.rglob("*.png"))) == 96, "all images")
        assert process.poll() is None
        assert not dataset.metadata.exists()
    assert end(process) == (0, "", "")
    assert check(many) == 96


def test_an_output_without_a_run_is_refused(tmp_path: Path) -> None:
    ended = command("metadata", str(tmp_path))
    assert ended.code == 2
    assert "no run has written there yet" in ended.err
    assert list(tmp_path.iterdir()) == []

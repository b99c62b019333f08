"""`stylebatch report`, `run.report` and `status --watch --html` with real runs."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from support.outputs import Parsed
from support.runs import (
    Small,
    command,
    contents,
    end,
    lines,
    run_process,
    small_project,
    start,
    wait_until,
)
from torchvision.datasets import ImageFolder

from stylebatch.cli.report import report_at_end
from stylebatch.output.layout import Dataset

pytestmark = pytest.mark.slow


def page_of(small: Small) -> Path:
    return small.out / "report/index.html"


def data_of(small: Small) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Parsed(page_of(small)).scripts["report-data"])
    return found


def files_of(small: Small) -> list[str]:
    return [f"images/{name}" for name in data_of(small)["images"][0]["file"]]


def shown_now(small: Small) -> list[str]:
    """Return the images of a report that is made now."""
    assert command("report", str(small.out)).code == 0
    return files_of(small)


def test_the_command_makes_a_report_and_says_where(small: Small) -> None:
    small.pair["originals"] = "copy"
    assert small.run().code == 0
    before = contents(small.out / "images")
    ended = command("report", str(small.out))
    assert ended == (0, f"{page_of(small)}: 6 images\n", "")
    rows = lines(small.out / "metadata.jsonl")
    assert files_of(small) == [row["file_name"] for row in rows]
    assert data_of(small)["curves"].keys() == {
        row["file_name"].removeprefix("images/") for row in rows if row["kind"] == "stylised"
    }
    text = Parsed(page_of(small)).text
    assert "Complete" in text
    assert "4 stylised, 2 as they were" in text
    # What loaders read is as it was, and a run finds nothing to do.
    assert contents(small.out / "images") == before
    assert len(ImageFolder(str(small.out / "images")).samples) == 6
    assert small.again() == set()
    assert page_of(small).exists()


def test_a_manifest_stands_for_its_output_and_what_is_no_output_is_refused(small: Small) -> None:
    assert command("report", str(small.manifest)).code == 2
    assert not small.out.exists()
    assert small.run().code == 0
    assert command("report", str(small.manifest)).code == 0


def test_a_run_makes_it_where_the_manifest_says_so(small: Small) -> None:
    assert small.run().code == 0
    assert not page_of(small).exists()
    small.document["run"]["report"] = True
    small.photo("cats/c.png", 3)
    ended = small.run()
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.count("\n") == 1
    assert len(files_of(small)) == 6
    assert small.run("--quiet") == (0, "", "")


def test_a_run_with_failures_has_a_report_of_them(small: Small) -> None:
    small.document["run"]["report"] = True
    (small.root / "photos/cats/broken.png").write_bytes(b"no image")
    (small.root / "photos/cats/notes.txt").write_text("text")
    assert small.run().code == 3
    text = Parsed(page_of(small)).text
    assert "Done, with failures" in text
    assert "2 failed" in text
    for row in lines(small.out / "failures.jsonl"):
        assert row["file_name"] in text
    assert "1 × .txt" in text
    assert "no image" in text


def test_a_run_that_its_deadline_stops_has_one_too(small: Small) -> None:
    small.document["run"]["report"] = True
    assert small.run("--limit", "1").code == 0
    assert small.run("--deadline", "0.01s").code == 4
    text = Parsed(page_of(small)).text
    assert "Stopped, to be continued" in text
    assert "its deadline, with 3 images left" in text
    assert len(files_of(small)) == 1


def test_where_no_report_can_be_made_the_run_warns_and_ends_as_it_would(small: Small) -> None:
    small.document["run"]["report"] = True
    (small.out / "report").mkdir(parents=True)
    (small.out / "report/mine.txt").write_text("mine")
    ended = small.run()
    assert ended.code == 0
    assert "the report was not made: " in ended.err
    assert "move it away" in ended.err
    assert contents(small.out / "report") == {"mine.txt": b"mine"}
    assert len(small.images()) == 4
    assert command("report", str(small.out)).code == 2


def test_a_disk_that_takes_no_more_ends_the_report_and_not_the_run(small: Small) -> None:
    small.document["run"]["report"] = True
    assert small.run().code == 0
    before = page_of(small).read_bytes()
    shutil.rmtree(small.out / "report/thumbnails")
    (small.out / "report/thumbnails").touch()
    small.photo("cats/c.png", 3)
    ended = small.run()
    assert ended.code == 0
    assert "the report was not made: " in ended.err
    assert "`stylebatch report " in ended.err
    assert page_of(small).read_bytes() == before
    ended = command("report", str(small.out))
    assert (ended.code, "can't be written" in ended.err) == (5, True)


def test_whoever_stops_a_report_at_the_end_of_a_run_is_told(
    small: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    assert small.run().code == 0
    report_at_end(Dataset(small.out), is_quiet=True, check=stop)
    assert "the report was not made: stopped" in capsys.readouterr().err
    assert not page_of(small).exists()
    report_at_end(Dataset(small.out), is_quiet=True)
    assert capsys.readouterr() == ("", "")
    assert len(files_of(small)) == 4


def test_strange_names_of_real_files_are_all_found_again(small: Small) -> None:
    names = ["<script>alert(1)<_script>", "a b#c?d%20&e=f", "naïve 😀", "quote\"s'", "line\nend"]
    for number, name in enumerate(names):
        small.photo(f"cats/{name}.png", 40 + number)
    small.photo(f"cats/{os.fsdecode(b'caf' + bytes([0xE9]))}.png", 60)
    ended = small.run()
    assert ended.code == 0, ended
    ended = command("report", str(small.out))
    assert ended == (0, f"{page_of(small)}: {2 * (len(names) + 3)} images\n", "")
    (part,) = data_of(small)["images"]
    rows = list(small.metadata().values())
    assert [part["contents"][at] for at in part["content_of"]] == [row["content"] for row in rows]
    assert None not in part["content_thumbnails"]
    assert None not in part["thumbnail"]


def test_shards_have_one_before_they_are_merged_and_the_merge_makes_it_anew(small: Small) -> None:
    small.document["run"]["report"] = True
    for number in range(6):
        small.photo(f"cats/{number}.png", 30 + number)
    assert small.run("--shard", "0/2").code == 0
    assert not page_of(small).exists()
    assert command("report", str(small.out)).code == 0
    part = files_of(small)
    assert part == [f"images/{name}" for name in sorted(small.images())]
    assert "Part 0/2" in Parsed(page_of(small)).text
    assert small.run("--shard", "1/2").code == 0
    assert command("merge", str(small.manifest)).code == 0
    assert len(files_of(small)) == 16 > len(part) > 0


def test_sweeps_variants_and_colour_transfers_are_told_apart(small: Small) -> None:
    small.pair |= {"strength": [0.5, 1.0], "sweep": [{"style_weight": [1, 4]}]}
    small.document["pairs"].append(
        {"name": "colours", "content": "photos", "styles": ["styles"], "into": "colours"}
    )
    small.document["pairs"][1]["recipe"] = "color-transfer"
    small.document["run"]["losses"] = "none"
    assert small.run().code == 0
    assert command("report", str(small.out)).code == 0
    data = data_of(small)
    assert data["names"]["pair"] == ["all:style_weight=1", "all:style_weight=4", "colours"]
    assert set(data["names"]["status"]) == {"budget_spent", "colours only"}
    assert data["curves"] == {}
    assert data["together"] == []
    text = Parsed(page_of(small)).text
    assert "Where they differ" in text
    assert "recipe.style_weight" in text


def test_tables_of_losses_give_the_same_curves(small: Small, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    assert small.run().code == 0
    assert command("report", str(small.out)).code == 0
    other = small_project(tmp_path / "other")
    other.document["run"]["losses"] = "parquet"
    assert other.run().code == 0
    assert command("report", str(other.out)).code == 0
    assert data_of(other)["curves"] == data_of(small)["curves"]


def test_no_report_brings_torch(small: Small) -> None:
    assert small.run().code == 0
    code = (
        "import contextlib, sys\nfrom stylebatch.cli import main\n"
        f"sys.argv = ['stylebatch', 'report', {str(small.out)!r}]\n"
        "with contextlib.suppress(SystemExit):\n    main()\n"
        "print(sorted({'torch', 'torchvision'} & sys.modules.keys()))"
    )
    ended = run_process(code)
    assert (ended.code, ended.out.splitlines()[-1]) == (0, "[]"), ended


def test_html_is_of_watching(small: Small) -> None:
    assert small.run().code == 0
    ended = command("status", str(small.out), "--html")
    assert ended.code == 2
    assert "--watch" in ended.err
    ended = command("status", str(small.out), "--watch", "--html")
    assert ended.code == 0
    assert page_of(small).as_uri() in ended.err
    assert data_of(small)["refresh_s"] is None


def test_beside_a_run_the_report_shows_what_is_there_and_is_kept_fresh(tmp_path: Path) -> None:
    small = small_project(tmp_path)
    small.pair["steps"] = 150
    for number in range(40):
        small.photo(f"cats/{number:02}.png", 50 + number)
    run = start("run", str(small.write()))
    try:
        wait_until(small.images, "an image")
        # What was put into place is a moment ahead of the ledger.
        wait_until(lambda: shown_now(small) or run.poll() is not None, "a report of it")
        assert run.poll() is None
        shown = files_of(small)
        assert len(shown) < 84
        assert set(shown) <= {f"images/{name}" for name in small.images()}
        assert "A run is going on" in Parsed(page_of(small)).text
        # Nobody makes this one again: it does not ask for itself.
        assert data_of(small)["refresh_s"] is None
        watch = start("status", str(small.out), "--watch", "--html", "--every", "0.2")
        wait_until(lambda: data_of(small)["refresh_s"] == 10, "a page that is kept fresh")
        assert run.poll() is None
        os.kill(run.pid, signal.SIGINT)
        assert end(run).code == 4
        ended = end(watch)
        assert ended.code == 0, ended
    finally:
        run.kill()
    # What it has made at last stands still and is all there.
    assert data_of(small)["refresh_s"] is None
    assert files_of(small) == [row["file_name"] for row in lines(small.out / "metadata.jsonl")]
    assert "Stopped, to be continued" in Parsed(page_of(small)).text

"""Several manifests in one command: one after another, the most serious exit code."""

import json
import os
import signal
from pathlib import Path

import pytest
import yaml
from support.runs import Small, command, end, small_project, start, wait_until

from stylebatch.cli.several import most_serious
from stylebatch.output.layout import Dataset
from stylebatch.output.lock import OutputLock


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Small:
    """A project with a second manifest, `b.yaml`, over the same photographs."""
    monkeypatch.chdir(tmp_path)
    small = small_project(tmp_path)
    Path("a.yaml").write_text(small.manifest.read_text())
    Path("b.yaml").write_text(yaml.safe_dump({**small.document, "output": "b"}))
    small.manifest.unlink()
    return small


def summary(output: str) -> dict[str, object]:
    found = json.loads(Path(output, "run.json").read_bytes())
    assert isinstance(found, dict)
    return found


@pytest.mark.slow
def test_each_is_made_with_a_line_of_its_own(small: Small) -> None:
    ended = command("run", "a.yaml", "b.yaml")
    assert (ended.code, ended.err) == (0, "")
    first, second = ended.out.splitlines()
    assert first.startswith("out/images: 4 images made")
    assert second.startswith("b/images: 4 images made")
    assert summary("out")["manifest"] == "a.yaml"
    assert summary("b")["manifest"] == "b.yaml"
    assert command("run", "a.yaml", "b.yaml", "--quiet") == (0, "", "")


def test_a_plan_of_several_names_each(small: Small) -> None:
    ended = command("plan", "a.yaml", "b.yaml")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert [line for line in lines if line.endswith(".yaml:")] == ["a.yaml:", "b.yaml:"]
    assert len([line for line in lines if line.startswith("4 images to make")]) == 2
    assert len(command("plan", "--jobs", "a.yaml", "b.yaml").out.splitlines()) == 8


def test_all_errors_of_all_are_told_and_nothing_is_started(small: Small) -> None:
    Path("b.yaml").write_text(Path("b.yaml").read_text().replace("seed: 0", "seed: x"))
    ended = command("run", "a.yaml", "b.yaml", "nonesuch.yaml")
    assert (ended.code, ended.out) == (2, "")
    assert "b.yaml:" in ended.err
    assert "nonesuch.yaml: no such file" in ended.err
    assert not small.out.exists()


@pytest.mark.parametrize("name", ["run", "plan"])
def test_two_with_one_output_are_refused(name: str, small: Small) -> None:
    ended = command(name, "a.yaml", "b.yaml", "--set", "output=./same")
    assert (ended.code, ended.out) == (2, "")
    assert "b.yaml: its output, same, is that of a.yaml too" in ended.err
    assert command(name, "a.yaml", "a.yaml").code == 2


def test_a_preview_is_of_one(small: Small) -> None:
    ended = command("run", "a.yaml", "b.yaml", "--preview", "1")
    assert ended.code == 2
    assert "not together with --preview" in " ".join(ended.err.split())


@pytest.mark.slow
def test_what_one_is_refused_for_leaves_the_others_be(small: Small) -> None:
    (small.root / "photos/cats/broken.png").write_bytes(b"no image")
    with OutputLock(Dataset(small.out), "20260101T000000-1"):
        ended = command("run", "a.yaml", "b.yaml")
    assert (ended.code, ended.out) == (10, "")
    assert f"process {os.getpid()} on " in ended.err
    assert summary("b")["exit_code"] == 3
    assert len(list(Path("b/images").glob("*/*.png"))) == 4


@pytest.mark.slow
def test_a_deadline_is_for_all_together(small: Small) -> None:
    ended = command("run", "a.yaml", "b.yaml", "--deadline", "0.01s")
    assert ended.code == 4
    assert summary("out")["stopped_by"] == summary("b")["stopped_by"] == "deadline"


@pytest.mark.slow
def test_a_signal_begins_no_other(small: Small) -> None:
    changes = ["--set", "pairs.0.steps=100000", "--set", "run.executor=local"]
    process = start("run", "a.yaml", "b.yaml", *changes)
    wait_until(lambda: (small.out / ".stylebatch/holder.json").exists(), "the first has begun")
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGINT)
    ended = end(process)
    assert ended.code == 4
    assert "stylebatch: not begun: b.yaml\n" in ended.err
    assert not Path("b").exists()


def test_the_most_serious_is_as_the_documents_say() -> None:
    text = (Path(__file__).parents[2] / "docs/running.md").read_text(encoding="utf-8")
    assert "the first of 10, 2, 1, 5, 4, 3." in text
    assert most_serious([0, 3, 4]) == 4
    assert most_serious([3, 10, 1]) == 10
    assert most_serious([0, 0]) == most_serious([]) == 0
    assert most_serious([5, 2, 1]) == 2


def test_the_status_of_several_is_told_one_after_another(small: Small) -> None:
    assert command("run", "a.yaml", "b.yaml", "--limit", "1").code == 0
    ended = command("status", "a.yaml", "b.yaml")
    assert (ended.code, ended.err) == (0, "")
    first, second = ended.out.split("\n\n")
    assert Path(first.splitlines()[0]).name == "out"
    assert Path(second.splitlines()[0]).name == "b"
    found = [
        json.loads(line) for line in command("status", "a.yaml", "b", "--json").out.split("\n")[:-1]
    ]
    assert [each["total"]["done"] for each in found] == [1, 1]
    refused = command("status", "a.yaml", "b.yaml", "--watch")
    assert refused.code == 2
    assert "name one" in refused.err

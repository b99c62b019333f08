"""A session on a GPU, tried without one: its parts, its budget, its report, its shell scripts."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from support.paths import ROOT

from benchmarks.gpu import needs
from benchmarks.gpu.notes import Notes, read_notes
from benchmarks.gpu.parts import MEASURES
from benchmarks.gpu.report import is_sound, write_report
from benchmarks.gpu.session import PARTS, Part, run_parts

SCRIPTS = [ROOT / "benchmarks" / name for name in ("gpu_session.sh", "gpu_wheels.sh")]
NOTE = """
import sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from benchmarks.gpu.notes import Notes
notes = Notes(Path(sys.argv[1]) / "notes.jsonl")
"""


def session(tmp_path: Path, codes: dict[str, str], budget_s: float) -> tuple[str, bool]:
    """Run parts of some code each; return the report, and whether it was sound."""

    def command(part: Part, folder: Path, limit_s: float) -> Sequence[str]:
        start = NOTE.format(root=str(ROOT))
        return [sys.executable, "-c", start + codes[part.name], str(folder)]

    parts = [Part(name, name.capitalize(), 10) for name in codes]
    ended = run_parts(parts, budget_s, tmp_path, command)
    return write_report(ended, "cpu", budget_s), is_sound(ended)


FINE = "notes.row('Numbers', ms=1.5, same=True); notes.check('fits', True, 'yes')"


def test_a_session_in_which_all_goes_well_is_sound(tmp_path: Path) -> None:
    report, was_sound = session(tmp_path, {"first": FINE, "second": FINE}, 120)
    assert was_sound
    assert "- 2 of 2 checks are met." in report
    assert "| ms | same |\n|---|---|\n| 1.5 | yes |" in report


def test_a_part_that_fails_is_told_with_its_last_words_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    failing = "notes.row('Numbers', ms=2); raise ValueError('the card is gone')"
    report, was_sound = session(tmp_path, {"first": failing, "second": FINE}, 120)
    assert not was_sound
    first, second = report.split("## First")[1].split("## Second")
    assert "Failed:" in first
    assert "exit code 1" in first
    assert "ValueError: the card is gone" in first
    assert "| 2 |" in first, "what it had found"
    assert second.startswith("\n\nDone:")
    assert "- **First: failed**" in report.split("## First")[0]


def test_a_part_that_takes_too_long_is_ended_with_what_it_has_started(tmp_path: Path) -> None:
    pid_path = tmp_path / "pid"
    endless = (
        "import subprocess\n"
        "notes.row('Numbers', ms=3)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"Path({str(pid_path)!r}).write_text(str(child.pid))\n"
        "time.sleep(600)"
    )
    started_s = time.monotonic()
    report, was_sound = session(tmp_path / "of", {"first": endless, "second": FINE}, 20)
    assert time.monotonic() - started_s < 300
    assert not was_sound
    first, second = report.split("## First")[1].split("## Second")
    assert "Over its time:" in first
    assert "| 3 |" in first
    assert second.startswith("\n\nDone:")
    # Nobody of ours is its parent: the system takes it.
    assert has_gone(int(pid_path.read_text()))


def has_gone(pid: int) -> bool:
    """Wait for a process to be gone, or to be what nobody has asked about since it ended."""
    for _ in range(600):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False


def test_what_a_part_leaves_goes_to_those_behind_it(tmp_path: Path) -> None:
    limits = {}

    def command(part: Part, folder: Path, limit_s: float) -> Sequence[str]:
        limits[part.name] = limit_s
        return [sys.executable, "-c", ""]

    run_parts([Part(name, name, 10) for name in "abc"], 600, tmp_path, command)
    assert limits["a"] == 200
    # A process that does nothing takes less than its share, on any machine.
    assert 200 < limits["b"] <= 300
    assert limits["b"] < limits["c"] <= 600


def test_a_part_for_which_no_time_is_left_is_not_started(tmp_path: Path) -> None:
    report, was_sound = session(tmp_path, {"first": FINE, "second": FINE}, 0.5)
    assert not was_sound
    assert report.count("No time left: 0.0 s") == 2
    assert not (tmp_path / "first").exists()


def test_a_check_that_is_not_met_stands_at_the_top(tmp_path: Path) -> None:
    unmet = "notes.check('The bytes', False, 'others')"
    report, was_sound = session(tmp_path, {"first": unmet}, 60)
    assert not was_sound
    assert "- **Not met:** The bytes: others." in report.split("## First")[0]


@pytest.mark.parametrize(("found", "told"), [(24.9, "**no**"), (25.0, "yes")])
def test_an_aim_is_told_beside_what_was_found_and_is_no_failure(
    tmp_path: Path, found: float, told: str
) -> None:
    code = f"notes.aim('images/s', 25.0, {found}, 'images/s')"
    report, was_sound = session(tmp_path, {"first": code}, 60)
    assert was_sound
    assert f"| images/s | 25 images/s | {found} images/s | {told} |" in report


def test_half_a_line_of_a_part_that_was_killed_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    Notes(path).say("whole")
    path.write_text(path.read_text() + '{"kind": "said", "te', encoding="utf-8")
    assert read_notes(path).said == ["whole"]
    assert read_notes(tmp_path / "absent").said == []


def test_every_part_has_its_module() -> None:
    assert {part.name for part in PARTS} == MEASURES.keys()


def test_what_a_session_needs_is_what_the_project_needs() -> None:
    names = {name for name, _ in needs.needed()}
    assert {"torch", "numpy", "pydantic", "typer", "pytest", "hypothesis"} <= names
    assert needs.is_here("torch", "2.11")
    assert needs.is_here("numpy", "")
    assert not needs.is_here("torch", "99.1")
    assert not needs.is_here("no-such-package", "")


# --- the scripts -----------------------------------------------------------------------------


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_shell_script_is_one(script: Path) -> None:
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)
    if checker := shutil.which("shellcheck"):
        subprocess.run([checker, str(script)], check=True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--wheel", "x"], "--wheel: no such option"),
        (["--wheels"], "--wheels: a value is missing"),
        (["--wheels", "absent"], "absent: no such folder"),
        (["--python", "absent"], "absent: no such Python"),
    ],
)
def test_what_the_script_can_t_do_it_refuses(
    tmp_path: Path, arguments: list[str], told: str
) -> None:
    command = [str(SCRIPTS[0]), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_session_without_a_gpu_says_so(tmp_path: Path) -> None:
    out = tmp_path / "report.md"
    command = [sys.executable, "-m", "benchmarks.gpu", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr == "cuda:0: torch finds no CUDA device here; try --device cpu\n"
    assert not out.exists()


@pytest.mark.slow
def test_all_parts_run_on_the_cpu_from_a_folder_that_holds_nothing_else(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    listed = ["git", "ls-files", "-z", "benchmarks", "stylebatch", "pyproject.toml"]
    names = subprocess.run(listed, capture_output=True, text=True, check=True, cwd=ROOT)
    for name in filter(None, names.stdout.split("\0")):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    (copy / "tests").mkdir()
    out = tmp_path / "reports" / "cpu.md"
    command = [str(copy / "benchmarks" / "gpu_session.sh"), "--python", sys.executable]
    command += ["--device", "cpu", "--budget-s", "900", "--out", str(out)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr + out.read_text()
    report, told = out.read_text(), json.loads(out.with_suffix(".json").read_text())
    assert [each["part"] for each in told] == [part.name for part in PARTS]
    assert {each["how"] for each in told} == {"done"}
    for part in PARTS:
        assert f"\n## {part.title}\n\nDone: " in report
    for left_out in ("CUDA graphs, on and off", "`cudnn.benchmark`, on and off", "What fits by"):
        assert f"- {left_out}" in report.split("## The machine")[0]
    assert "**Not met:**" not in report
    assert {path.name for path in out.parent.iterdir()} == {"cpu.md", "cpu.json"}

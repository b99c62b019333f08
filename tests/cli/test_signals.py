"""Signals at any moment: before a run has begun, and after it has its exit code."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.runs import COMMAND, PATIENCE_S, Small, run_process

EACH = ["SIGTERM", "SIGINT", "SIGHUP"]
# A module that is imported while the commands are, and sends what it is told.
EARLY = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.{name})
        return None
sys.meta_path.insert(0, Finder())
from stylebatch.cli import main
main()
"""
LATE = """
import atexit, os, signal, sys
atexit.register(lambda: os.kill(os.getpid(), signal.{name}))
from stylebatch.cli import main
main()
"""


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("module", ["typer", "stylebatch.cli.run", "stylebatch.run.pipeline"])
def test_a_signal_before_a_run_begins_ends_it_with_4(small: Small, name: str, module: str) -> None:
    ended = run_process(EARLY.format(name=name, module=module), "run", str(small.manifest))
    assert ended.code == 4, ended
    assert ended.err == "stylebatch: stopped before anything was begun; run it again\n"
    assert not small.out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("code", [0, 3, 2])
def test_a_signal_after_its_summary_leaves_a_run_its_exit_code(
    small: Small, name: str, code: int
) -> None:
    if code == 3:
        (small.root / "photos/cats/broken.png").write_bytes(b"no image")
    if code == 2:
        small.pair["nonsense"] = True
        small.write()
    ended = run_process(LATE.format(name=name), "run", str(small.manifest))
    # What was refused had begun nothing: there it may still say that it was stopped.
    assert ended.code in ((2, 4) if code == 2 else (code,)), ended


def test_a_signal_that_is_ignored_stays_so(small: Small) -> None:
    program = EARLY.format(name="SIGINT", module="typer")
    line = f"trap '' INT; exec {sys.executable} -c \"$CODE\" run {small.manifest} --dry-run"
    ended = subprocess.run(
        ["bash", "-c", line],
        env=os.environ | {"CODE": program},
        capture_output=True,
        timeout=PATIENCE_S,
    )
    assert ended.returncode == 0, ended


def test_another_command_ends_as_any_program_does(small: Small) -> None:
    ended = run_process(EARLY.format(name="SIGTERM", module="typer"), "plan", str(small.manifest))
    assert ended.code == -signal.SIGTERM


def test_who_imports_the_commands_keeps_its_handlers(tmp_path: Path) -> None:
    program = tmp_path / "mine.py"
    program.write_text(
        "import signal, stylebatch.cli\nassert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL\n"
    )
    ended = subprocess.run([COMMAND[0], str(program), "run"], timeout=PATIENCE_S)
    assert ended.returncode == 0

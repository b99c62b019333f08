"""Standard streams that end, are closed, full or cannot say a letter: the run is what counts."""

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.runs import PATIENCE_S, Small, needs_proc, small_project, wait_until

RUN = [sys.executable, "-m", "stylebatch", "run"]


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return small_project(tmp_path)


def shell(small: Small, redirections: str, *, env: dict[str, str] | None = None) -> int:
    """Run the project by a shell; return the exit code."""
    line = f"exec {' '.join(RUN)} {small.write()} {redirections}"
    ended = subprocess.run(
        ["bash", "-c", line],
        env=os.environ | (env or {}),
        timeout=PATIENCE_S,
        stdin=subprocess.DEVNULL,
    )
    return ended.returncode


@pytest.mark.parametrize(
    "redirections",
    [">&- 2>&-", ">/dev/full 2>/dev/full", "> >(exec <&-; sleep 5) 2> >(exec <&-; sleep 5)"],
    ids=["closed", "full", "pipes that end"],
)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a system without /dev/full")
def test_a_run_goes_on_and_its_exit_code_is_its_own(small: Small, redirections: str) -> None:
    (small.root / "photos/dogs/broken.png").write_bytes(b"no image")  # something to tell
    assert shell(small, redirections) == 3
    assert len(small.images()) == 4
    assert small.summary()["exit_code"] == 3


@needs_proc
def test_no_file_of_an_output_takes_the_place_of_a_stream_that_was_closed(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from stylebatch.cli.streams import keep_streams\n"
        "keep_streams()\n"
        f"opened = open({str(tmp_path / 'ledger')!r}, 'wb')\n"
        "print('in the ledger?'); sys.stdout.flush()\n"
        "assert opened.fileno() > 2\n"
    )
    line = f'exec {sys.executable} -c "$CODE" <&- >&- 2>&-'
    ended = subprocess.run(["bash", "-c", line], env=os.environ | {"CODE": code})
    assert ended.returncode == 0
    assert (tmp_path / "ledger").read_bytes() == b""


def test_letters_that_a_stream_does_not_have_are_escaped(small: Small) -> None:
    small.photo("cats/größe ☃.png", 5)
    (small.root / "photos/cats/größe ☃.png").write_bytes(b"no image")
    told = small.root / "told"
    assert shell(small, f"2> {told}", env={"PYTHONIOENCODING": "ascii"}) == 3
    assert "gr\\xf6\\xdfe \\u2603.png" in told.read_text(encoding="ascii")


def test_a_terminal_that_is_closed_ends_a_run_as_a_signal_does(small: Small) -> None:
    for number in range(16):
        small.photo(f"cats/n{number}.png", number, 48, 48)
    small.pair["steps"] = 60
    arguments = [*RUN, str(small.write())]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, arguments)
    os.set_blocking(terminal, False)

    def has_begun() -> bool:
        try:
            os.read(terminal, 1 << 16)
        except BlockingIOError:
            time.sleep(0.05)
        return bool(small.images())

    wait_until(has_begun, "the first image")
    os.close(terminal)
    _, ending = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(ending) == 4
    summary = small.summary()
    assert (summary["exit_code"], summary["stopped_by"]) == (4, "signal")
    assert summary["done"] == len(small.images())

"""Standard streams that end, are closed, full or cannot say a letter: the run is what counts."""

import fcntl
import os
import pty
import signal
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


def fill(small: Small) -> None:
    """Add photographs of many shapes, which are worked on one after another."""
    for number in range(12):
        small.photo(f"cats/n{number}.png", number, 32 + 16 * number, 64)
    small.pair.update(steps=60, size_px=256)


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
    fill(small)
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


def test_a_shell_that_ends_sends_the_signal_twice_and_it_counts_once(small: Small) -> None:
    fill(small)
    with subprocess.Popen([*RUN, str(small.write())], start_new_session=True) as process:
        wait_until(small.images, "the first image")
        made = len(small.images())
        for _ in range(2):
            os.killpg(process.pid, signal.SIGHUP)
        assert process.wait(PATIENCE_S) == 4
    assert small.summary()["stopped_by"] == "signal"
    assert len(small.images()) > made, "what was in the slots is finished"


def test_what_tells_and_nothing_else_says_that_it_could_not(small: Small) -> None:
    for command in (["schema"], ["recipes"]):
        with open("/dev/full", "w") as full:
            ended = subprocess.run(
                [sys.executable, "-m", "stylebatch", *command],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
            )
        assert ended.returncode == 1
        assert ended.stderr.startswith("stylebatch: standard output: can't be written (No space")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    line = f"{sys.executable} -m stylebatch schema | head -c 10; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", line], capture_output=True)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_pipe_that_would_block_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    code = "from stylebatch.cli.streams import keep_streams\nkeep_streams()\nprint('x' * 300_000)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=writing) as process:
        os.close(writing)
        time.sleep(1)  # until the pipe is full
        with os.fdopen(reading, "rb") as pipe:
            assert len(pipe.read()) == 300_001
        assert process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("is_blocking", [True, False])
def test_a_run_does_not_wait_for_a_reader_that_never_reads(small: Small, is_blocking: bool) -> None:
    for number in range(12):
        name = f"{number:02}-{'x' * 150}.png"
        (small.root / "photos/dogs" / name).write_bytes(b"no image")
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, is_blocking)
    try:
        arguments = [*RUN, str(small.write())]
        with subprocess.Popen(arguments, stdout=writing, stderr=writing) as process:
            assert process.wait(PATIENCE_S) == 3
    finally:
        os.close(reading)
        os.close(writing)
    assert len(small.images()) == 4

"""docs/cron.md: its examples are run in cron's environment, and read by cron and systemd."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT
from support.runs import (
    PATIENCE_S,
    Ended,
    Small,
    contents,
    needs_proc,
    small_project,
    start,
    wait_until,
)

from stylebatch.output.layout import Dataset
from stylebatch.output.lock import OutputLock
from stylebatch.system.log import LOG_BYTES, LOG_FILES

TEXT = (ROOT / "docs/cron.md").read_text(encoding="utf-8")
HOME = "/data/birds"
# What Debian's cron gives a job, and nothing else.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "LOGNAME": "birds"}
# In the place of an environment with stylebatch installed.
COMMAND = """#!/bin/sh
exec {python} -c '
import sys
sys.path.insert(0, "{root}")
from stylebatch.cli import main
main()' "$@"
"""


def block(language: str, number: int = 0) -> str:
    found = re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return str(found[number])


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """A small project, with an environment in its folder."""
    small = small_project(tmp_path / "birds")
    command = small.root / ".venv/bin/stylebatch"
    command.parent.mkdir(parents=True)
    command.write_text(COMMAND.format(python=sys.executable, root=ROOT))
    command.chmod(0o755)
    return small


def job(small: Small) -> str:
    """Return the crontab's command as cron hands it to the shell."""
    (line,) = (line for line in block("crontab").splitlines() if line[0].isdigit())
    command = line.split(maxsplit=5)[5]
    assert "%" not in command  # a newline to cron
    return command.replace(HOME, str(small.root))


def by_cron(small: Small, command: str) -> Ended:
    """Run a command as cron does."""
    environment = {**ENVIRONMENT, "HOME": str(small.root.parent)}
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        env=environment,
        cwd=small.root.parent,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.mark.slow
def test_the_crontabs_command_runs_in_crons_environment(small: Small) -> None:
    assert by_cron(small, job(small)) == Ended(0, "", "")
    before = small.images()
    assert len(before) == 4
    assert by_cron(small, job(small)) == Ended(0, "", "")
    assert small.images() == before
    assert small.summary()["done"] == 0


def test_a_second_run_is_refused_without_a_flock(small: Small) -> None:
    assert "flock" not in job(small)
    with OutputLock(Dataset(small.out), "20260101T000000-1"):
        ended = by_cron(small, job(small))
    assert (ended.code, ended.out) == (10, "")
    assert f"process {os.getpid()} on " in ended.err


@pytest.fixture
def nightly(small: Small) -> str:
    script = small.root / "nightly.sh"
    script.write_text(block("sh").replace(HOME, str(small.root)))
    return f"/bin/sh {script}"


@pytest.mark.slow
def test_the_script_is_silent_where_there_is_no_news(small: Small, nightly: str) -> None:
    assert by_cron(small, nightly) == Ended(0, "", "")
    assert len(small.images()) == 4
    with OutputLock(Dataset(small.out), "20260101T000000-1"):
        assert by_cron(small, nightly) == Ended(0, "", "")
    assert "is writing there" in (small.root / "last-night.txt").read_text()
    small.pair["steps"] = 2
    small.document["run"]["deadline"] = 0.01
    small.write()
    short = Path(small.root, "nightly.sh").read_text().replace(" --deadline 6h", "")
    Path(small.root, "nightly.sh").write_text(short)
    assert by_cron(small, nightly) == Ended(0, "", "")
    assert small.summary()["exit_code"] == 4


@pytest.mark.slow
def test_the_script_tells_what_is_wrong(small: Small, nightly: str) -> None:
    (small.root / "photos/cats/broken.png").write_bytes(b"no image")
    ended = by_cron(small, nightly)
    assert ended.code == 3
    assert "failed: cats/broken-s.png and 1 more: no image: text" in ended.out
    small.pair["styles"] = ["nothing"]
    small.write()
    ended = by_cron(small, nightly)
    assert ended.code == 2
    assert "nothing" in ended.out


def test_crontab_takes_it(tmp_path: Path) -> None:
    if not shutil.which("crontab"):
        pytest.skip("no crontab here")
    table = tmp_path / "table"

    def is_taken() -> bool:
        # Debian's cron and cronie have different letters for it.
        tried = [
            subprocess.run(["crontab", flag, table], capture_output=True) for flag in ["-n", "-T"]
        ]
        return any(each.returncode == 0 for each in tried)

    table.write_text(block("crontab").replace("0 1 * * *", "0 25 * * *"))
    assert not is_taken()
    table.write_text(block("crontab"))
    assert is_taken()


@pytest.fixture
def units(small: Small, tmp_path: Path) -> list[Path]:
    found = []
    for number in (0, 1):
        text = block("ini", number).replace(HOME, str(small.root))
        name = re.match(r"# (stylebatch\.\w+)\n", text)
        assert name is not None
        found.append(tmp_path / name[1])
        found[-1].write_text(text)
    return found


def test_systemd_takes_the_units(units: list[Path]) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")

    home = str(units[0].parent)

    def verify() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["systemd-analyze", "verify", "--user", "--man=no", *units],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            env={"PATH": os.environ["PATH"], "HOME": home, "XDG_RUNTIME_DIR": home},
        )

    def complaints() -> list[str]:
        # Of the machine's own units it may complain as well.
        return [line for line in verify().stderr.splitlines() if re.search(r"batch\.\w+:", line)]

    assert complaints() == []
    units[0].write_text(units[0].read_text().replace("KillMode=mixed", "KillMode=mized"))
    assert any("KillMode" in line or "mized" in line for line in complaints())


@pytest.mark.slow
@needs_proc
def test_the_service_runs_and_a_sigterm_is_one_of_its_successes(
    small: Small, units: list[Path]
) -> None:
    fields = dict(re.findall(r"^(\w+)=(.*)$", units[0].read_text(), re.MULTILINE))
    assert fields["WorkingDirectory"] == str(small.root)
    assert set(fields["SuccessExitStatus"].split()) == {"4", "10"}
    assert by_cron(small, f"cd {small.root} && {fields['ExecStart']}") == Ended(0, "", "")
    small.pair["steps"] = 2000
    process = start("run", str(small.write()))
    holder = small.out / ".stylebatch/holder.json"
    wait_until(lambda: holder.exists() or process.poll() is not None, "the run holds the output")
    os.kill(process.pid, signal.SIGTERM)  # as KillMode=mixed: to the run alone
    process.communicate(timeout=PATIENCE_S)
    assert str(process.returncode) in fields["SuccessExitStatus"].split()
    assert contents(small.out / ".stylebatch/tmp") == {}


def test_the_codes_are_those_of_running() -> None:
    running = (ROOT / "docs/running.md").read_text(encoding="utf-8")
    codes = [re.findall(r"^\| (\d+) \| .*\|$", text, re.MULTILINE) for text in (TEXT, running)]
    assert codes[0] == codes[1] == ["0", "1", "2", "3", "4", "5", "10"]


def test_the_log_is_rotated_as_told() -> None:
    assert f"rotated at {LOG_BYTES // 10**6} MB, " in TEXT
    numbers = {5: "five"}
    assert f"{numbers[LOG_FILES]} older ones are kept" in TEXT

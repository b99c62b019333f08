"""What `make` says of itself, and what a newcomer sees of `make run`."""

import re
import subprocess

from support.paths import ROOT

TARGETS = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


def make(*arguments: str) -> str:
    done = subprocess.run(
        ["make", "--no-print-directory", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_help_has_a_line_for_each_target() -> None:
    told = dict(re.findall(r"^make ([a-z-]+) +(\S.+)$", make("help"), re.MULTILINE))
    assert sorted(told) == sorted(TARGETS[0].split())
    assert told["quick"] == "check a change: lint and every test that is not slow"


def test_the_demonstration_suggests_no_manifest_beside_the_one_that_is_run() -> None:
    assert make("-n") == make("-n", "run")
    *_, demo, run = make("-n").splitlines()
    assert demo.endswith("/stylebatch demo demo > /dev/null")
    assert run.endswith("/stylebatch run pipeline.yaml")

"""Shell completion, as a shell asks for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT
from support.runs import PATIENCE_S

from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.recipes import recipe_names

PROGRAM = f"""#!/bin/sh
exec {sys.executable} -c '
import sys
sys.argv[0] = "stylebatch"
sys.path.insert(0, "{ROOT}")
from stylebatch.cli import main
main()' "$@"
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """`stylebatch` by its name, as it is installed."""
    program = tmp_path / "stylebatch"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    return program


def ask(program: Path, **variables: str) -> str:
    done = subprocess.run(
        [str(program)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def complete(program: Path, *words: str) -> list[str]:
    typed = " ".join(["stylebatch", *words])
    variables = {"COMP_WORDS": typed, "COMP_CWORD": str(len(words))}
    return ask(program, _STYLEBATCH_COMPLETE="complete_bash", **variables).split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("sta",), ["status"]),
        (("run", "--exec"), ["--executor"]),
        (("run", "--executor", "l"), ["local"]),
        (("weights", "con"), ["convert"]),
        (("recipes", "g"), ["gatys"]),
        (("stylize", "--arch", "vgg"), [name for name in ARCHITECTURES if name.startswith("vgg")]),
        (("stylize", "--recipe", ""), recipe_names()),
    ],
    ids=str,
)
def test_what_is_begun_is_completed(
    words: tuple[str, ...], expected: list[str], program: Path
) -> None:
    assert complete(program, *words) == expected


def test_bash_takes_what_is_installed(program: Path, tmp_path: Path) -> None:
    script = tmp_path / "completion.sh"
    script.write_text(ask(program, _STYLEBATCH_COMPLETE="source_bash"))
    asked = f'. "{script}"; COMP_WORDS=(stylebatch pl); COMP_CWORD=1; _stylebatch_completion '
    done = subprocess.run(
        ["bash", "-c", f'{asked} "{program}"; echo "${{COMPREPLY[@]}}"; complete -p stylebatch'],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    completed, registered = done.stdout.splitlines()
    assert completed == "plan"
    assert registered.endswith("_stylebatch_completion stylebatch")

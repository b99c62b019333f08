"""Every command of benchmarks and training that is written down is one, with those options."""

import re

import pytest
from support.documents import PAGES, code
from support.house import SCRIPTS
from support.paths import ROOT

COMMAND = re.compile(r"python -m ((?:benchmarks|training)[\w.]*)([^`#]*)")
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
WRITTEN = {
    **{page: "\n".join(code(page)) for page in PAGES},
    "Makefile": (ROOT / "Makefile").read_text(encoding="utf-8"),
    **{name: path.read_text(encoding="utf-8") for name, path in SCRIPTS.items()},
}
COMMANDS = sorted(
    {
        (place, module.rstrip("."), *OPTION.findall(rest))
        for place, text in WRITTEN.items()
        for line in text.splitlines()
        for module, rest in COMMAND.findall(line)
    }
)


def source_of(module: str) -> str:
    """Return the text of what `python -m` runs."""
    path = SCRIPTS.get(f"{module}.__main__") or SCRIPTS[module]
    return path.read_text(encoding="utf-8")


def options_of(source: str) -> set[str]:
    """Return the options that a script takes, by what stands below its docstring."""
    _, _, below = source.split('"""', 2)
    found = set(OPTION.findall(below))
    if "add_shared_option(" in below:
        found.add("--shared")
    # Typer makes an option of a parameter's name.
    names = re.findall(r"^    (\w+): Annotated", below, re.MULTILINE)
    return found | {f"--{name.replace('_', '-')}" for name in names}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_that_is_written_down_can_be_run(command: tuple[str, ...]) -> None:
    _, module, *options = command
    source = source_of(module)
    assert 'if __name__ == "__main__":' in source
    assert set(options) <= options_of(source)


def test_commands_are_found_wherever_they_are_written() -> None:
    assert {"README.md", "docs/lab/benchmarks.md", "docs/lab/solver.md", "Makefile"} <= {
        place for place, *_ in COMMANDS
    }
    assert ("Makefile", "benchmarks.speed.plan", "--jobs") in COMMANDS


def test_every_script_with_a_command_shows_it_in_its_own_text() -> None:
    for name, path in SCRIPTS.items():
        text = path.read_text(encoding="utf-8")
        if 'if __name__ == "__main__":' in text:
            assert f"python -m {name.removesuffix('.__main__')}" in text.split('"""')[1], name


def test_nothing_names_a_script_by_its_file() -> None:
    by_file = re.compile(r"python (?:benchmarks|training)/")
    assert [place for place, text in WRITTEN.items() if by_file.search(text)] == []

"""What a session needs of packages, as requirements, a line each; only the standard library.

python -m benchmarks.gpu.needs                    # all but torch, which machines bring
python -m benchmarks.gpu.needs --torch
python -m benchmarks.gpu.needs --missing          # here
python -m benchmarks.gpu.needs --missing --least  # without what only the tests need
"""

import argparse
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
# In matching pairs, gigabytes; nothing that a session runs imports the second of them.
TORCH = ("torch", "torchvision")
OF_TESTS = ("hypothesis", "pytest", "pytest-timeout")


def main() -> None:
    """Print what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch", action="store_true", help="with torch and torchvision")
    parser.add_argument("--missing", action="store_true", help="only what is not installed here")
    parser.add_argument("--least", action="store_true", help="without what only the tests need")
    options = parser.parse_args()
    for name, least in needed():
        if (name in TORCH and not options.torch) or (name in OF_TESTS and options.least):
            continue
        if not (options.missing and is_here(name, least)):
            print(f"{name}>={least}" if least else name)


def needed() -> Iterator[tuple[str, str]]:
    """Yield each package with the least version that it has to have, "" for any."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    wanted = [each for each in project["optional-dependencies"]["dev"] if _name(each) in OF_TESTS]
    for requirement in (*project["dependencies"], *wanted):
        yield _name(requirement), requirement.partition(">=")[2]


def _name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found, requirement
    return found[0]


def is_here(name: str, least: str) -> bool:
    """Whether a package is installed in that version or a later one."""
    try:
        return _numbers(version(name)) >= _numbers(least)
    except PackageNotFoundError:
        return False


def _numbers(text: str) -> tuple[int, ...]:
    # Of 2.11.0+cu130 and 9.0rc1 what stands before.
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(map(int, found[0].split("."))) if found else ()


if __name__ == "__main__":
    main()

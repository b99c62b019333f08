"""The locks: what pyproject.toml asks for, once for every Python, and the same in both."""

import re
import tomllib

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = {"run": ["demo"], "dev": ["demo", "dev"]}
PYTHONS = ["3.11", "3.12", "3.13"]


def read_lock(name: str) -> dict[str, list[tuple[str, str]]]:
    """Return for each name the lines that pin it, with what stands below them."""
    text = (ROOT / "locks" / f"{name}.txt").read_text(encoding="utf-8")
    found: dict[str, list[tuple[str, str]]] = {}
    for line, below in re.findall(r"^(\w.*?) \\\n((?:    .*\n)+)", text, re.MULTILINE):
        found.setdefault(Requirement(line).name, []).append((line, below))
    return found


def pins(name: str, python: str) -> dict[str, list[str]]:
    """Return the versions that a lock names for a Python on Linux."""
    platform = {"sys_platform": "linux", "platform_machine": "x86_64", "platform_system": "Linux"}
    environment = platform | {"python_version": python, "python_full_version": f"{python}.7"}
    found: dict[str, list[str]] = {}
    for lines in read_lock(name).values():
        for pin in (Requirement(line) for line, _ in lines):
            if pin.marker is None or Marker(str(pin.marker)).evaluate(environment):
                found.setdefault(pin.name, []).append(str(pin.specifier).removeprefix("=="))
    return found


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", EXTRAS)
def test_a_lock_names_one_allowed_version_of_all_that_is_asked_for(name: str, python: str) -> None:
    asked = [*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"]]
    for extra in EXTRAS[name]:
        asked += PROJECT["project"]["optional-dependencies"][extra]
    locked = pins(name, python)
    for each in map(Requirement, asked):
        if each.name != "stylebatch":
            (version,) = locked[each.name.lower()]
            assert each.specifier.contains(version), f"{each}: {version}: make lock"


@pytest.mark.parametrize("python", PYTHONS)
def test_what_runs_is_what_is_tested(python: str) -> None:
    run, dev = pins("run", python), pins("dev", python)
    assert run == {name: dev[name] for name in run}
    assert len(run) < len(dev)


@pytest.mark.parametrize("name", EXTRAS)
def test_every_locked_version_has_its_hashes(name: str) -> None:
    lock = read_lock(name)
    assert len(lock) > 40
    for lines in lock.values():
        for line, below in lines:
            assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", below), line


def test_the_lock_holds_the_pair_of_torch_and_torchvision_that_the_makefile_names() -> None:
    (pair,) = re.findall(r"^TORCH := (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    lock = read_lock("run")
    assert pair.split() == [lock[name][0][0] for name in ("torch", "torchvision")]

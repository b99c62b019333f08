"""Install the project here with the versions of its lock, into the environment that runs this.

What the index lacks is said, and the newest that pyproject.toml allows is taken instead: a lock is
for the same versions everywhere, not for a machine that does not start. Bytes other than the locked
ones are refused. Only the standard library and pip are needed.
"""

import argparse
import importlib.metadata
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Collection, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, NoReturn

# torch and torchvision come in matching pairs, and from an index of one's own both or none.
TORCH = ("torch", "torchvision")
# What torch's wheels for CUDA need, of which those of another index have their own or none.
CUDA = ("nvidia-", "cuda-", "triton")

LACKING = re.compile(r"No matching distribution found for ([\w.-]+)")
OTHER_BYTES = "DO NOT MATCH THE HASHES"
# Versions that don't go together: a constraint of the user's, say.
CONFLICT = re.compile("ResolutionImpossible|conflict")
UNREACHABLE = re.compile("connection broken|Max retries|name resolution|Network is unreachable")


class Pin(NamedTuple):
    """One version in the lock."""

    name: str
    version: str
    marker: str
    text: str  # as it stands there, with its hashes
    needed_by: frozenset[str]


def main() -> None:
    """Install what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", type=Path, help="without it: the newest allowed versions")
    parser.add_argument("--extra", required=True, help="which of the project's extras")
    parser.add_argument("--torch-index", help="where torch and torchvision come from instead")
    wanted = parser.parse_args()
    if not find_spec("pip"):
        here = Path(sys.prefix)
        fail("", f"{here} has no pip: remove it, install python3-venv where that is missing, again")
    pins = locked = read_pins(wanted.lock.read_text(encoding="utf-8")) if wanted.lock else []
    announce(locked)
    if wanted.torch_index:
        install_torch(pins, wanted.torch_index)
    if "+" in version_of("torch"):
        pins = [pin for pin in pins if not pin.name.startswith((*TORCH, *CUDA))]
    install_project(f".[{wanted.extra}]", install_locked(pins, wanted.lock))
    report(locked, wanted.lock)
    check_pair()


def announce(locked: Iterable[Pin]) -> None:
    """Say that it will take a while, where it will: where torch is absent or another."""
    versions = [pin.version for pin in locked if pin.name == "torch"]
    there = version_of("torch").partition("+")[0]
    if not there or (versions and there not in versions):
        print("installing torch and the rest: a few minutes, some GB", flush=True)


def read_pins(text: str) -> list[Pin]:
    """Return the pins of a hashed requirements file as `uv pip compile` writes it."""
    blocks = re.split(r"^(?=\w)", text, flags=re.MULTILINE)
    return [_read_pin(block) for block in blocks if "==" in block]


def _read_pin(block: str) -> Pin:
    head = re.match(r"([\w.-]+)==([^\s;]+)(?: ;)?([^\\\n]*)", block)
    assert head, block
    needed_by = re.findall(r"^ +#(?: via)? +(\w[\w.-]*)", block, re.MULTILINE)
    return Pin(head[1], head[2], head[3].strip(), block, frozenset(needed_by) - {"via"})


def install_torch(pins: Iterable[Pin], index: str) -> None:
    """Install torch and torchvision from an index of their own, in the locked versions if it can.

    Its files are others than those of the lock (2.14.1+cpu, say), and so are their hashes.
    """
    locked = [f"{pin.name}=={pin.version}" for pin in pins if pin.name in TORCH]
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    allowed = [each for each in project["dependencies"] if re.split(r"[^\w.-]", each)[0] in TORCH]
    complaint = pip_install("--index-url", index, *(locked or allowed))
    if complaint and locked:
        say(f"{index}: {reason(complaint)}: taking the newest of {' '.join(allowed)}")
        complaint = pip_install("--index-url", index, *allowed)
    if complaint:
        fail(complaint, f"{index}: no torch to be had: see pip's words above, or leave it out")


def install_locked(pins: list[Pin], lock: Path | None) -> list[Pin]:
    """Install what is locked, by its hashes; return what of it could be had."""
    while pins:
        texts = (pin.text for pin in pins)
        complaint = install_listed("--requirement", texts, "--require-hashes", "--no-deps")
        if not complaint:
            break
        if OTHER_BYTES in complaint:
            todo = "to install them all the same, without the lock: make LOCKS= …"
            fail(complaint, f"{lock}: the index has other files than those locked: {todo}")
        lacking = {pin.name for pin in pins} & set(LACKING.findall(complaint))
        check_is_about_versions(complaint, lacking)
        say(f"{lock}: {reason(complaint)}: taking the newest that pyproject.toml allows")
        # Where pip names none it may be any.
        free = relatives(pins, lacking) if lacking else {pin.name for pin in pins}
        pins = [pin for pin in pins if pin.name not in free]
    return pins


def check_is_about_versions(complaint: str, lacking: set[str]) -> None:
    """End where other versions would help nothing: no network, no space, half a download."""
    if UNREACHABLE.search(complaint):
        fail(complaint, "the package index can't be reached: look at network and proxy, try again")
    if not lacking and not CONFLICT.search(complaint):
        fail(complaint, "pip could not install what is locked: mend what it says, try again")


def install_project(project: str, pins: list[Pin]) -> None:
    """Install the project itself and what it still needs, beside the pins that are there."""
    lines = [f"{pin.name}=={pin.version} ; {pin.marker}".rstrip("; ") for pin in pins]
    # What builds it is locked as well.
    is_built_here = ["--no-build-isolation"] * any(pin.name == "setuptools" for pin in pins)
    complaint = install_listed("--constraint", lines, *is_built_here, "--editable", project)
    if complaint and pins:
        say(f"{reason(complaint)}: leaving the lock aside")
        complaint = pip_install("--editable", project)
    if complaint:
        fail(complaint, "pip could not install what pyproject.toml allows: see its words above")


def report(locked: list[Pin], lock: Path | None) -> None:
    """Say which versions are not the locked ones."""
    for name in sorted({pin.name for pin in locked}):
        versions = [pin.version for pin in locked if pin.name == name]
        found = version_of(name)
        if found and found.partition("+")[0] not in versions:
            say(f"{lock}: {name} {found} instead of {' or '.join(versions)}, untested")


def check_pair() -> None:
    """End where torchvision can't be imported: of an index of one's own it may not be torch's."""
    command = (sys.executable, "-c", "import torchvision")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pair = " and ".join(f"{name} {version_of(name)}" for name in TORCH)
        todo = "take both from one index: remove this environment, again with another TORCH_INDEX"
        fail(done.stderr.strip(), f"{pair} don't go together: {todo}, or without it")


def relatives(pins: Collection[Pin], names: set[str]) -> set[str]:
    """Return names, all that need them and all that they need: other versions want others."""
    above, below = set(names), set(names)
    for _ in pins:  # as often as the longest chain may be
        above |= {parent for pin in pins if pin.name in above for parent in pin.needed_by}
        below |= {pin.name for pin in pins if pin.needed_by & below}
    return above | below


def install_listed(option: str, lines: Iterable[str], *arguments: str) -> str:
    """Run pip with a file of requirements or constraints; return its complaint or ''."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(lines))
        file.flush()
        return pip_install(*arguments, option, file.name)


def pip_install(*arguments: str) -> str:
    """Run pip without a word; return its complaint, or '' where it has installed all."""
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    done = subprocess.run([*pip, *arguments], stderr=subprocess.PIPE, text=True)
    if done.returncode == 0:
        return ""  # and no word of its warnings
    return done.stderr.strip() or f"ERROR: pip ended with {done.returncode}"


def reason(complaint: str) -> str:
    """Return the line of pip's complaint that says most."""
    errors = re.findall(r"^ERROR: (.+)", complaint, re.MULTILINE)
    return errors[-1] if errors else complaint.splitlines()[-1]


def version_of(name: str) -> str:
    """Return the version that is installed, '' if none is."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def say(text: str) -> None:
    """Say it where errors go: what `make` prints may be kept elsewhere."""
    print(f"install: {text}", file=sys.stderr, flush=True)


def fail(complaint: str, text: str) -> NoReturn:
    """End with pip's own words and ours."""
    print(complaint, file=sys.stderr)
    say(text)
    sys.exit(1)


if __name__ == "__main__":
    main()

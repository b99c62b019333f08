"""Small projects that are really run: pictures of 16 px, a shallow recipe, the command line."""

import contextlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml
from PIL import Image
from support.paths import remove_with_folder

from stylebatch.cli import main

# Cheap, with every part of the real thing: a content and a style layer, and L-BFGS.
SHALLOW = {
    "content_layers": {"conv2_1": 1},
    "style_layers": {"conv1_1": 1},
    "bucket_px": 16,
    "tolerance": 0,
}
# Looks for processes in /proc.
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
# Ends only what hangs: on a busy machine importing torch alone can take a minute.
PATIENCE_S = 600
COMMAND = (sys.executable, "-c", "from stylebatch.cli import main; main()")


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def picture(number: int, width: int = 16, height: int = 16, mode: str = "RGB") -> Image.Image:
    """Draw a picture of soft random colours; another number gives another one."""
    shape = (4, 4, len(mode))
    coarse = np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)
    return Image.fromarray(coarse, mode).resize((width, height), Image.Resampling.BICUBIC)


class Small:
    """A folder with photographs, styles and a manifest, whose document tests may change."""

    def __init__(self, root: Path) -> None:
        self.root, self.out = root, root / "out"
        self.manifest = root / "pipeline.yaml"
        self.pair: dict[str, Any] = {
            "name": "all",
            "content": "photos",
            "styles": ["styles"],
            "size_px": 16,
            "steps": 3,
            "override": dict(SHALLOW),
        }
        self.document: dict[str, Any] = {
            "version": 1,
            "output": "out",
            "seed": 0,
            "extractor": {"weights": "random"},
            "pairs": [self.pair],
            # Of so few images one photograph's are more than the usual share.
            "run": {
                "executor": "inline",
                "precision": "float32",
                "cache": "cache",
                "max_removals": "100%",
            },
        }
        self.is_written = False

    def photo(self, path: str, number: int, width: int = 16, height: int = 16) -> Path:
        """Draw a photograph."""
        return self._draw(self.root / "photos" / path, picture(number, width, height))

    def remove_photo(self, path: str) -> None:
        """Remove a photograph, and its folder with the last one: an empty one might be a mount."""
        remove_with_folder(self.root / "photos" / path)

    def style(self, path: str, number: int) -> Path:
        """Draw a style image."""
        return self._draw(self.root / "styles" / path, picture(number))

    def _draw(self, path: Path, image: Image.Image) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
        return path

    def write(self) -> Path:
        """Write the manifest as it is now."""
        text = yaml.safe_dump(self.document, sort_keys=False)
        self.manifest.write_text(text, encoding="utf-8")
        return self.manifest

    def run(self, *arguments: str) -> Ended:
        """Run the manifest in this process."""
        return command("run", str(self.write()), *arguments)

    def again(self, *arguments: str, code: int = 0) -> set[str]:
        """Run the manifest and return the images that were made anew, or taken back."""
        before = self.identities()
        ended = self.run(*arguments)
        assert ended.code == code, ended
        after = self.identities()
        made = {path for path, identity in after.items() if before.get(path) != identity}
        assert self.summary()["done"] + self.summary()["taken_back"] == len(made)
        return made

    def identities(self) -> dict[str, tuple[int, int]]:
        """Return what tells each image's file from the one that replaces it."""
        stats = {path: (self.out / "images" / path).stat() for path in self.images()}
        return {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in stats.items()}

    def images(self) -> dict[str, bytes]:
        """Return the images with their bytes, by path below `images`: all that is there but tables.

        A whole run ends with tables for loaders; shards write none.
        """
        found = contents(self.out / "images")
        return {path: data for path, data in found.items() if Path(path).name != "metadata.jsonl"}

    def stale(self) -> set[str]:
        """Return the images that were set aside, by path below their run's `images`."""
        runs = (self.out / ".stylebatch/stale").glob("*/images")
        return {path for run in runs for path in contents(run)}

    def metadata(self) -> dict[str, dict[str, Any]]:
        """Return the lines of the metadata by their images, paths as in `images`."""
        rows = lines(self.out / "metadata.jsonl")
        return {row["file_name"].removeprefix("images/"): row for row in rows}

    def log(self) -> str:
        """Return the log of all runs."""
        return (self.out / ".stylebatch/run.log").read_text(encoding="utf-8")

    def summary(self) -> dict[str, Any]:
        """Return `run.json`."""
        summary: dict[str, Any] = json.loads((self.out / "run.json").read_bytes())
        return summary


def small_project(root: Path) -> Small:
    """Make two photographs of two classes and two styles: four images to make."""
    small = Small(root)
    small.photo("cats/a.png", 1)
    small.photo("dogs/b.png", 2)
    small.style("s.png", 11)
    small.style("t.png", 12)
    small.write()
    return small


def color_project(root: Path) -> Small:
    """Make the same, by a recipe that needs none of the weights that are named."""
    small = small_project(root)
    del small.pair["steps"], small.pair["override"], small.pair["size_px"]
    small.pair["recipe"] = "color-transfer"
    small.document["extractor"] = {"weights": "nowhere.safetensors"}
    return small


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder with their bytes, by path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def lines(path: Path) -> list[dict[str, Any]]:
    """Read a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """Let what is started within it use one core, and so one thread.

    For pictures of 16 px more threads only wait for each other, above all on a busy machine.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {random.choice(sorted(before))})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def command(*arguments: str) -> Ended:
    """Run the command line in this process, without a terminal."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, one_core():
        patch.setattr(sys, "argv", ["stylebatch", *arguments])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
                code = 0
            except SystemExit as ending:
                code = int(ending.code or 0)
    return Ended(code, out.getvalue(), err.getvalue())


def run_process(code: str, *arguments: str, timeout_s: float = PATIENCE_S) -> Ended:
    """Run Python code in a process of its own."""
    asked = [sys.executable, "-c", code, *arguments]
    with one_core():
        done = subprocess.run(asked, capture_output=True, text=True, timeout=timeout_s)
    return Ended(done.returncode, done.stdout, done.stderr)


def start(*arguments: str) -> "subprocess.Popen[str]":
    """Start the command line in a process, and a process group, of its own."""
    with one_core():
        return subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def end(process: "subprocess.Popen[str]", timeout_s: float = PATIENCE_S) -> Ended:
    """Wait for a process that `start` has started."""
    out, err = process.communicate(timeout=timeout_s)
    return Ended(process.returncode, out, err)


def wait_until(holds: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Wait for something to become true."""
    until = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < until, f"waited in vain: {what}"
        time.sleep(0.02)


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started and that are alive, from /proc."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if _parent_and_state(int(folder.name)) in ((pid, "S"), (pid, "R"), (pid, "D")):
                found.append(int(folder.name))
    return found


def is_alive(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        return _parent_and_state(pid)[1] != "Z"
    except OSError:
        return False


def _parent_and_state(pid: int) -> tuple[int, str]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1]), fields[0]


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder, times included."""
    shutil.copytree(source, target, copy_function=shutil.copy2)


def touch(path: Path) -> None:
    """Give a file another time of change and nothing else."""
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 10**9))

"""What is published: an sdist that can be tested, and a wheel that runs where nothing else is."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from support.paths import ROOT

pytestmark = pytest.mark.slow

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BUILD = """
import sys
from setuptools import build_meta
target = sys.argv[1]  # which setuptools changes
build_meta.build_sdist(target)
build_meta.build_wheel(target)
"""
MANIFEST = """
version: 1
output: out
extractor: {arch: slim}
pairs:
  - {name: all, content: demo/photos, styles: [demo/styles], size_px: 64, steps: 3}
"""


class Built(NamedTuple):
    """Both distributions, and what of the repository they were built from."""

    sdist: Path
    wheel: Path
    sources: set[str]


def repository() -> set[str]:
    """Return the files that git knows or would add."""
    if not (ROOT / ".git").exists():
        pytest.skip("git tells what belongs to the repository, and this is none")
    asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in done.stdout.splitlines() if (ROOT / name).exists()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    # From a copy: setuptools writes beside its sources, and believes what it once wrote there.
    copy, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    sources = repository()
    for name in sources:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    command = [sys.executable, "-c", BUILD, str(target)]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (sdist,), (wheel,) = target.glob("*.tar.gz"), target.glob("*.whl")
    return Built(sdist, wheel, sources)


def test_an_sdist_holds_the_whole_repository_but_what_is_cis(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        files = [member.name for member in archive if member.isfile()]
    found = {name.partition("/")[2] for name in files}
    made = {name for name in found if ".egg-info/" in name} | {"PKG-INFO", "setup.cfg"}
    assert found - made == {name for name in built.sources if not name.startswith(".ci/")}
    assert {"tests/installing/test_packaging.py", "docs/cron.md", "pipeline.yaml"} <= found


def test_a_wheel_holds_the_package_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == {name for name in built.sources if name.startswith("stylebatch/")}
    names = ("slim", "slim-2026-11")
    weights = {f"stylebatch/extractors/weights/{name}.safetensors" for name in names}
    assert {"stylebatch/py.typed", *weights} <= found


class Installed:
    """An environment with the wheel in it and nothing else, and a folder to work in."""

    def __init__(self, root: Path, wheel: Path) -> None:
        venv = [sys.executable, "-m", "venv", "--without-pip", str(root / "venv")]
        subprocess.run(venv, check=True)
        self.python = root / "venv/bin/python"
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet"]
        subprocess.run([*pip, "--no-index", "--no-deps", str(wheel)], check=True)
        (self.packages,) = root.glob("venv/lib/python*/site-packages")
        # What it depends on comes from here. An editable stylebatch does not: that is a `.pth` file
        # there, and those count only where Python looks by itself.
        (self.packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        self.folder = root / "elsewhere"
        self.folder.mkdir()

    def run(self, *command: str) -> str:
        """Run a program of the environment and return what it prints; it has no complaint."""
        kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        program, *arguments = command
        asked = [str(self.python.parent / program), *arguments]
        done = subprocess.run(asked, cwd=self.folder, env=kept, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"), built.wheel)


def test_an_installed_wheel_is_what_runs_and_knows_its_version(installed: Installed) -> None:
    where = installed.run("python", "-c", "import stylebatch; print(stylebatch.__file__)")
    assert Path(where.strip()) == installed.packages / "stylebatch/__init__.py"
    version = f"stylebatch {PROJECT['version']}\n"
    assert installed.run("stylebatch", "--version") == version
    assert installed.run("python", "-m", "stylebatch", "--version") == version


@pytest.mark.parametrize("executor", ["inline", "local"])
def test_an_installed_wheel_makes_the_demo_plans_it_and_runs_it(
    installed: Installed, executor: str
) -> None:
    installed.run("python", "-m", "stylebatch", "demo", "demo")
    text = MANIFEST + f"run: {{executor: {executor}, devices: [cpu]}}\n"
    (installed.folder / "small.yaml").write_text(text, encoding="utf-8")
    assert "8" in installed.run("stylebatch", "plan", "small.yaml")
    installed.run("python", "-m", "stylebatch", "run", "small.yaml")
    photos = sorted(path.stem for path in installed.folder.glob("demo/photos/*/*"))
    images = sorted(installed.folder.glob("out/images/*/*.png"))
    assert len(images) == 8
    assert sorted({path.stem.partition("-")[0] for path in images}) == photos
    for path in images:
        (photo,) = installed.folder.glob(f"demo/photos/*/{path.stem.partition('-')[0]}.*")
        before, after = (np.asarray(Image.open(each).convert("RGB")) for each in (photo, path))
        assert before.shape == after.shape
        assert (before != after).mean() > 0.1, "no photograph is left as it was"
    shutil.rmtree(installed.folder / "out")


def test_a_clone_that_is_installed_in_place_does_not_hide_it_beside_itself(tmp_path: Path) -> None:
    clone, target = tmp_path / "stylebatch", tmp_path / "built"
    for name in repository():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    target.mkdir()
    build = "import sys; from setuptools import build_meta; build_meta.build_editable(sys.argv[1])"
    command = [sys.executable, "-c", build, str(target)]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    venv.create(tmp_path / "venv", with_pip=False)
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (wheel,) = target.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    command = [str(tmp_path / "venv/bin/python"), "-c", "from stylebatch import __version__"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")

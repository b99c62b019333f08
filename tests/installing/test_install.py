"""What `make run` and `make test` install: the locked versions, or the newest, and say so.

Against an index of files that is made here, of wheels that hold an empty module.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.paths import ROOT

pytestmark = pytest.mark.slow

# The project's build backend: hands out the wheel beside it.
BACKEND = """
import shutil
def build_editable(folder, config_settings=None, metadata_directory=None):
    return shutil.copy("tiny-1-py3-none-any.whl", folder).rpartition("/")[2]
"""
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "tiny"
version = "1"
dependencies = ["paint>=1,<3", "brush>=1", "torch>=1", "torchvision>=1"]
optional-dependencies = {demo = ["frame"]}
"""
LOCKED = {
    "brush": ("1", "tiny (pyproject.toml)"),
    "frame": ("1", "tiny (pyproject.toml)"),
    "nvidia-all": ("1", "torch"),
    "paint": ("2", "tiny (pyproject.toml)"),
    "torch": ("2", "torchvision"),
    "torchvision": ("2", "tiny (pyproject.toml)"),
}


def make_wheel(folder: Path, name: str, version: str, *needs: str, code: str = "") -> Path:
    """Write a wheel that holds a module, what it is called and needs."""
    path = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    header = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata = "\n".join([*header, *(f"Requires-Dist: {need}" for need in needs)])
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{info}/METADATA", metadata + "\nProvides-Extra: demo\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
        wheel.writestr(f"{name.replace('-', '_')}.py", code)
    return path


def make_index(folder: Path, *wheels: tuple[str, ...]) -> str:
    """Make an index of wheels, each told by its name, version and needs; return its address."""
    for name, *told in wheels:
        page = folder / name / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        path = make_wheel(page.parent, name, *told)
        with page.open("a", encoding="utf-8") as file:
            file.write(f'<a href="{path.name}">{path.name}</a>\n')
    return folder.as_uri()


class Tiny:
    """A project with a lock, an index and an environment of its own."""

    def __init__(self, root: Path, environment: Path | None) -> None:
        self.root = root
        self.index = make_index(
            root / "index",
            *[("paint", version) for version in "123"],
            *[(name, version) for name in ("brush", "frame", "nvidia-all") for version in "12"],
            *[("torch", version, "nvidia-all") for version in "123"],
            *[("torchvision", version, f"torch=={version}") for version in "123"],
        )
        needs = ("paint<3,>=1", "brush>=1", "torch>=1", "torchvision>=1")
        make_wheel(root, "tiny", "1", *needs, 'frame ; extra == "demo"')
        (root / "backend.py").write_text(BACKEND, encoding="utf-8")
        (root / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
        shutil.copy(ROOT / "Makefile", root)
        shutil.copytree(ROOT / "tools", root / "tools")
        (root / "locks").mkdir()
        self.lock({})
        if environment:
            shutil.copytree(environment, root / ".venv", symlinks=True)

    def lock(self, others: dict[str, str]) -> None:
        """Write the lock, with other versions of some packages, which the index lacks."""
        text = "# made by a test\n"
        for name, (version, needed_by) in LOCKED.items():
            file = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
            digest = hashlib.sha256((self.root / "index" / name / file).read_bytes()).hexdigest()
            version = others.get(name, version)
            text += f"{name}=={version} \\\n    --hash=sha256:{digest}\n    # via {needed_by}\n"
        (self.root / "locks/run.txt").write_text(text, encoding="utf-8")

    def run(self, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command there, with this index and no other setting of pip's or make's."""
        kept = {key: value for key, value in os.environ.items() if key[:4] not in ("PIP_", "MAKE")}
        own = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1", "PIP_INDEX_URL": self.index}
        return subprocess.run(
            command, cwd=self.root, env=kept | own | settings, capture_output=True, text=True
        )

    def install(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Install from the lock."""
        command = (".venv/bin/python", "tools/install.py", "--lock", "locks/run.txt")
        return self.run(*command, "--extra", "demo", *arguments, **settings)

    def installed(self) -> dict[str, str]:
        """Return the version of each package that is there."""
        folders = self.root.glob(".venv/lib/python*/site-packages/*.dist-info")
        every = dict(folder.stem.split("-") for folder in folders)
        found = {name.replace("_", "-"): version for name, version in every.items()}
        return {name: version for name, version in found.items() if name in LOCKED}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return folder


@pytest.fixture
def tiny(tmp_path: Path, environment: Path) -> Tiny:
    return Tiny(tmp_path, environment)


AS_LOCKED = {name: version for name, (version, _) in LOCKED.items()}


def test_what_is_locked_is_installed_though_there_are_newer_ones(tiny: Tiny) -> None:
    done = tiny.install()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "installing torch and the rest: a few minutes, some GB\n"
    assert tiny.installed() == AS_LOCKED
    done = tiny.install()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), "nothing more to do"
    assert tiny.installed() == AS_LOCKED


def test_make_takes_the_newest_allowed_where_the_index_lacks_a_locked_version(
    tmp_path: Path,
) -> None:
    tiny = Tiny(tmp_path, None)
    tiny.lock({"paint": "2.7"})
    done = tiny.run("make", ".venv/.installed", f"PYTHON={sys.executable}")
    assert done.returncode == 0, done.stderr
    assert tiny.installed() == AS_LOCKED | {"paint": "2"}, "3 is not allowed"
    first, second = done.stderr.splitlines()
    assert first.startswith("install: locks/run.txt: ")
    assert "paint==2.7" in first
    assert second == "install: locks/run.txt: paint 2 instead of 2.7, untested"


def test_what_asks_for_the_lacking_version_is_taken_anew_with_it(tiny: Tiny) -> None:
    tiny.lock({"torch": "2.7"})
    done = tiny.install()
    assert done.returncode == 0, done.stderr
    newest = {"torch": "3", "torchvision": "3", "nvidia-all": "2"}
    assert tiny.installed() == AS_LOCKED | newest
    assert "torch 3 instead of 2.7" in done.stderr


def test_several_that_are_lacking_are_replaced_and_only_they(tiny: Tiny) -> None:
    tiny.lock({"brush": "1.7", "paint": "2.7"})
    done = tiny.install()
    assert done.returncode == 0, done.stderr
    assert tiny.installed() == AS_LOCKED | {"paint": "2", "brush": "2"}


def test_where_what_is_left_of_the_lock_fits_nothing_it_is_left_aside(tiny: Tiny) -> None:
    tiny.lock({"paint": "2.7"})
    shutil.rmtree(tiny.root / "index/paint")
    make_index(tiny.root / "index", ("paint", "2.1", "brush>=2"))
    done = tiny.install()
    assert done.returncode == 0, done.stderr
    assert tiny.installed() == AS_LOCKED | {"paint": "2.1", "brush": "2"}
    assert "brush 2 instead of 1, untested" in done.stderr


def test_a_constraint_of_the_users_that_the_lock_breaks_wins(tiny: Tiny) -> None:
    (tiny.root / "mine.txt").write_text("paint<2\n", encoding="utf-8")
    done = tiny.install(PIP_CONSTRAINT="mine.txt")
    assert done.returncode == 0, done.stderr
    assert tiny.installed()["paint"] == "1"
    assert "paint 1 instead of 2, untested" in done.stderr


def test_a_constraint_of_the_users_that_the_lock_keeps_changes_nothing(tiny: Tiny) -> None:
    (tiny.root / "mine.txt").write_text("torch<=2\nother==1\n", encoding="utf-8")
    done = tiny.install(PIP_CONSTRAINT="mine.txt")
    assert (done.returncode, done.stderr) == (0, "")
    assert tiny.installed() == AS_LOCKED


def test_other_bytes_under_a_locked_version_are_refused(tiny: Tiny) -> None:
    make_wheel(tiny.root / "index/brush", "brush", "1", "paint")
    done = tiny.install()
    assert done.returncode == 1
    assert "brush" in done.stderr
    assert "make LOCKS=" in done.stderr
    assert tiny.installed() == {}


def test_where_nothing_that_is_allowed_can_be_had_pip_says_so_itself(tiny: Tiny) -> None:
    shutil.rmtree(tiny.root / "index/brush")
    done = tiny.install()
    assert done.returncode == 1
    assert "No matching distribution found for brush" in done.stderr


def test_an_index_that_can_not_be_reached_is_said_once(tiny: Tiny) -> None:
    done = tiny.install(PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="1")
    assert done.returncode == 1
    assert done.stderr.count("the package index can't be reached: look at network and proxy") == 1
    assert tiny.installed() == {}


def test_what_other_versions_would_not_mend_ends_it_and_leaves_the_lock_in_force(
    tiny: Tiny,
) -> None:
    (tiny.root / "index/brush/brush-1-py3-none-any.whl").write_bytes(b"half a wheel")
    tiny.lock({})
    done = tiny.install()
    assert done.returncode == 1
    assert "mend what it says, try again" in done.stderr
    assert "taking the newest" not in done.stderr
    assert tiny.installed() == {}


def test_an_environment_without_pip_is_said_to_be_one(tmp_path: Path) -> None:
    """As Debian leaves it where python3-venv is missing."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    done = Tiny(tmp_path, tmp_path / "bare").install()
    assert done.returncode == 1
    assert "has no pip: remove it, install python3-venv" in done.stderr


def test_without_a_lock_the_newest_allowed_are_taken(tiny: Tiny) -> None:
    done = tiny.run(".venv/bin/python", "tools/install.py", "--extra", "demo")
    assert (done.returncode, done.stderr) == (0, "")
    newest = {"paint": "2", "brush": "2", "frame": "2", "nvidia-all": "2"}
    assert tiny.installed() == newest | {"torch": "3", "torchvision": "3"}


def torch_index(tiny: Tiny, version: str) -> str:
    """Make an index of torch without CUDA in one version."""
    other = f"{version}+cpu"
    wheels = ("torch", other), ("torchvision", other, f"torch=={version}")
    return make_index(tiny.root / "whl/cpu", *wheels)


def test_torch_of_another_index_has_the_locked_version_and_brings_no_cuda(tiny: Tiny) -> None:
    without_cuda = {name: version for name, version in AS_LOCKED.items() if name != "nvidia-all"}
    wanted = without_cuda | {"torch": "2+cpu", "torchvision": "2+cpu"}
    done = tiny.install("--torch-index", torch_index(tiny, "2"))
    assert (done.returncode, done.stderr) == (0, "")
    assert tiny.installed() == wanted
    done = tiny.install()
    assert (done.returncode, done.stderr) == (0, "")
    assert tiny.installed() == wanted, "it stays when `make test` follows without TORCH_INDEX"


def test_another_index_that_lacks_the_locked_torch_gives_its_newest_and_it_is_said(
    tiny: Tiny,
) -> None:
    done = tiny.install("--torch-index", torch_index(tiny, "1.5"))
    assert done.returncode == 0, done.stderr
    found = tiny.installed()
    assert (found["torch"], found["torchvision"]) == ("1.5+cpu", "1.5+cpu")
    assert (found["paint"], found["brush"]) == ("2", "1")
    assert "torch==2" in done.stderr
    assert "torch 1.5+cpu instead of 2, untested" in done.stderr


def test_a_torchvision_that_is_not_torchs_is_no_installation(tiny: Tiny) -> None:
    code = "raise RuntimeError('operator torchvision::nms does not exist')"
    make_wheel(tiny.root / "index/torchvision", "torchvision", "2", "torch==2", code=code)
    tiny.lock({})
    done = tiny.install()
    assert done.returncode == 1
    assert "torchvision::nms does not exist" in done.stderr
    assert "torch 2 and torchvision 2 don't go together: take both from one index" in done.stderr

"""File systems that refuse what others do, and outputs that lie on two of them."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.runs import COMMAND, PATIENCE_S, Small, run_process

pytestmark = pytest.mark.slow

# In a process of its own, and in those that it starts: whoever calls it sees this.
REFUSING = """
import errno, os, stat
real = os.fsync
def fsync(handle):
    if stat.S_ISDIR(os.fstat(handle).st_mode):
        raise OSError(errno.{name}, os.strerror(errno.{name}))
    real(handle)
os.fsync = fsync
def posix_fadvise(*arguments):
    raise OSError(errno.{name}, os.strerror(errno.{name}))
os.posix_fadvise = posix_fadvise
"""
NAMESPACE = ("unshare", "--mount", "--propagation", "private")


def may_mount() -> bool:
    try:
        return subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.parametrize("name", ["EINVAL", "ENOTSUP"])
def test_an_fsync_of_a_folder_or_a_hint_that_is_refused_is_no_failure(
    small: Small, name: str
) -> None:
    (small.root / "site").mkdir()
    (small.root / "site/sitecustomize.py").write_text(REFUSING.format(name=name))
    small.document["run"] |= {"executor": "local", "cpu_workers": 1}
    small.write()
    ended = subprocess.run(
        [*COMMAND, "run", str(small.manifest)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(small.root / "site"), *sys.path])},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    assert len(small.images()) == 4


def test_what_else_an_fsync_says_ends_the_run(small: Small) -> None:
    code = REFUSING.format(name="EIO") + "from stylebatch.cli import main\nmain()"
    ended = run_process(code, "run", str(small.manifest))
    assert ended.code == 5, ended
    assert "Input/output error" in ended.err


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on another file system."""
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


@pytest.mark.parametrize("part", ["images", ".stylebatch", "losses", "images/cats"])
def test_an_output_on_two_disks_is_refused_before_anything_is_made(
    small: Small, elsewhere: Path, part: str
) -> None:
    (small.out / part).parent.mkdir(parents=True)
    (small.out / part).symlink_to(elsewhere)
    ended = small.run()
    assert ended.code == 2, ended
    assert f"lies on another file system than {small.out / '.stylebatch'} (Inv" in ended.err
    assert "mount or link the whole output there" in ended.err
    assert small.images() == {}
    assert not list(small.root.rglob("*.tmp"))
    assert not list((small.root / "cache").rglob("*.safetensors")), "not one evaluation"


@pytest.mark.skipif(not may_mount(), reason="needs the right to mount")
def test_nor_one_whose_images_are_a_mount_of_the_same_disk(small: Small) -> None:
    (small.out / "images").mkdir(parents=True)
    (small.root / "other").mkdir()
    script = f'mount --bind {small.root / "other"} {small.out / "images"} && exec "$@"'
    ended = subprocess.run(
        [*NAMESPACE, "sh", "-c", script, "-", *COMMAND, "run", str(small.manifest)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert ended.returncode == 2, ended
    assert "lies on another file system" in ended.stderr
    assert list((small.root / "other").iterdir()) == []


def test_a_whole_output_may_lie_elsewhere(small: Small, elsewhere: Path) -> None:
    small.out.symlink_to(elsewhere)
    assert small.run().code == 0
    assert len(small.images()) == 4

"""A run as containers run it: nobody's user, no home, code that is read-only, process number 1."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.runs import COMMAND, PATIENCE_S, Small, needs_proc, small_project

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("on_one_core")]

NOBODY = "54321"
# Another user, who may still read what only root may: the interpreter stands in root's home here.
AS_NOBODY = (
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
)


def works(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run([*command, "true"], capture_output=True, timeout=60).returncode == 0


@pytest.fixture
def small(tmp_path: Path) -> Small:
    small = small_project(tmp_path)
    small.document["run"] |= {"executor": "local", "cpu_workers": 2}
    del small.document["run"]["cache"]
    small.write()
    return small


def run_in(
    small: Small, *within: str, **environment: str | None
) -> "subprocess.CompletedProcess[str]":
    every = {**os.environ, **environment}
    known = {name: value for name, value in every.items() if value is not None}
    return subprocess.run(
        [*within, *COMMAND, "run", str(small.manifest)],
        env=known,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        cwd=small.root,
    )


@pytest.mark.skipif(not works(*AS_NOBODY), reason="needs to become another user")
def test_a_user_without_a_name_or_a_home_and_a_cache_that_it_may_not_write(small: Small) -> None:
    for path in (small.root, *small.root.parents):
        if path.stat().st_uid == 0 and "pytest" in str(path):
            path.chmod(0o755)
    os.chown(small.root, int(NOBODY), int(NOBODY))
    ended = run_in(small, *AS_NOBODY, HOME=None, STYLEBATCH_CACHE=None, TMPDIR=str(small.root))
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    assert len(small.images()) == 4
    assert not (small.root / "~").exists()
    assert list((small.root / f"stylebatch-{NOBODY}/grams").iterdir())
    shutil.rmtree(small.out)
    ended = run_in(small, *AS_NOBODY, HOME=None, STYLEBATCH_CACHE="/proc/none")
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    assert small.log().count("style targets can't be cached there") == 1


@needs_proc
@pytest.mark.skipif(
    not works("unshare", "--pid", "--fork", "--kill-child", "--mount-proc"),
    reason="needs the right to make namespaces",
)
def test_as_process_1(small: Small) -> None:
    ended = run_in(small, "unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    assert len(small.images()) == 4


@pytest.mark.skipif(not works("unshare", "--mount"), reason="needs the right to mount")
def test_read_only_code_and_hardly_any_shared_memory(small: Small) -> None:
    package = Path(sys.modules["stylebatch"].__file__ or "").parent
    script = (
        f"mount --bind {package} {package} && mount -o remount,bind,ro {package} && "
        'mount -t tmpfs -o size=4k none /dev/shm && exec "$@"'
    )
    ended = run_in(small, "unshare", "--mount", "sh", "-c", script, "-")
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    assert len(small.images()) == 4


@pytest.mark.parametrize("mask", ["000", "027", "077"])
def test_any_umask_and_streams_in_ascii(small: Small, mask: str) -> None:
    small.photo("cats/größe ☃.png", 5)
    script = f'umask {mask}; exec "$@"'
    ended = run_in(small, "sh", "-c", script, "-", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    images = [small.out / "images" / path for path in small.images()]
    assert len(images) == 6
    assert {path.stat().st_mode & 0o777 for path in images} == {0o666 & ~int(mask, 8)}

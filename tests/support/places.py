"""Places where an output can't be written: a small disk, a folder that nobody may change."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

BLOCK = 4096


class Disk:
    """A small tmpfs in a mount namespace of its own: it's gone when that ends, whatever happens."""

    def __init__(self, folder: Path, size_kib: int) -> None:
        """Mount it at a folder, or skip the test and say why."""
        if not shutil.which("unshare") or not shutil.which("nsenter"):
            pytest.skip("needs unshare and nsenter (util-linux)")
        self._folder = folder
        folder.mkdir()
        is_root = os.geteuid() == 0
        script = 'mount -t tmpfs -o size="$1"k,mode=755 tmpfs "$0" && echo ready && read line'
        self._holder = subprocess.Popen(
            ["unshare", *(["-m"] if is_root else ["-r", "-m"]), "sh", "-c", script, str(folder),
             str(size_kib)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "ready\n":
            _, reason = self._holder.communicate()
            pytest.skip(f"a tmpfs can't be mounted here: {reason.strip()}")
        user = () if is_root else ("-U", "--preserve-credentials")
        self.within = ("nsenter", "-t", str(self._holder.pid), "-m", *user)
        # The way to it from outside of its namespace.
        self.seen = Path(f"/proc/{self._holder.pid}/root", *folder.parts[1:])

    def remount(self, option: str) -> None:
        """Change how it is mounted: size=…, ro, rw."""
        command = ["mount", "-o", f"remount,{option}", str(self._folder)]
        subprocess.run([*self.within, *command], check=True)

    @property
    def free_blocks(self) -> int:
        """How many blocks of 4 KiB are free."""
        stat = os.statvfs(self.seen)
        return stat.f_bavail * stat.f_frsize // BLOCK

    def leave_free(self, blocks: int) -> None:
        """Fill it up to so many blocks."""
        with (self.seen / "ballast").open("ab") as file:
            while (excess := self.free_blocks - blocks) > 0:
                file.write(bytes(excess * BLOCK))
                file.flush()
            if excess < 0:
                file.truncate(max(0, file.tell() + excess * BLOCK))

    def close(self) -> None:
        """Unmount it."""
        self._holder.communicate("\n")


@contextlib.contextmanager
def frozen(root: Path) -> Iterator[None]:
    """Let nobody change what is in a folder's folders; also not root, whom modes don't hold."""
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    if os.geteuid():
        _change_modes(folders, 0o555)
    elif _chattr("+i", folders):
        pytest.skip("chattr +i doesn't work here, and modes don't hold root")
    try:
        yield
    finally:
        if os.geteuid():
            _change_modes(folders, 0o755)
        else:
            _chattr("-i", folders)


def _change_modes(folders: list[Path], mode: int) -> None:
    for folder in folders:
        folder.chmod(mode)


def _chattr(what: str, folders: list[Path]) -> int:
    if not shutil.which("chattr"):
        return 1
    return subprocess.run(
        ["chattr", what, *map(str, folders)], stderr=subprocess.DEVNULL
    ).returncode

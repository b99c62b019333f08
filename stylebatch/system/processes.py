"""Processes: how they are started, that they end with who started them, whether they still are."""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process, resource_tracker
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
# NVIDIA's drivers, that of Windows' subsystem for Linux, and AMD's.
_GPU_FILES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")


def end_with_parent() -> None:
    """Let the system end this process when its parent does, where it can (Linux: prctl(2)).

    Elsewhere the end of its pipe tells it, as soon as its own interpreter comes to look.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = parent_process()
    if parent is not None and os.getppid() != parent.pid:
        os._exit(1)  # it ended before it could be asked


def birth_of(pid: int) -> str:
    """Return what tells a process from another that later has its number; "" where nothing does.

    On Linux when it started, since which start of the system (proc(5), `starttime`).
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # Its name stands in brackets and may hold any; after it comes field 3.
    return f"{boot}:{stat.rpartition(')')[2].split()[19]}"


@contextmanager
def starting_another() -> Iterator[None]:
    """Let a process that is spawned meanwhile be told little, and stop for nothing.

    Signals wait, and it inherits that they are blocked: Ctrl-C reaches the whole process group,
    children that are still importing included; what is to be done about it the parent decides.
    Of its parent's command line it gets no more than the name: what it is told before it reads
    stands in a pipe, which holds little, and its parent waits.
    """
    # Started with the first process, and unblocks them: it has to be there before.
    resource_tracker.ensure_running()
    stopping = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before, arguments = signal.pthread_sigmask(signal.SIG_BLOCK, stopping), sys.argv
    sys.argv = arguments[:1]
    try:
        yield
    finally:
        sys.argv = arguments
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def may_have_gpu() -> bool:
    """Whether this machine could have a device beside its CPU, without asking torch.

    Where it could not, nobody need load torch, half a gigabyte, to be told so.
    """
    if not sys.platform.startswith("linux") or any(map(os.path.exists, _GPU_FILES)):
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True

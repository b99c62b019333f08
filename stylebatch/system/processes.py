"""Processes that end with the one that has started them, however that ends."""

import ctypes
import os
import signal
import sys
from multiprocessing import parent_process
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


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

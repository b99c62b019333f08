"""The memory of this process."""

import resource
import sys
from pathlib import Path

# ru_maxrss is in KiB on Linux and in bytes on macOS.
UNIT = 1 if sys.platform == "darwin" else 1024


def resident_bytes() -> int:
    """Return the resident set as it is now; its peak where the system tells no more."""
    return _told("VmRSS:")


def peak_bytes() -> int:
    """Return the largest resident set of this process so far."""
    # Not Linux's ru_maxrss: what a parent had when it began this process counts there.
    return _told("VmHWM:")


def _told(name: str) -> int:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT
    return int(status.partition(name)[2].split()[0]) * 1024

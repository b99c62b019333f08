"""What the C library does with memory that is freed."""

import ctypes
import os

# Of `mallopt` (glibc, malloc.h).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_MOST, _MOST_OF_OLD_VERSIONS = 2**31 - 1, 2**25


def keep_freed_memory() -> bool:
    """Let glibc keep what this process frees for what it takes next; return whether it does.

    Of itself it gives large blocks back at once, and the system clears each new one page by page
    when it is touched: with feature maps that come and go in every evaluation that is a twentieth
    to a third of the time (docs/lab/benchmarks.md). The process then stays as large as it was at
    its largest. An environment that says what glibc does is left alone, and so is any other C
    library.
    """
    told = "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    if told or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    # Older versions refuse to keep blocks beyond 32 MiB.
    is_set = mallopt(_MMAP_THRESHOLD, _MOST) or mallopt(_MMAP_THRESHOLD, _MOST_OF_OLD_VERSIONS)
    return bool(is_set and mallopt(_TRIM_THRESHOLD, _MOST))

"""Whether a process has to have memory cleared anew when it takes what it has freed."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping

import pytest

PAGE = os.sysconf("SC_PAGE_SIZE")
BLOCK, TIMES = 48 * 2**20, 10
TAKE = f"""
import resource, torch
faults = []
for _ in range({2 * TIMES}):
    torch.full(({BLOCK},), 1, dtype=torch.uint8)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(faults[-1] - faults[{TIMES - 1}])
"""
needs_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="another C library than glibc"
)


def faults_after(
    code: str, given: bytes = b"", environment: Mapping[str, str] | None = None
) -> tuple[str, int]:
    """Run code, then let torch take and free blocks one after the other, as feature maps are.

    Returns:
        What the code has printed, and the page faults of `TIMES` blocks after as many more, in
        which the heap finds where they fit.
    """
    clean = {key: text for key, text in os.environ.items() if not key.startswith("MALLOC_")}
    clean.pop("GLIBC_TUNABLES", None)
    done = subprocess.run(
        [sys.executable, "-c", code + TAKE],
        env={**clean, **(environment or {})},
        input=given,
        capture_output=True,
        check=True,
    )
    *told, faults = done.stdout.decode().split()
    return " ".join(told), int(faults)


def check_kept(kept: int, given_back: int) -> None:
    """Check the faults of a process that keeps what it frees, beside those of one that doesn't."""
    assert kept < BLOCK / PAGE  # of ten blocks together
    if given_back < TIMES * BLOCK / PAGE / 2:
        pytest.skip("this system's pages are huge, or its C library keeps them of itself")
    assert kept < given_back / 10

"""Memory that is freed and taken again: whether the system has to clear its pages anew."""

import os
import platform
import subprocess
import sys

import pytest

from stylebatch.system.heap import keep_freed_memory

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="another C library than glibc"
)
PAGE = os.sysconf("SC_PAGE_SIZE")
BLOCK, TIMES = 48 * 2**20, 10
# Page faults of taking so many blocks one after the other, by torch, as feature maps are; after as
# many more, in which the heap finds where they fit.
TAKE = """
import resource, torch
from stylebatch.system.heap import keep_freed_memory
is_kept = {keep} and keep_freed_memory()
faults = []
for _ in range(2 * {times}):
    torch.full(({block},), 1, dtype=torch.uint8)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(is_kept, faults[-1] - faults[{times} - 1])
"""


def take(*, keep: bool, **environment: str) -> tuple[bool, int]:
    clean = {key: text for key, text in os.environ.items() if not key.startswith("MALLOC_")}
    clean.pop("GLIBC_TUNABLES", None)
    code = TAKE.format(keep=keep, times=TIMES, block=BLOCK)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    is_kept, faults = done.stdout.split()
    return is_kept == "True", int(faults)


def test_a_block_that_was_freed_is_not_cleared_again() -> None:
    is_kept, faults = take(keep=True)
    assert is_kept
    assert faults < BLOCK / PAGE  # of ten blocks together
    cleared = take(keep=False)[1]
    if cleared < TIMES * BLOCK / PAGE / 2:
        pytest.skip("this system's pages are huge, or its own C library keeps them")
    assert faults < cleared / 10


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MALLOC_TRIM_THRESHOLD_", "1000000"),
        ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=1000000"),
    ],
)
def test_who_says_what_glibc_does_is_obeyed(name: str, text: str) -> None:
    is_kept, faults = take(keep=True, **{name: text})
    assert not is_kept
    assert faults == pytest.approx(take(keep=False, **{name: text})[1], rel=0.2, abs=500)


def test_a_c_library_without_mallopt_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    for key in list(os.environ):
        if key.startswith("MALLOC_"):
            monkeypatch.delenv(key)
    assert keep_freed_memory() is False

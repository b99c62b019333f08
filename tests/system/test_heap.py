"""Memory that is freed and taken again: whether the system has to clear its pages anew."""

import os

import pytest
from support.page_faults import check_kept, faults_after, needs_glibc

from stylebatch.system.heap import keep_freed_memory

KEEP = """
from stylebatch.system.heap import keep_freed_memory
print(keep_freed_memory())
"""


@needs_glibc
def test_a_block_that_was_freed_is_not_cleared_again() -> None:
    told, kept = faults_after(KEEP)
    assert told == "True"
    check_kept(kept, faults_after("")[1])


@needs_glibc
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MALLOC_TRIM_THRESHOLD_", "1000000"),
        ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=1000000"),
    ],
)
def test_who_says_what_glibc_does_is_obeyed(name: str, text: str) -> None:
    told, faults = faults_after(KEEP, environment={name: text})
    assert told == "False"
    assert faults == pytest.approx(faults_after("", environment={name: text})[1], rel=0.2, abs=500)


def test_a_c_library_without_mallopt_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    for key in list(os.environ):
        if key.startswith("MALLOC_"):
            monkeypatch.delenv(key)
    assert keep_freed_memory() is False

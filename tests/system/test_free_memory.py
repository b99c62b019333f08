"""Memory that is to be had: the machine's, and what control groups of both versions leave of it."""

from pathlib import Path

import pytest

from stylebatch.system import control_groups, memory
from stylebatch.system.memory import available_bytes

GIB = 2**30


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 8 GiB available, in no group."""
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(control_groups, "PROC", tmp_path / "proc")
    monkeypatch.setattr(control_groups, "CGROUPS", tmp_path / "cgroup")
    (tmp_path / "meminfo").write_text(
        f"MemTotal:       {16 * 2**20} kB\nMemFree:  1024 kB\nMemAvailable:   {8 * 2**20} kB\n"
    )
    return tmp_path


def write(machine: Path, proc: str, files: dict[str, object]) -> None:
    (machine / "proc").write_text(proc)
    for path, value in files.items():
        (machine / "cgroup" / path).parent.mkdir(parents=True, exist_ok=True)
        (machine / "cgroup" / path).write_text(f"{value}\n")


def test_without_groups_it_is_what_the_machine_has_available(machine: Path) -> None:
    assert available_bytes() == 8 * GIB


def test_a_group_leaves_its_limit_without_what_is_taken_and_can_not_be_dropped(
    machine: Path,
) -> None:
    files = {
        "a/b/memory.max": "max",
        "a/b/memory.current": 3 * GIB,
        "a/memory.max": 4 * GIB,
        "a/memory.current": 3 * GIB,
        "a/memory.stat": f"anon {GIB}\ninactive_file {GIB // 2}\nactive_file 7",
    }
    write(machine, "0::/a/b\n", files)
    assert available_bytes() == GIB + GIB // 2
    (machine / "cgroup/a/memory.current").write_text(str(5 * GIB))
    assert available_bytes() == 0


def test_version_1_names_its_files_otherwise(machine: Path) -> None:
    files = {
        "memory/m/memory.limit_in_bytes": 2 * GIB,
        "memory/m/memory.usage_in_bytes": GIB,
        "memory/m/memory.stat": f"inactive_file 5\ntotal_inactive_file {GIB // 4}",
        # What stands for no limit.
        "memory/memory.limit_in_bytes": 9223372036854771712,
        "memory/memory.usage_in_bytes": GIB,
    }
    write(machine, "7:memory:/m\n2:cpu:/m\n", files)
    assert available_bytes() == GIB + GIB // 4


def test_where_the_machine_tells_nothing_half_of_all_memory_counts(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine / "meminfo").unlink()
    found = available_bytes()
    assert found is not None
    assert found > 0
    monkeypatch.delattr("os.sysconf")
    assert available_bytes() is None

"""Usable cores: affinity, and quotas of both versions of control groups, as files tell them."""

from pathlib import Path

import pytest

from stylebatch.system import control_groups, cores
from stylebatch.system.cores import computing_cores, share_cores


def groups(root: Path, proc: str, files: dict[str, str]) -> None:
    (root / "proc").write_text(proc)
    for path, text in files.items():
        (root / "cgroup" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "cgroup" / path).write_text(text)


def usable(root: Path, monkeypatch: pytest.MonkeyPatch, affinity: int = 64) -> int:
    monkeypatch.setattr(control_groups, "PROC", root / "proc")
    monkeypatch.setattr(control_groups, "CGROUPS", root / "cgroup")
    monkeypatch.setattr(cores, "allowed_cores", lambda: list(range(affinity)))
    return cores.usable_cores()


def test_version_2_counts_the_smallest_quota_up_to_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "350000 100000\n"}
    groups(tmp_path, "0::/a/b\n", files)
    assert usable(tmp_path, monkeypatch) == 3
    assert usable(tmp_path, monkeypatch, affinity=2) == 2


def test_a_containers_group_may_be_at_the_root_of_its_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups(tmp_path, "0::/docker/1234\n", {"cpu.max": "50000 100000\n"})
    assert usable(tmp_path, monkeypatch) == 1


def test_version_1_has_quota_and_period_in_files_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proc = "5:memory:/m\n4:cpu,cpuacct:/job\n0::/\n"
    files = {
        "cpu,cpuacct/job/cpu.cfs_quota_us": "800000\n",
        "cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
        "cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "memory/m/cpu.cfs_quota_us": "1\n",
    }
    groups(tmp_path, proc, files)
    assert usable(tmp_path, monkeypatch) == 8


def test_without_groups_the_affinity_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert usable(tmp_path, monkeypatch, affinity=7) == 7


@pytest.fixture
def topology(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that tells of no core's siblings yet."""
    monkeypatch.setattr(cores, "TOPOLOGY", tmp_path)
    return tmp_path


def are_one(topology: Path, told: str, *numbers: int) -> None:
    for number in numbers:
        path = topology / f"cpu{number}/topology/thread_siblings_list"
        path.parent.mkdir(parents=True)
        path.write_text(f"{told}\n")


@pytest.mark.usefixtures("topology")
@pytest.mark.parametrize("count", range(1, 8))
def test_shares_are_even_and_together_all_cores(count: int) -> None:
    own = [3, 4, 5, 8, 9, 10, 11]
    shares = share_cores(own, count)
    assert sorted(core for share in shares for core in share) == own
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert all(list(share) == sorted(share) for share in shares)


def test_hyper_threads_of_a_core_stay_together_and_count_once(
    topology: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two cores with two threads each, and two with one, as the system numbers them.
    are_one(topology, "0,4", 0, 4)
    are_one(topology, "1,5", 1, 5)
    are_one(topology, "2", 2)
    are_one(topology, "3", 3)
    own = [0, 1, 2, 3, 4, 5]
    assert share_cores(own, 4) == [(0, 4), (1, 5), (2,), (3,)]
    assert share_cores(own, 2) == [(0, 4, 1, 5), (2, 3)]
    # More shares than cores, but no more than threads.
    assert share_cores(own, 6) == [(0,), (1,), (2,), (3,), (4,), (5,)]
    # Of two threads of a core only one is this process's.
    assert share_cores([1, 4], 2) == [(1,), (4,)]
    monkeypatch.setattr(cores, "allowed_cores", lambda: own)
    monkeypatch.setattr(cores, "usable_cores", lambda: 6)
    assert computing_cores() == 4
    monkeypatch.setattr(cores, "usable_cores", lambda: 3)
    assert computing_cores() == 3
    # A system that tells no cores (macOS).
    monkeypatch.setattr(cores, "allowed_cores", list)
    assert computing_cores() == 3


@pytest.mark.usefixtures("topology")
def test_too_few_cores_are_not_shared() -> None:
    assert share_cores([0, 1], 3) == [(), (), ()]
    assert share_cores([], 2) == [(), ()]

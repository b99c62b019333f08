"""Usable cores: affinity, and quotas of both versions of control groups, as files tell them."""

from pathlib import Path

import pytest

from stylebatch.system import cores
from stylebatch.system.cores import share_cores


def groups(root: Path, proc: str, files: dict[str, str]) -> None:
    (root / "proc").write_text(proc)
    for path, text in files.items():
        (root / "cgroup" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "cgroup" / path).write_text(text)


def usable(root: Path, monkeypatch: pytest.MonkeyPatch, affinity: int = 64) -> int:
    monkeypatch.setattr(cores, "PROC", root / "proc")
    monkeypatch.setattr(cores, "CGROUPS", root / "cgroup")
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


@pytest.mark.parametrize("count", range(1, 8))
def test_shares_are_even_and_together_all_cores(count: int) -> None:
    own = [3, 4, 5, 8, 9, 10, 11]
    shares = share_cores(own, count)
    assert sorted(core for share in shares for core in share) == own
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert all(list(share) == sorted(share) for share in shares)


def test_too_few_cores_are_not_shared() -> None:
    assert share_cores([0, 1], 3) == [(), (), ()]
    assert share_cores([], 2) == [(), ()]

"""Runs on a real Ray cluster of this machine: nodes that come and go, workers and drivers that die.

Only with Ray (`pip install 'stylebatch[ray]'`); what is said without it is tested in any case.
"""

import importlib.util
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from support.on_ray import STORE_BYTES, hold_until_there_are, wheres
from support.runs import (
    COMMAND,
    PATIENCE_S,
    Ended,
    Small,
    command,
    end,
    is_alive,
    lines,
    run_process,
    small_project,
    start,
    wait_until,
)
from support.stores import BUCKET, Store

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * PATIENCE_S)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head whose one core is for nobody's work but the driver's: workers are on other nodes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}
        made = Cluster(initialize_head=True, head_node_args=head)
        try:
            yield made
        finally:
            made.shutdown()


class Ballast:
    """Memory that a process of its own takes until it is let go."""

    CODE = """
import os, sys, time
kept = []
while not os.path.exists(sys.argv[1]):
    if len(kept) < 64:
        kept.append(os.urandom(1) * 2**28)
    time.sleep(0.2)
"""

    def __init__(self, until: Path) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", self.CODE, str(until)])
        self._until = until

    def let_go(self) -> None:
        self._until.touch()
        self._process.wait(PATIENCE_S)


class Nodes:
    """The worker nodes of a test, of one core each; gone at its end."""

    def __init__(self, cluster: Any) -> None:
        self.cluster, self.nodes = cluster, list[Any]()

    def add(self) -> Any:
        node = self.cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        self.nodes.append(node)
        return node

    def kill(self, node: Any) -> None:
        self.nodes.remove(node)
        self.cluster.remove_node(node, allow_graceful=False)


@pytest.fixture
def nodes(cluster: Any) -> Iterator[Nodes]:
    made = Nodes(cluster)
    made.add()
    yield made
    for node in list(made.nodes):
        # Not as if it was lost: that takes the head some time to find out.
        cluster.remove_node(node, allow_graceful=True)


@pytest.fixture(scope="module")
def inline(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """What a run in one process makes."""
    small = project(tmp_path_factory.mktemp("inline"))
    assert small.run().code == 0
    return small


def project(root: Path, address: str = "") -> Small:
    """Make 26 images, of as many shapes that they come one after another."""
    small = small_project(root)
    for number in range(11):
        small.photo(f"cats/{number}.png", number, 16 * (2 + number % 3), 16 * (2 + number // 3))
    small.pair |= {"size_px": 80, "steps": 40}
    if address:
        small.document["run"] |= {"executor": "ray", "ray": {"address": address}}
    small.write()
    return small


@pytest.fixture
def small(tmp_path: Path, cluster: Any) -> Small:
    return project(tmp_path, cluster.address)


def ran(small: Small, *options: str) -> Ended:
    """Run it in a process of its own: this one may use no network."""
    return end(start("run", *options, str(small.write())))


def rows(small: Small) -> list[dict[str, Any]]:
    """Return the metadata without times."""
    return [{**row, "seconds": 0} for row in lines(small.out / "metadata.jsonl")]


def num_made(small: Small) -> int:
    return len(list((small.out / "images").rglob("*.png")))


def num_recorded(small: Small) -> int:
    ledger = f"file:{small.out / '.stylebatch/ledger.sqlite'}?mode=ro"
    with suppress(sqlite3.Error), closing(sqlite3.connect(ledger, uri=True)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM jobs WHERE state = 'done'").fetchone()
        return int(count)
    return 0


def deaths(small: Small) -> int:
    with closing(sqlite3.connect(small.out / ".stylebatch/ledger.sqlite")) as connection:
        (count,) = connection.execute("SELECT sum(deaths) FROM jobs").fetchone()
    return int(count)


@needs_ray
def test_workers_read_from_a_store_by_variables_that_the_manifest_gives_them(
    small: Small, nodes: Nodes, inline: Small, store: Store
) -> None:
    for name in ("photos", "styles"):
        store.put_folder(small.root / name, f"{name}/")
        shutil.rmtree(small.root / name)
    small.pair |= {"content": "s3://bucket/photos", "styles": ["s3://bucket/styles"]}
    small.document["run"]["ray"]["runtime_env"] = {"env_vars": store.environment}
    ended = ran(small)
    assert ended.code == 0, ended
    assert small.images() == inline.images()


@needs_ray
def test_it_makes_what_one_process_makes(small: Small, nodes: Nodes, inline: Small) -> None:
    nodes.add()
    process = start("run", str(small.manifest))
    hold_until_there_are(small, 2)
    ended = end(process)
    assert ended.code == 0, ended
    assert "26 of 26 are there" in ended.out
    assert small.images() == inline.images()
    assert rows(small) == rows(inline)
    workers = small.summary()["workers"]
    assert len(workers) == 2
    assert {worker["device"] for worker in workers} == {"cpu"}
    assert sum(worker["busy_seconds"] for worker in workers) > 0
    assert len({worker["where"] for worker in workers}) == 2
    assert not list((small.out / ".stylebatch/tmp").iterdir())
    assert "nothing to do" in ran(small).out


@needs_ray
def test_a_node_that_is_lost_costs_nothing_and_one_that_comes_is_used(
    small: Small, nodes: Nodes, inline: Small
) -> None:
    second = nodes.add()
    process = start("run", "--quiet", str(small.manifest))
    hold_until_there_are(small, 2)
    wait_until(lambda: num_made(small) >= 2, "some images")
    nodes.kill(second)
    nodes.add()
    hold_until_there_are(small, 3)
    ended = end(process)
    assert ended.code == 0, ended
    assert small.images() == inline.images()
    assert "is lost: its node" in small.log()
    assert deaths(small) == 0
    assert len(wheres(small)) == 3


@needs_ray
def test_a_worker_that_is_killed_is_replaced(small: Small, nodes: Nodes, inline: Small) -> None:
    process = start("run", "--quiet", str(small.manifest))
    wait_until(lambda: num_made(small) >= 2, "some images")
    (pid,) = wheres(small)
    os.kill(pid, signal.SIGKILL)
    ended = end(process)
    assert ended.code == 0, ended
    assert len(wheres(small)) == 2
    assert "is lost: its process has ended" in small.log()
    assert small.images() == inline.images()


@needs_ray
def test_a_driver_that_is_killed_leaves_no_worker_and_the_next_run_goes_on(
    small: Small, nodes: Nodes, inline: Small
) -> None:
    process = start("run", "--quiet", str(small.manifest))
    wait_until(lambda: num_recorded(small) >= 2, "some images")
    pids = wheres(small)
    os.kill(process.pid, signal.SIGKILL)
    end(process)
    wait_until(lambda: not any(map(is_alive, pids)), "workers that end with their driver")
    before = small.identities()
    assert 0 < len(before) < 26
    assert ran(small).code == 0
    assert small.images() == inline.images()
    kept = {path for path, identity in small.identities().items() if before.get(path) == identity}
    # Those whose events were on their way are made again.
    assert kept


@needs_ray
@pytest.mark.parametrize("how", ["signal", "deadline"])
def test_what_stops_a_run_stops_it_so_that_it_goes_on(
    small: Small, nodes: Nodes, inline: Small, how: str
) -> None:
    options = ["--deadline", "12s"] if how == "deadline" else []
    process = start("run", *options, str(small.manifest))
    if how == "signal":
        wait_until(lambda: num_made(small) >= 2, "some images")
        process.send_signal(signal.SIGTERM)
    ended = end(process)
    if how == "deadline" and ended.code == 0:
        pytest.skip("this machine makes all of them in time")
    assert ended.code == 4, ended
    assert small.summary()["stopped_by"] == how
    assert len(rows(small)) == small.summary()["done"]
    assert ran(small).code == 0
    assert small.images() == inline.images()


@needs_ray
def test_a_number_of_workers_is_asked_for_and_waits_for_its_place(
    small: Small, nodes: Nodes, inline: Small
) -> None:
    small.document["run"]["ray"] |= {"workers": 3, "cpus": 1}
    small.document["run"] |= {"devices": ["cpu"], "cpu_workers": 7}
    small.write()
    process = start("run", "--quiet", str(small.manifest))
    wait_until(lambda: num_made(small) >= 1, "an image of the one that has a place")
    assert len(wheres(small)) == 1
    nodes.add()
    hold_until_there_are(small, 2)
    ended = end(process)
    assert ended.code == 0, ended
    assert len(wheres(small)) == 2
    assert small.images() == inline.images()
    (warning,) = small.summary()["warnings"]
    assert "run.devices and run.cpu_workers: passed over with executor ray" in warning


@needs_ray
def test_an_image_that_ends_its_worker_each_time_is_failed(small: Small, nodes: Nodes) -> None:
    # As a decoder that crashes: whoever reads this one is ended by the test.
    small.document["run"]["max_deaths"] = 1
    shutil.rmtree(small.root / "photos/cats")
    shutil.rmtree(small.root / "photos/dogs")
    small.photo("cats/a.png", 1, 64, 64)
    (small.root / "styles/t.png").unlink()
    small.pair["steps"] = 5000
    small.pair["override"]["tolerance"] = 0
    small.write()
    process = start("run", str(small.manifest))
    wait_until(lambda: wheres(small), "a worker")
    activity = small.out / ".stylebatch/activity.json"
    wait_until(lambda: json.loads(activity.read_bytes()).get("running"), "an image in its slot")
    os.kill(wheres(small)[-1], signal.SIGKILL)
    ended = end(process)
    assert ended.code == 3, ended
    assert "its worker died 1 time while it was alone with this image" in ended.err


@needs_ray
def test_a_worker_that_rays_memory_monitor_ends_is_replaced(
    small: Small, nodes: Nodes, inline: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray._private.utils import get_system_memory, get_used_memory

    # Of what is there now three GiB more: enough for a worker, too little for the ballast.
    most = (get_used_memory() + 3 * 2**30) / get_system_memory()
    monkeypatch.setenv("RAY_memory_usage_threshold", str(most))
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    nodes.kill(nodes.nodes[0])
    nodes.add()
    process = start("run", "--quiet", str(small.manifest))
    wait_until(lambda: num_made(small) >= 2, "some images")
    ballast = Ballast(tmp_path / "enough")
    try:
        wait_until(lambda: "ran low on memory" in small.log(), "a worker that is ended")
    finally:
        ballast.let_go()
    ended = end(process)
    assert ended.code == 0, ended
    assert small.images() == inline.images()


@needs_ray
def test_a_runtime_environment_that_can_not_be_made_ends_the_run(
    small: Small, nodes: Nodes
) -> None:
    small.document["run"]["ray"] |= {"runtime_env": {"pip": ["/nowhere/none-1-py3-none-any.whl"]}}
    ended = ran(small)
    assert ended.code == 5, ended
    assert "its runtime environment can't be made" in ended.err


@needs_ray
def test_a_cluster_that_is_not_there_is_told(tmp_path: Path) -> None:
    small = project(tmp_path, "127.0.0.1:1")
    ended = ran(small)
    assert ended.code == 2
    assert "run.ray.address: no cluster at 127.0.0.1:1" in ended.err
    assert "ray start --head" in ended.err
    assert num_made(small) == 0


@needs_ray
def test_a_cluster_without_room_is_told(small: Small, nodes: Nodes) -> None:
    small.document["run"]["ray"] |= {"cpus": 64}
    ended = ran(small)
    assert ended.code == 2
    assert "run.ray: the cluster has no node with 64 cores" in ended.err


@needs_ray
def test_messages_come_in_their_order(nodes: Nodes, cluster: Any) -> None:
    import ray

    class Listener:
        def __init__(self) -> None:
            self.heard: list[int] = []

        def tell(self, number: int) -> None:
            self.heard.append(number)

        def all(self) -> list[int]:
            return self.heard

    with ray.init(cluster.address, log_to_driver=False, logging_level="ERROR"):
        made = ray.remote(max_restarts=0, concurrency_groups={"tell": 1, "hear": 1})(Listener)
        listener = made.remote()
        for number in range(300):
            listener.tell.options(concurrency_group="tell").remote(number)
        heard = ray.get(listener.all.options(concurrency_group="tell").remote())
    assert heard == list(range(300))


def test_without_ray_it_is_told_what_installs_it(tmp_path: Path) -> None:
    small = project(tmp_path, "auto")
    code = f"""
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "ray" else found(name, *more)
from stylebatch.cli import main
sys.argv = ["stylebatch", "run", {str(small.manifest)!r}]
main()
"""
    ended = run_process(code)
    assert ended.code == 2
    assert "pip install 'stylebatch[ray]'" in ended.err
    assert not small.out.exists()


def test_what_is_of_ray_is_read_with_its_line(tmp_path: Path) -> None:
    small = project(tmp_path, "auto")
    small.document["run"]["ray"] |= {"workers": 0, "gpu": 1}
    ended: Ended = command("plan", str(small.write()))
    assert ended.code == 2
    assert re.search(r"pipeline\.yaml:\d+: run\.ray\.gpu: .*gpus", ended.err)
    assert re.search(r"pipeline\.yaml:\d+: run\.ray\.workers: ", ended.err)


def stored_project(root: Path, address: str, store: Store) -> Small:
    """Make the same with all that it reads, and all that it makes, in a store."""
    small = project(root, address)
    for name in ("photos", "styles"):
        store.put_folder(root / name, f"{name}/")
        shutil.rmtree(root / name)
    small.pair |= {"content": f"s3://{BUCKET}/photos", "styles": [f"s3://{BUCKET}/styles"]}
    small.document["output"] = f"s3://{BUCKET}/out"
    small.document["run"] |= {"state": "state", "lease": "5s"}
    small.document["run"]["ray"]["runtime_env"] = {"env_vars": store.environment}
    small.write()
    return small


def stored_images(store: Store) -> dict[str, bytes]:
    found = store.objects()
    return {
        key.removeprefix("out/images/"): found[key]
        for key in found
        if key.startswith("out/images/") and key.endswith(".png")
    }


@needs_ray
def test_nodes_that_share_no_folder_put_what_they_make_into_a_store(
    tmp_path: Path, cluster: Any, nodes: Nodes, inline: Small, store: Store
) -> None:
    alone = ["unshare", "--mount"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("needs a mount namespace of its own, which root may have")
    prepared, apart = tmp_path / "prepared", tmp_path / "apart"
    prepared.mkdir()
    apart.mkdir()
    stored_project(prepared, cluster.address, store)
    nodes.add()
    # The driver has its project in a folder that no node sees.
    script = 'mount -t tmpfs none "$0" && cp -r "$1" "$0/project" && cd "$0/project" && shift '
    script += '&& exec "$@"'
    asked = [*alone, "sh", "-c", script, str(apart), str(prepared), *COMMAND, "run"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done
    assert "26 of 26 are there" in done.stdout
    assert list(apart.iterdir()) == []
    assert stored_images(store) == inline.images()
    left = {key for key in store.objects() if key.startswith("out/.stylebatch")}
    assert left == set()


@needs_ray
def test_a_worker_of_a_lost_node_puts_nothing_in_place_of_what_its_successor_has(
    tmp_path: Path, cluster: Any, nodes: Nodes, inline: Small, store: Store
) -> None:
    small = stored_project(tmp_path, cluster.address, store)
    small.out = small.root / "state"
    second = nodes.add()
    process = start("run", "--quiet", str(small.manifest))
    hold_until_there_are(small, 2)
    wait_until(lambda: len(stored_images(store)) >= 2, "some images")
    nodes.kill(second)
    ended = end(process)
    assert ended.code == 0, ended
    assert stored_images(store) == inline.images()
    assert deaths(small) == 0

"""A run on a Ray cluster that starts nodes as they are asked for: Ray's own autoscaler.

Its nodes are processes of this machine; all else is as with a cloud's.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.on_ray import STORE_BYTES, hold_until_there_are, wheres
from support.runs import PATIENCE_S, end, small_project, start, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2 * PATIENCE_S),
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray"),
]
# As in the file that `ray up` takes, but for the provider: `fake_multinode` starts processes.
CONFIG = {
    "cluster_name": "test",
    "max_workers": 2,
    "idle_timeout_minutes": 5,
    "upscaling_speed": 1.0,
    "available_node_types": {
        "head": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "worker": {
            "resources": {"CPU": 1, "object_store_memory": STORE_BYTES},
            "node_config": {},
            "min_workers": 0,
            "max_workers": 2,
        },
    },
    "head_node_type": "head",
    **{"auth": {}, "docker": {}, "file_mounts": {}, "cluster_synced_files": []},
    **{"initialization_commands": [], "setup_commands": [], "head_setup_commands": []},
    **{"worker_setup_commands": [], "head_start_ray_commands": []},
    **{"worker_start_ray_commands": [], "file_mounts_sync_continuously": False},
}


# In a process of its own: this one may use no network.
FREE = """
import socket
from ray.util import get_node_ip_address
with socket.socket() as probe:
    probe.bind(("", 0))
    print(f"{get_node_ip_address()}:{probe.getsockname()[1]}")
"""
ANSWERS = """
import socket, sys
host, port = sys.argv[1].split(":")
sys.exit(socket.socket().connect_ex((host, int(port))))
"""


def _run(code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code, *arguments], stdout=-1, text=True)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Of a head that has no core for work, and starts up to two nodes of one core."""
    address = _run(FREE).stdout.strip()
    provider = {"type": "fake_multinode", "gcs_address": address, "use_node_id_as_ip": True}
    provider |= {"disable_node_updaters": True, "disable_launch_config_check": True}
    config = tmp_path / "cluster.yaml"
    config.write_text(json.dumps({**CONFIG, "provider": provider}))
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    command += [f"--port={address.rpartition(':')[2]}", "--num-cpus=0", "--disable-usage-stats"]
    command += [f"--object-store-memory={STORE_BYTES}", "--include-dashboard=false"]
    path = os.pathsep.join(filter(None, sys.path))
    environment = {"AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1"}
    head = subprocess.Popen(
        [*command, f"--autoscaling-config={config}"],
        env={**os.environ, **environment, "PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield address
    finally:
        os.killpg(head.pid, signal.SIGTERM)
        head.wait(PATIENCE_S)


def test_nodes_are_started_for_a_number_of_workers(tmp_path: Path, address: str) -> None:
    small = small_project(tmp_path)
    for number in range(8):
        small.photo(f"cats/{number}.png", number, 16 * (2 + number % 3), 32)
    small.pair |= {"size_px": 80, "steps": 40}
    small.document["run"] |= {"executor": "ray", "ray": {"address": address, "workers": 2}}
    wait_until(lambda: _run(ANSWERS, address).returncode == 0, "a head")
    process = start("run", str(small.write()))
    hold_until_there_are(small, 2)
    ended = end(process)
    assert ended.code == 0, ended
    assert len(wheres(small)) == 2
    assert len(list((small.out / "images").rglob("*.png"))) == 2 * 10

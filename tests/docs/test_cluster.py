"""The scripts of docs/cluster.md: read by bash, and run task by task without their clusters."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.paths import ROOT
from support.runs import PATIENCE_S, Ended, Small, one_core, small_project

from stylebatch.manifest import load_manifest
from stylebatch.output.shard import Shard

pytestmark = pytest.mark.slow

TEXT = (ROOT / "docs/cluster.md").read_text(encoding="utf-8")
ARRAY, MERGE, SUBMIT, RAY = re.findall(r"^```bash\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
YAMLS = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
# What the scripts expect beside the manifest.
INSTALLED = f"""#!/bin/sh
exec {sys.executable} -c 'from stylebatch.cli import main; main()' "$@"
"""


@pytest.fixture
def small(tmp_path: Path) -> Small:
    small = small_project(tmp_path / "submitted from here")
    command = small.root / ".venv/bin/stylebatch"
    command.parent.mkdir(parents=True)
    command.write_text(INSTALLED)
    command.chmod(0o755)
    return small


def run_script(text: str, small: Small, task: int | None = None) -> Ended:
    """Run a batch script as Slurm does: a copy of it, from another folder."""
    script = small.root.parent / "spooled"
    script.write_text(text)
    set_by_slurm = {"SLURM_SUBMIT_DIR": str(small.root)}
    if task is not None:
        set_by_slurm["SLURM_ARRAY_TASK_ID"] = str(task)
    with one_core():
        done = subprocess.run(
            ["bash", str(script)],
            env={**os.environ, **set_by_slurm},
            cwd=small.root.parent,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    "script", [ARRAY, MERGE, SUBMIT, RAY], ids=["array", "merge", "submit", "ray"]
)
def test_bash_can_read_the_scripts(script: str, tmp_path: Path) -> None:
    (tmp_path / "script").write_text(script)
    subprocess.run(["bash", "-n", str(tmp_path / "script")], check=True)


def test_the_arrays_range_is_all_shards() -> None:
    (last,) = re.findall(r"^#SBATCH --array=0-(\d+)$", ARRAY, re.MULTILINE)
    (count,) = re.findall(r"^SHARDS=(\d+)$", ARRAY, re.MULTILINE)
    assert int(last) + 1 == int(count)
    assert {name for name in ("array.sbatch", "merge.sbatch") if name in SUBMIT} == {
        "array.sbatch",
        "merge.sbatch",
    }


def test_all_tasks_and_the_merge_make_the_data_set(small: Small) -> None:
    tasks = 8
    outputs = {f"{stem}-{style}.png" for stem in ("cats/a", "dogs/b") for style in "st"}
    for task in range(tasks):
        ended = run_script(ARRAY, small, task)
        own = {output for output in outputs if Shard(task, tasks).holds(output)}
        assert ended.code == 0, ended
        assert f"shard {task}/{tasks}: " in ended.out
        assert f"{len(own)} of {len(own)} are there" in ended.out
    assert not (small.out / "metadata.jsonl").exists()
    merged = run_script(MERGE, small)
    assert (merged.code, merged.err) == (0, ""), merged
    assert merged.out == "out/images: 8 shards merged, 4 images are there\n"
    assert small.images().keys() == small.metadata().keys() == outputs


def test_a_script_outside_of_an_array_stops_at_once(small: Small) -> None:
    ended = run_script(ARRAY, small)
    assert ended.code != 0
    assert "SLURM_ARRAY_TASK_ID" in ended.err
    assert not small.out.exists()


def test_each_index_of_a_kubernetes_job_makes_its_part(small: Small) -> None:
    (job,) = (each for each in map(yaml.safe_load, YAMLS) if each.get("kind") == "Job")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    count = job["spec"]["completions"]
    for index in range(count):
        environment = {
            **os.environ,
            "JOB_COMPLETION_INDEX": str(index),
            "PATH": f"{small.root / '.venv/bin'}:{os.environ['PATH']}",
        }
        with one_core():
            done = subprocess.run(
                container["command"],
                env=environment,
                cwd=small.root,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
            )
        assert done.returncode == 0, done
        assert f"shard {index}/{count}: " in done.stdout
    assert len(small.images()) == 4


def test_the_other_files_are_yaml_that_names_what_the_text_does(tmp_path: Path) -> None:
    small = small_project(tmp_path)
    kinds = set()
    for text in YAMLS:
        document = yaml.safe_load(text)
        kinds |= {document.get("kind") or next(iter(document))}
        if "run" in document:
            small.document["run"] |= document["run"]
            assert load_manifest(small.write()).run.executor == "ray"
        if "available_node_types" in document:
            assert document["head_node_type"] in document["available_node_types"]
        if document.get("kind") == "RayJob":
            assert document["spec"]["entrypoint"].endswith("--executor ray")
    assert kinds == {"Job", "run", "cluster_name", "RayJob"}

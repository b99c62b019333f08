"""The GPU's benchmark on a machine without one: it runs on the CPU, or says what it lacks."""

import re
import subprocess
import sys

import pytest
import torch
from support.paths import ROOT

pytestmark = pytest.mark.slow


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.gpu.steps", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_all_of_it_but_graphs_runs_on_the_cpu() -> None:
    done = run("--device", "cpu", "--random", "--quick")
    assert done.returncode == 0, done.stderr
    machine, matrix, _, head, *lines = done.stdout.splitlines()
    assert machine.endswith("no GPU")
    assert re.fullmatch(r"bfloat16 matrix product, \d+³: [\d.]+ TFLOP/s", matrix)
    assert head.split()[:3] == ["px", "images", "way"]
    rows = [line.split() for line in lines]
    assert [row[:3] for row in rows] == [
        ["64", "1", "engine"], ["64", "1", "loop"], ["64", "2", "engine"], ["64", "2", "loop"]
    ]  # fmt: skip
    for _, images, _, ms, evaluations, per_s, *_ in rows:
        # A slow machine's few are told to one decimal place only.
        told = pytest.approx(1000 * int(images) / float(ms), rel=0.02, abs=0.06)
        assert float(evaluations) == told
        assert float(per_s) == pytest.approx(float(evaluations) / 100, abs=0.01)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_without_a_gpu_it_says_so_and_leaves() -> None:
    done = run()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "this benchmark needs a CUDA device, and torch finds none here\n"

"""What of the session's parts only a GPU reaches, led through on the CPU: its figures mean nothing.

What the driver tells is made up here; that the code between does not fall over can be seen.
"""

import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import Tensor

from benchmarks.gpu import task as tasks
from benchmarks.gpu.bench import QUICK
from benchmarks.gpu.notes import Found, Notes, read_notes
from benchmarks.gpu.parts import MEASURES, cudnn, graphs, memory
from benchmarks.gpu.parts.idle import Utilisation
from benchmarks.gpu.task import Task
from stylebatch.transfer.objective import Losses, Objective, Targets

pytestmark = pytest.mark.slow

CARD = SimpleNamespace(
    name="A card", total_memory=2**33, major=9, minor=0, multi_processor_count=132, uuid="ab-cd"
)
FREE = 2**23


@pytest.fixture
def told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_one_core: None
) -> Callable[[str], Found]:
    """Return what does a part as if its device were a GPU, and gives what it has noted."""
    allocated = iter(range(0, 10**12, 10**6))
    for name, value in {
        "get_device_properties": lambda device: CARD,
        "device_count": lambda: 0,
        "mem_get_info": lambda device: (FREE, CARD.total_memory),
        "memory_reserved": lambda device: 0,
        "memory_allocated": lambda device: 0,
        # More each time, as two images take more than one.
        "max_memory_allocated": lambda device: next(allocated),
        "reset_peak_memory_stats": lambda device: None,
        "set_per_process_memory_fraction": lambda fraction, device: None,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(Task, "is_cuda", True)
    monkeypatch.setattr(tasks, "TIMING", QUICK)
    monkeypatch.setattr(graphs, "GraphedEvaluation", played_back)
    small: list[tuple[ModuleType, str, object]] = [
        (graphs, "CASES", [(32, 2)]),
        (graphs, "LASTS_S", 0.0),
        (cudnn, "CASES", [(32, 2)]),
        (cudnn, "LASTS_S", 0.0),
        (cudnn, "BITS_PX", 32),
        (cudnn, "STEPS", 2),
        (memory, "EDGES", (32,)),
        (memory, "LARGE_PX", 32),
    ]
    for module, name, size in small:
        monkeypatch.setattr(module, name, size)

    def tell(part: str) -> Found:
        notes = tmp_path / "notes.jsonl"
        until_s = time.monotonic() + 600
        MEASURES[part](Task("cpu", None, tmp_path, True, until_s, Notes(notes)))
        return read_notes(notes)

    return tell


def played_back(
    objective: Objective, images: Tensor, targets: Targets
) -> Callable[[Tensor], tuple[Losses, Tensor]]:
    """Stand in for a CUDA graph: the evaluation itself."""
    return lambda points: objective.evaluate(points, targets)


def met(found: Found) -> dict[str, bool]:
    return {check["what"]: check["is_met"] for check in found.checks}


def test_a_card_is_described_though_its_driver_can_t_be_asked(
    told: Callable[[str], Found], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = told("machine")
    assert found.facts["card"] == "A card"
    assert found.facts["capability"] == "9.0"
    assert [each["what"] for each in found.left_out] == ["Driver, power and clocks"]


def test_rates_are_noted_with_tf32_which_is_off_again(told: Callable[[str], Found]) -> None:
    found = told("rate")
    assert {row["precision"] for row in found.tables["A matrix product"]} == {
        "bfloat16",
        "float32",
        "TF32",
    }
    assert not torch.backends.cuda.matmul.allow_tf32


def test_bits_are_looked_at_with_fixed_algorithms_too(told: Callable[[str], Found]) -> None:
    found = told("bits")
    (rows,) = found.tables.values()
    assert {row["deterministic"] for row in rows} == {False, True}
    assert all(met(found).values())
    assert not torch.backends.cudnn.deterministic


def test_graphs_are_compared_with_what_they_play_back(told: Callable[[str], Found]) -> None:
    found = told("graphs")
    (rows,) = found.tables.values()
    assert [(row["px"], row["images"], row["loss apart"]) for row in rows] == [(32, 2, 0.0)] * 2
    assert all(met(found).values())


def test_trying_algorithms_out_is_timed_and_off_again(told: Callable[[str], Found]) -> None:
    timed, bits = told("cudnn").tables.values()
    assert timed[0]["first s, on"] > 0
    assert [row["same"] for row in bits] == [True, True]
    assert not torch.backends.cudnn.benchmark


def test_memory_is_probed_and_runs_short(told: Callable[[str], Found]) -> None:
    found = told("memory")
    (probed,) = found.tables["What the probe says of `balanced`"]
    assert probed["images that fit"] >= 1
    (run,) = found.tables["Runs in one process"]
    assert run["made"] == 12
    checks = met(found)
    # Here nothing was short: what depends on it can't be met, the others are.
    assert not checks.pop("Slots were reduced")
    assert not checks.pop("An image that does not fit fails with a way out")
    assert checks
    assert all(checks.values())


def test_lost_memory_an_assertion_and_a_fork_are_looked_at(
    told: Callable[[str], Found], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = told("errors")
    checks = met(found)
    assert checks["A killed worker's memory is given back"]
    said = {check["what"]: check["found"] for check in found.checks}
    assert said["A forked process is told to be spawned"] == "no error"
    # On a CPU it is an error of the program's.
    assert "IndexError" in said[next(what for what in said if what.startswith("An assertion"))]


def test_the_driver_is_asked_by_the_card_s_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "nvidia-smi"
    script.write_text(
        '#!/bin/sh\necho "$@" > "$0.asked"\nprintf "0\\n40\\n60\\n"\nexec /bin/sleep 60\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: CARD)
    with Utilisation("cuda:0") as driver:
        until_s = time.monotonic() + 60
        while len(driver._values) < 3 and time.monotonic() < until_s:
            time.sleep(0.05)
    assert driver.mean == 50
    assert "-i GPU-ab-cd" in (tmp_path / "nvidia-smi.asked").read_text()


def test_of_a_cpu_nobody_is_asked() -> None:
    with Utilisation("cpu") as driver:
        pass
    assert driver.mean is None

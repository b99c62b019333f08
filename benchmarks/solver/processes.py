"""Where methods run: ours in a process such as workers are, the others in one as anybody's is."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Self

import torch

from benchmarks.setting.machine import describe_machine
from benchmarks.setting.pairs import Pair
from benchmarks.solver.methods import METHODS, Watch
from benchmarks.solver.ways import Way
from stylebatch.device.choice import choose_precision
from stylebatch.system.heap import keep_freed_memory


class Task(NamedTuple):
    """One method on one pair; `budget` None: the method's own."""

    shared: Path
    photograph: Path
    style: str
    size: int
    start: str
    method: str
    budget: int | None


class Processes(ExitStack):
    """Two processes, each started when it has work; one of them works at a time."""

    def __init__(self, threads: int) -> None:
        super().__init__()
        context = multiprocessing.get_context("spawn")
        self._ours, self._others = (
            self.enter_context(ProcessPoolExecutor(1, context, _settle, (threads, is_ours)))
            for is_ours in (True, False)
        )

    def __enter__(self) -> Self:
        return self

    def run(self, task: Task) -> Way:
        """Wait for a task's way."""
        process = self._ours if task.method.startswith("ours") else self._others
        return process.submit(_run, task).result()


def _settle(threads: int, is_ours: bool) -> None:
    torch.set_num_threads(threads)
    if is_ours:
        keep_freed_memory()


def _run(task: Task) -> Way:
    pair = _pair(task.shared, task.photograph, task.style, task.size, task.start)
    run, own_budget = METHODS[task.method]
    watch = Watch(pair.judge)
    run(pair, task.budget or own_budget, watch)
    machine = describe_machine(choose_precision("auto", "cpu"))
    return Way(task.size, task.start, pair.name, task.method, machine, watch.judged, watch.seconds)


# The other methods come next on the same pair.
_pair = lru_cache(maxsize=1)(Pair)

"""The parts of a session by name: each does its task and notes down what it finds."""

from collections.abc import Callable

from benchmarks.gpu.parts import (
    bits,
    cudnn,
    errors,
    graphs,
    idle,
    losses,
    machine,
    marked_tests,
    memory,
    rate,
    throughput,
)
from benchmarks.gpu.task import Task

MEASURES: dict[str, Callable[[Task], None]] = {
    "bits": bits.measure,
    "cudnn": cudnn.measure,
    "errors": errors.measure,
    "graphs": graphs.measure,
    "idle": idle.measure,
    "losses": losses.measure,
    "machine": machine.measure,
    "memory": memory.measure,
    "rate": rate.measure,
    "tests": marked_tests.measure,
    "throughput": throughput.measure,
}

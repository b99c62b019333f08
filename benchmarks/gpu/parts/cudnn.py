"""`cudnn.benchmark`: what trying algorithms out costs at a shape's start, and then saves."""

import time

import numpy as np
import torch

from benchmarks.gpu.bench import ENDLESS, Bench
from benchmarks.gpu.parts.bits import run
from benchmarks.gpu.task import Task

CASES = [(256, 1), (256, 8), (512, 1), (512, 8), (128, 16)]
LASTS_S = 0.4
BITS_PX, STEPS = 128, 20


def measure(task: Task) -> None:
    """Note start and step, off and on, and whether the bytes are the same."""
    if not task.is_cuda:
        task.notes.leave_out("`cudnn.benchmark`, on and off", "no CUDA device: a CPU has no cuDNN")
        return
    bench = task.bench()
    for edge, batch in CASES:
        found = {is_on: _measure_case(bench, edge, batch, is_on=is_on) for is_on in (False, True)}
        (off_start_s, off_ms), (on_start_s, on_ms) = found[False], found[True]
        saved_ms = off_ms - on_ms
        task.notes.row(
            "A shape's first step, and a step after it",
            px=edge,
            images=batch,
            **{
                "first s, off": round(off_start_s, 3),
                "first s, on": round(on_start_s, 3),
                "ms, off": round(off_ms, 3),
                "ms, on": round(on_ms, 3),
                "off / on": round(off_ms / on_ms, 3),
                "pays from steps": round(1000 * (on_start_s - off_start_s) / saved_ms)
                if saved_ms > 0
                else None,
            },
        )
    _note_bits(task, bench)


def _measure_case(bench: Bench, edge: int, batch: int, *, is_on: bool) -> tuple[float, float]:
    """Return seconds of the first step, and milliseconds of a later one."""
    settings = bench.settings(**ENDLESS)
    step = bench.engine_step(settings, edge, batch)
    bench.wait()
    torch.backends.cudnn.benchmark = is_on
    try:
        start_s = time.perf_counter()
        step()
        bench.wait()
        first_s = time.perf_counter() - start_s
        return first_s, bench.mean_ms(step, LASTS_S)
    finally:
        torch.backends.cudnn.benchmark = False


def _note_bits(task: Task, bench: Bench) -> None:
    settings = bench.settings(steps=STEPS, tolerance=0.0)
    images = bench.images(BITS_PX, 1)
    made = {}
    for name, is_on in (("off", False), ("on", True), ("on, again", True)):
        torch.backends.cudnn.benchmark = is_on
        made[name] = run(bench, settings, BITS_PX, images)[0]
    torch.backends.cudnn.benchmark = False
    for one, other in (("off", "on"), ("on", "on, again")):
        apart = np.abs(made[one].astype(int) - made[other])
        task.notes.row(
            f"Bytes after {STEPS} evaluations",
            **{"one": one, "other": other, "same": not apart.any(), "by at most": int(apart.max())},
        )

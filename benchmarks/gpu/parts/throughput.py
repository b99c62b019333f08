"""Images a second by size and batch: `balanced` on VGG-19, and `augment` on slim at its sizes."""

from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.gpu.bench import ENDLESS, Bench
from benchmarks.gpu.task import Task
from stylebatch.recipes import Settings, recipe_fields

# Those of the first aims come first.
SIZES, SMALL_SIZES = (256, 512, 128, 1024), (32,)
SLIM_SIZES, SMALL_SLIM_SIZES = (64, 96, 192), (32,)
BATCHES, SMALL_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128), (1, 2)
LASTS_S = 0.5
AIM_IMAGES, AIM_SHARE = 25.0, 0.40


def measure(task: Task) -> None:
    """Note a row for each size and batch, and how far the first aims are reached."""
    bench = task.bench()
    rate = bench.matrix_rate()
    task.notes.say(f"bfloat16 matrix product, {bench.timing.matrix}³: {rate / 1e12:.1f} TFLOP/s.")
    batches = SMALL_BATCHES if task.is_small else BATCHES
    balanced = bench.settings(**ENDLESS)
    steps = recipe_fields("balanced")["steps"]
    for edge in SMALL_SIZES if task.is_small else SIZES:
        rows = _measure_batches(
            task, bench, "balanced, VGG-19", balanced, edge, batches, rate, steps
        )
        if rows and edge == 256:
            best = max(row["images/s"] for row in rows)
            task.notes.aim("images/s at 256 px, 100 evaluations each", AIM_IMAGES, best, "images/s")
        if rows and edge == 512:
            best = max(row["of rate"] for row in rows)
            task.notes.aim("share of the bf16 rate at 512 px", 100 * AIM_SHARE, 100 * best, "%")
    augment = bench.settings("augment", "slim", "shipped", **ENDLESS)
    steps = recipe_fields("augment")["steps"]
    for edge in SMALL_SLIM_SIZES if task.is_small else SLIM_SIZES:
        _measure_batches(task, bench, "augment, slim", augment, edge, batches, rate, steps)


def _measure_batches(
    task: Task,
    bench: Bench,
    table: str,
    settings: Settings,
    edge: int,
    batches: Sequence[int],
    rate: float,
    steps: int,
) -> list[dict[str, Any]]:
    """Note rows until memory or time is at its end; return them."""
    rows: list[dict[str, Any]] = []
    operations = bench.operations(settings, edge)
    for batch in batches:
        bench.free()
        try:
            lasts_s = 0.0 if task.is_small else LASTS_S
            ms = bench.mean_ms(bench.engine_step(settings, edge, batch), lasts_s)
        except torch.OutOfMemoryError:
            task.notes.leave_out(f"{table}, {edge} px, {batch} images and more", "out of memory")
            break
        evaluations, peak_mb = 1000 * batch / ms, bench.peak_mb()
        row = {
            "px": edge,
            "images": batch,
            "ms": round(ms, 3),
            "evaluations/s": round(evaluations, 1),
            "images/s": round(evaluations / steps, 2),
            "of rate": round(operations * evaluations / rate, 4),
            "peak MB": None if peak_mb is None else round(peak_mb),
        }
        task.notes.row(table, **row)
        rows.append(row)
    return rows

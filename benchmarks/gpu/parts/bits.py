"""Bits: the same image again, beside others, with cuDNN's fixed algorithms."""

from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.task import Task
from stylebatch.device.tensors import to_pixels
from stylebatch.pictures.images import Pixels
from stylebatch.recipes import Settings

EDGE, STEPS, BESIDE = 128, 30, 4


def measure(task: Task) -> None:
    """Note for both precisions which images come out the same, byte by byte."""
    bench = task.bench()
    edge, steps = (32, 3) if task.is_small else (EDGE, STEPS)
    for precision in ("float32", "bfloat16"):
        for is_fixed in (False, True) if task.is_cuda else (False,):
            torch.backends.cudnn.deterministic = is_fixed
            settings = bench.settings(precision=precision, steps=steps, tolerance=0.0)
            images = bench.images(edge, BESIDE)
            alone = run(bench, settings, edge, images[:1])[0]
            found = {
                "again": run(bench, settings, edge, images[:1])[0],
                "beside others": run(bench, settings, edge, images)[0],
                "beside others, last": run(bench, settings, edge, images[::-1])[-1],
            }
            for name, one in found.items():
                _note(task, precision, is_fixed, name, alone, one)
    torch.backends.cudnn.deterministic = False
    if not task.is_cuda:
        task.notes.leave_out("`cudnn.deterministic`", "no CUDA device")


def run(bench: Bench, settings: Settings, edge: int, images: Sequence[Pixels]) -> list[Pixels]:
    """Return what becomes of images that are optimised together, in 8 bits."""
    engine = bench.engine(settings, edge, images, len(images))
    results: dict[str, Pixels] = {}
    while engine.running:
        for result in engine.step().results:
            results[str(result.key)] = to_pixels(result.image)
    return [results[str(key)] for key in range(len(images))]


def _note(
    task: Task, precision: str, is_fixed: bool, name: str, alone: Pixels, one: Pixels
) -> None:
    apart = np.abs(alone.astype(int) - one)
    is_same = not apart.any()
    task.notes.row(
        "The same image, the same bytes?",
        precision=precision,
        deterministic=is_fixed,
        made=name,
        same=is_same,
        **{
            "bytes that differ, %": round(100 * float((apart > 0).mean()), 3),
            "by at most": int(apart.max()),
            "in the mean": round(float(apart.mean()), 4),
        },
    )
    where = f"{precision}, {name}"
    if not task.is_cuda:
        task.notes.check(f"The same bytes: {where}", is_same, "the same" if is_same else "others")
    else:
        # No bytes are promised on a GPU, but what is made twice has to look the same.
        is_near = float(apart.mean()) < 2
        found = f"{apart.mean():.3f} in the mean"
        task.notes.check(f"Within 2 of 255 in the mean: {where}", is_near, found)

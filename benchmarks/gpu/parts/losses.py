"""Losses and pictures of every recipe against the CPU's in float32."""

from typing import Any

import numpy as np

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.task import Task
from stylebatch.device.choice import precision_name
from stylebatch.device.tensors import to_pixels
from stylebatch.pictures.images import Pixels
from stylebatch.recipes import Settings, recipe_fields, recipe_names

EDGE, STEPS = 64, 12
# Of the first evaluation's loss, where both have the same image: float32 has 7 digits, and sums of
# millions lose some; bfloat16 has 2 to 3, and each layer rounds.
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.1}
TABLE = "Losses relative to the CPU's in float32"


def measure(task: Task) -> None:
    """Note how far each recipe's first and last loss, and its picture, are from the CPU's."""
    here = Bench("cpu", None, task.folder / "cpu", task.bench().timing)
    there = Bench(task.device, None, task.folder / "device", here.timing)
    edge, steps = (32, 3) if task.is_small else (EDGE, STEPS)
    precisions = ["float32"]
    if precision_name("auto", task.device) != "float32":
        precisions.append("bfloat16")
    for name in sorted(recipe_names()):
        if "optimizer" not in recipe_fields(name):
            continue
        changes: dict[str, Any] = {"steps": steps, "tolerance": 0.0, "second_pass": None}
        exact = run(here, here.settings(name, precision="float32", **changes), edge)
        for precision in precisions:
            settings = there.settings(name, precision=precision, **changes)
            _note(task, name, precision, exact, run(there, settings, edge))


def run(bench: Bench, settings: Settings, edge: int) -> tuple[list[float], Pixels]:
    """Return the total of every evaluation, and the picture."""
    engine = bench.device.engine(settings, 1, edge, edge)
    problem = bench.device.problem(
        "0", settings, engine, pixels=bench.images(edge, 1)[0], style=bench.style, strength=1.0,
        noise_seed=3,
    )  # fmt: skip
    engine.admit(problem)
    while engine.running:
        for result in engine.step().results:
            return [row.total for row in result.rows], to_pixels(result.image)
    raise AssertionError("an image has got lost")


def _note(
    task: Task,
    recipe: str,
    precision: str,
    exact: tuple[list[float], Pixels],
    found: tuple[list[float], Pixels],
) -> None:
    (wanted, picture), (totals, other) = exact, found
    first = abs(totals[0] / wanted[0] - 1)
    task.notes.row(
        TABLE,
        recipe=recipe,
        precision=precision,
        **{
            "first loss off by": float(f"{first:.2g}"),
            "lowest loss by the CPU's": round(min(totals) / min(wanted), 4),
            "evaluations": len(totals),
            "pixels off, of 255, in the mean": round(
                float(np.abs(picture.astype(int) - other).mean()), 3
            ),
        },
    )
    tolerance = TOLERANCE[precision]
    what = f"{recipe} in {precision}: first loss within {tolerance:g}"
    task.notes.check(what, first <= tolerance, f"{first:.2g}")

"""CUDA graphs: an evaluation that is played back beside one that is launched kernel by kernel."""

from benchmarks.gpu.bench import ENDLESS, Bench
from benchmarks.gpu.cuda_graphs import GraphedEvaluation
from benchmarks.gpu.task import Task
from stylebatch.recipes import Settings

CASES = [(64, 1), (64, 16), (128, 1), (128, 8), (256, 1), (256, 8), (512, 1), (512, 4)]
LASTS_S = 0.4
TABLE = "Milliseconds of a step (optimiser and evaluation)"


def measure(task: Task) -> None:
    """Note milliseconds with and without, and whether the numbers are the same."""
    if not task.is_cuda:
        task.notes.leave_out("CUDA graphs, on and off", "no CUDA device: a CPU has none")
        return
    bench = task.bench()
    for name, arch, weights in (("balanced", "vgg19", None), ("augment", "slim", "shipped")):
        settings = bench.settings(name, arch, weights, **ENDLESS)
        for edge, batch in CASES:
            bench.free()
            _measure_case(task, bench, f"{name}, {arch}", settings, edge, batch)


def _measure_case(
    task: Task, bench: Bench, name: str, settings: Settings, edge: int, batch: int
) -> None:
    loop = bench.loop(settings, edge, batch)
    stop = bench.clock()
    graphed = GraphedEvaluation(loop.objective, loop.contents, loop.targets)
    recorded_ms = stop()
    points = (loop.contents * 0.9 + 0.05).contiguous()
    losses, slopes = loop.evaluate(points)
    played, played_slopes = graphed(points)
    apart = float((played.total / losses.total - 1).abs().max())
    slope = float((played_slopes - slopes).norm() / slopes.norm())
    off = bench.mean_ms(lambda: loop.step(loop.evaluate), LASTS_S)
    on = bench.mean_ms(lambda: loop.step(graphed), LASTS_S)
    task.notes.row(
        TABLE,
        recipe=name,
        px=edge,
        images=batch,
        off=round(off, 3),
        on=round(on, 3),
        **{
            "off / on": round(off / on, 2),
            "recording ms": round(recorded_ms),
            "loss apart": float(f"{apart:.2g}"),
            "gradient apart": float(f"{slope:.2g}"),
        },
    )
    is_same = apart < 1e-3 and slope < 0.02
    what = f"Played back, the numbers are the same: {name}, {edge} px, {batch} images"
    task.notes.check(what, is_same, f"losses {apart:.2g}, gradients {slope:.2g} apart")

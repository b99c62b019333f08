"""Speed and memory on a GPU, beside its own matrix rate and the textbook loop.

    python -m benchmarks.gpu.steps --shared ../shared
    python -m benchmarks.gpu.steps --random                        # neither weights nor photographs
    python -m benchmarks.gpu.steps --device cpu --random --quick   # a smoke test

One step of `balanced` (VGG-19 to conv3_3) for a batch of squares, three ways: `engine` is
`Engine.step` as workers run it, `loop` only optimiser and objective, `graph` the same with the
evaluation as a CUDA graph. A step is one evaluation of each image. `of rate`: the convolutions'
operations per second over those of a large bfloat16 matrix product on the same device.

`textbook`: how many times as long the loop of most tutorials takes for an evaluation:
`torch.optim.LBFGS(lr=1, max_iter=20, history_size=100)`, one image at a time, float32 with TF32 as
torch has it, pixels clamped in the closure, the same objective. How many evaluations each needs is
another benchmark's: `benchmarks.solver`. Medians by CUDA events, after a warm-up.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.gpu.bench import ENDLESS, QUICK, Bench, Evaluate, Timing
from benchmarks.gpu.cuda_graphs import GraphedEvaluation
from benchmarks.setting.inputs import WEIGHTS, add_shared_option, check_shared
from benchmarks.setting.machine import describe_device, describe_machine
from stylebatch.device.choice import choose_precision
from stylebatch.recipes import Settings

SIZES, BATCHES = (256, 512), (1, 2, 4, 8, 16, 32)
STEPS_OF_A_RUN = 100
HEAD = "{:>5} {:>6}  {:<7}{:>9}{:>15}{:>10}{:>9}{:>10}{:>10}"


def main() -> None:
    """Print the matrix rate, then a line for each size, batch and way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_shared_option(parser)
    parser.add_argument("--random", action="store_true", help="random weights and images")
    parser.add_argument("--device", default="cuda:0", help="default: %(default)s")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES))
    parser.add_argument("--precision", default="auto", help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="64 px, next to no repeats")
    options = parser.parse_args()
    if options.device != "cpu" and not torch.cuda.is_available():
        print("this benchmark needs a CUDA device, and torch finds none here", file=sys.stderr)
        sys.exit(2)
    if options.quick:
        options.sizes, options.batches = [64], [1, 2]
    if not options.random and not (options.shared / WEIGHTS).exists():
        print(f"no {WEIGHTS} below {options.shared}: random weights and images instead")
        options.random = True
    shared = None if options.random else check_shared(options.shared)
    with tempfile.TemporaryDirectory() as folder:
        timing = QUICK if options.quick else Timing()
        bench = Bench(options.device, shared, Path(folder), timing)
        print_all(bench, options.precision, options.sizes, options.batches)


def print_all(bench: Bench, precision: str, sizes: list[int], batches: list[int]) -> None:
    """Print everything."""
    settings = bench.settings(precision=precision, **ENDLESS)
    rate = bench.matrix_rate()
    machine = describe_machine(choose_precision(precision, bench.name))
    print(f"{machine}, {describe_device(bench.where)}")
    print(f"bfloat16 matrix product, {bench.timing.matrix}³: {rate / 1e12:.1f} TFLOP/s\n")
    head = ("px", "images", "way", "ms", "evaluations/s", "images/s", "of rate", "peak MB")
    print(HEAD.format(*head, "textbook"))
    for edge in sizes:
        textbook_ms = time_textbook(bench, edge)
        for batch in batches:
            for way, ms in time_ways(bench, settings, edge, batch):
                share = bench.operations(settings, edge) / rate
                print_line(bench, edge, batch, way, ms, share, textbook_ms)


def print_line(
    bench: Bench,
    edge: int,
    batch: int,
    way: str,
    ms: float | None,
    share: float,
    textbook_ms: float,
) -> None:
    """Print what a step takes; `share`: seconds of an evaluation at the matrix rate."""
    if ms is None:
        print(f"{edge:>5} {batch:>6}  {way:<7} out of memory", flush=True)
        return
    evaluations, peak_mb = 1000 * batch / ms, bench.peak_mb()
    print(
        HEAD.format(
            edge, batch, way, f"{ms:.2f}", f"{evaluations:.1f}",
            f"{evaluations / STEPS_OF_A_RUN:.2f}", f"{share * evaluations:.1%}",
            "-" if peak_mb is None else f"{peak_mb:.0f}",
            f"{textbook_ms * evaluations / 1000:.1f}×",
        ),
        flush=True,
    )  # fmt: skip


def time_ways(
    bench: Bench, settings: Settings, edge: int, batch: int
) -> Iterator[tuple[str, float | None]]:
    """Yield each way with its milliseconds for a step, None where memory did not suffice."""
    for way in ("engine", "loop", "graph"):
        if way == "graph" and not bench.is_cuda:
            continue
        bench.free()
        try:
            yield way, time_way(bench, settings, way, edge, batch)
        except torch.OutOfMemoryError:
            yield way, None


def time_way(bench: Bench, settings: Settings, way: str, edge: int, batch: int) -> float:
    """Return the milliseconds of a step."""
    if way == "engine":
        return bench.median_ms(bench.engine_step(settings, edge, batch))
    loop = bench.loop(settings, edge, batch)
    evaluate: Evaluate = loop.evaluate
    if way == "graph":
        evaluate = GraphedEvaluation(loop.objective, loop.contents, loop.targets)
    return bench.median_ms(lambda: loop.step(evaluate))


def time_textbook(bench: Bench, edge: int) -> float:
    """Return milliseconds per evaluation; the history grows as it does for an image."""
    settings = bench.settings(precision="float32", **ENDLESS)
    objective = bench.device.objective(settings)
    content, targets = bench.targets(settings, edge, 1)
    image, done = content.clone().requires_grad_(), 0
    optimizer = torch.optim.LBFGS([image], lr=1, max_iter=20, history_size=100)

    def closure() -> Tensor:
        nonlocal done
        done += 1
        image.data.clamp_(0, 1)
        losses, image.grad = objective.evaluate(image, targets)
        return losses.total[0]

    torch.backends.cudnn.allow_tf32 = True
    objective.evaluate(image, targets)
    stop = bench.clock()
    while done < bench.timing.textbook:
        before = done
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        if done == before + 1:
            break  # torch has stopped: one evaluation, and it will not move again
    milliseconds = stop() / done
    torch.backends.cudnn.allow_tf32 = False
    return milliseconds


if __name__ == "__main__":
    main()

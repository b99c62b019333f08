"""The card's own rate: matrix products, and the convolutions of VGG-19 by themselves."""

from collections.abc import Callable

import torch

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.task import Task
from stylebatch.transfer import frozen

EDGES, SMALL_EDGES = (4096, 8192), (256,)
# Of VGG-19 at 256 px: channels in and out, and the maps' edge.
CONVOLUTIONS = {
    "conv1_2": (64, 64, 256),
    "conv2_2": (128, 128, 128),
    "conv3_2": (256, 256, 64),
}


def measure(task: Task) -> None:
    """Note the rates."""
    bench = task.bench()
    for edge in SMALL_EDGES if task.is_small else EDGES:
        for name, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
            _note_product(task, name, edge, bench.matrix_rate(dtype, edge))
        if task.is_cuda:
            torch.backends.cuda.matmul.allow_tf32 = True
            _note_product(task, "TF32", edge, bench.matrix_rate(torch.float32, edge))
            torch.backends.cuda.matmul.allow_tf32 = False
    batch, shrunk = (1, 8) if task.is_small else (16, 1)
    best = max(bench.matrix_rate(edge=edge) for edge in (SMALL_EDGES if task.is_small else EDGES))
    for name, (inside, outside, edge) in CONVOLUTIONS.items():
        edge //= shrunk
        operations = 4 * 9 * inside * outside * edge**2 * batch
        ms = bench.median_ms(_convolution(bench, inside, outside, edge, batch))
        rate = 1000 * operations / ms
        task.notes.row(
            "A convolution forward and back in bfloat16, by itself",
            layer=name,
            images=batch,
            px=edge,
            ms=round(ms, 3),
            **{"TFLOP/s": round(rate / 1e12, 2), "of the product's rate": round(rate / best, 3)},
        )


def _note_product(task: Task, name: str, edge: int, rate: float) -> None:
    told = {"TFLOP/s": round(rate / 1e12, 3)}
    task.notes.row("A matrix product", precision=name, edge=edge, **told)


def _convolution(
    bench: Bench, inside: int, outside: int, edge: int, batch: int
) -> Callable[[], object]:
    def draw(*shape: int) -> torch.Tensor:
        numbers = torch.randn(shape, device=bench.where)
        return numbers.to(torch.bfloat16, memory_format=torch.channels_last)

    x = draw(batch, inside, edge, edge).requires_grad_()
    weight, bias = draw(outside, inside, 3, 3), torch.zeros(outside, device=bench.where).bfloat16()
    slope = draw(batch, outside, edge, edge)

    def act() -> None:
        torch.autograd.grad(frozen.convolve(x, weight, bias, 1, 1, 1), x, slope)

    return act

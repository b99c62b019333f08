"""A CUDA device that has no numbers: torch's fake tensors know shapes, layouts and devices only.

Operations on tensors of two devices raise there as they do on a GPU, on a machine that has none.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from support.synchronisation import NoWaiting
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import Node, get_gradient_edge

CUDA = "cuda:0"


@contextmanager
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let tensors be made on `CUDA`, and gradients be taken there, without any GPU."""
    with monkeypatch.context() as patch, FakeTensorMode():
        # torch's own engine asks the driver for the device before it runs anything there.
        patch.setattr(torch.autograd, "grad", gradient)
        yield


def gradient(output: Tensor, leaf: Tensor) -> tuple[Tensor]:
    """Return what `torch.autograd.grad` does of a number, running the same graph node by node."""
    assert output.grad_fn is not None
    end = get_gradient_edge(leaf).node
    given: dict[Node, dict[int, Tensor]] = {
        output.grad_fn: {output.output_nr: torch.ones_like(output)}
    }
    with torch.no_grad():
        for node in reversed(_leaves_first(output.grad_fn)):
            slopes = given.pop(node)
            if node is end:
                return (slopes[0],)
            run: Any = node.apply if isinstance(node, BackwardCFunction) else node
            found = run(*(slopes.get(place) for place in range(max(slopes) + 1)))
            found = found if isinstance(found, tuple) else (found,)
            # Of our own functions' inputs those that are no tensors come last, and have no place.
            for (below, place), slope in zip(node.next_functions, found, strict=False):
                if below is not None and slope is not None:
                    of_it = given.setdefault(below, {})
                    # As torch's own engine does where factors differ in kind or shape.
                    wanted = below._input_metadata[place]
                    slope = slope.sum_to_size(wanted.shape).to(wanted.dtype)
                    of_it[place] = of_it[place] + slope if place in of_it else slope
    raise AssertionError("the leaf is not in the graph")


def _leaves_first(root: Node) -> list[Node]:
    order: list[Node] = []
    stack, seen = [(root, iter(root.next_functions))], {root}
    while stack:
        node, rest = stack[-1]
        for below, _ in rest:
            if below is not None and below not in seen:
                seen.add(below)
                stack.append((below, iter(below.next_functions)))
                break
        else:
            order.append(node)
            stack.pop()
    return order


class NoWaitingCopies(NoWaiting):
    """Raises at copies between devices that the host waits for as well, and counts the others."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.copies = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = super().__torch_dispatch__(func, types, args, kwargs)
        name = func.overloadpacket.__name__
        if name in {"copy_", "_to_copy"}:
            source, target = (args[1], args[0]) if name == "copy_" else (args[0], found)
            if source.device != target.device:
                # `copy_` takes it by its place, `to` by its name.
                is_late = (kwargs or {}).get("non_blocking", len(args) > 2 and args[2])
                assert is_late, f"{name} from {source.device} to {target.device} is waited for"
                self.copies += 1
        return found

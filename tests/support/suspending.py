"""Images taken out of an engine and put into another, as a run and the next one do it."""

import json
from collections.abc import Sequence

import torch
from safetensors.torch import load, save

from stylebatch.transfer.engine import Engine
from stylebatch.transfer.problem import Problem, Result
from stylebatch.transfer.suspended import Suspended


def carried(suspended: Suspended) -> Suspended:
    """Return what is left of a state after a way through bytes and JSON."""
    numbers = json.loads(json.dumps(suspended.numbers))
    return Suspended(load(save(dict(suspended.tensors))), numbers)


def take_out(engine: Engine, problem: Problem, evaluations: int) -> Suspended | Result:
    """Admit an image and take it out after so many evaluations; if it ends before, its result."""
    engine.admit(problem)
    made = 0
    while made < evaluations:
        report = engine.step()
        made += sum(key == problem.key for key, _ in report.rows)
        for result in report.results:
            if result.key == problem.key:
                return result
    for result in engine.settle().results:
        if result.key == problem.key:
            return result
    return engine.take_out(problem.key)


def finish(engine: Engine, key: object) -> Result:
    """Step an engine until an image is done."""
    while True:
        for result in engine.step().results:
            if result.key == key:
                return result


def alone(engine: Engine, problem: Problem) -> Result:
    """Return what an image comes to that nobody disturbs."""
    engine.admit(problem)
    return finish(engine, problem.key)


def keep_busy(engine: Engine, others: Sequence[Problem], steps: int) -> None:
    """Put other images into slots and let them go on for a while."""
    for other in others:
        engine.admit(other)
    for _ in range(steps):
        engine.step()


def check_same_result(found: Result, wanted: Result) -> None:
    """Hold two results against each other, bit by bit; seconds are not compared."""
    assert torch.equal(found.image, wanted.image)
    # As text: a NaN is not equal to itself.
    assert str([row[:7] for row in found.rows]) == str([row[:7] for row in wanted.rows])
    assert str(found.kept[:7]) == str(wanted.kept[:7])
    seconds = [row.seconds for row in found.rows]
    assert seconds == sorted(seconds)
    assert (found.status, found.restored, found.retried_with_adam) == (
        wanted.status, wanted.restored, wanted.retried_with_adam,
    )  # fmt: skip

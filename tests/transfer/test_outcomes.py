"""The decisions of all slots at once against those of one image, written down in plain Python."""

import math
import random
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
import torch
from support.engines import solver
from torch._subclasses.fake_tensor import FakeTensorMode

from stylebatch.transfer.objective import Losses
from stylebatch.transfer.optimizers import OPTIMIZERS
from stylebatch.transfer.outcomes import STATUSES, Bookkeeping
from stylebatch.transfer.problem import SolverSpec, Status

LIKE = torch.zeros(0)
MAX_REFUSED, MAX_NOT_FINITE = 4, 2


class Evaluation(NamedTuple):
    """What one evaluation of one image gave."""

    total: float
    content: float
    is_finite: bool
    wanted: bool  # whether the optimiser would go on from there


class Told(NamedTuple):
    """A `Verdict` of one slot."""

    counted: bool
    better: bool
    kept: bool
    failed: bool
    restored: bool
    status: Status | None


@dataclass
class Image:
    """One image and the whole of its history."""

    spec: SolverSpec
    budget: int
    left: int = 0
    best: float = math.inf
    first: float = math.inf
    failures: int = 0
    is_near: bool = False
    status: Status | None = None
    # Since the start or the last restoration, oldest first.
    totals: list[float] = field(default_factory=list)
    accepted: list[bool] = field(default_factory=list)
    finite: list[bool] = field(default_factory=list)
    bests: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.left = self.budget

    def judged(self, evaluation: Evaluation) -> float:
        limit = self.spec.max_content
        if limit is None:
            return evaluation.total
        is_far = evaluation.content > limit
        self.is_near = self.is_near or not is_far
        return math.inf if is_far and self.is_near else evaluation.total

    def note(self, total: float, accepted: bool, is_finite: bool) -> Told:
        if self.status is not None:
            return Told(False, False, False, False, False, self.status)
        self.left -= 1
        better = accepted and total < self.best
        self.best = total if better else self.best
        for history, value in zip(
            (self.totals, self.accepted, self.finite, self.bests),
            (total, accepted, is_finite, self.best),
            strict=True,
        ):
            history.append(value)  # type: ignore[attr-defined]
        if len(self.totals) == 1 and accepted:
            self.first = total
        failed = self.finite[-MAX_NOT_FINITE:] == [False] * MAX_NOT_FINITE or self.has_climbed()
        stuck = self.accepted[-MAX_REFUSED:] == [False] * MAX_REFUSED
        self.status = self.decide(failed, stuck)
        restored = (failed or stuck) and self.status is None
        self.failures += failed
        if restored:
            self.totals, self.accepted, self.finite, self.bests = [], [], [], []
            self.is_near = False
        kept = accepted if self.spec.keep.endswith("last") else better
        return Told(True, better, kept, failed, restored, self.status)

    def has_climbed(self) -> bool:
        if len(self.totals) % 10:
            return False
        went = [t if a else math.inf for t, a in zip(self.totals, self.accepted, strict=True)]
        went[0] = math.inf  # where it set out
        latest, before = min(went[-10:]), min(went[-20:-10], default=math.inf)
        if math.inf in (latest, before) or self.best == 0:
            return False
        return before > 10 * math.sqrt(self.best * self.first) and latest >= before

    def decide(self, failed: bool, stuck: bool) -> Status | None:
        has_gained = len(self.bests) > 1 and self.bests[-1] < self.bests[0]
        if self.best == math.inf or (failed and self.failures > 0 and self.left > 0):
            return Status.DIVERGED
        if not failed and (self.is_flat() or (stuck and not has_gained)):
            return Status.CONVERGED
        return Status.BUDGET_SPENT if self.left <= 0 else None

    def is_flat(self) -> bool:
        window, tolerance = self.spec.window, self.spec.tolerance
        if not tolerance or len(self.bests) <= window:
            return False
        before = self.bests[-1 - window]
        return before - self.bests[-1] <= tolerance * before


MOODS = ["falls", "climbs", "overshoots", "flat", "refused", "broken", "steep", "mixed"]


def draw(mood: str, last: float, count: int, chance: random.Random) -> Evaluation:
    """Return the next evaluation of an image whose last loss was `last`."""
    if mood == "mixed":
        mood = chance.choice(MOODS[:-1])
    content = chance.uniform(0, 2)
    factor = {
        "falls": chance.uniform(0.7, 1.02),
        "climbs": chance.uniform(1.2, 2.5),
        "overshoots": 60 * chance.uniform(0.8, 1) if count == 1 else chance.uniform(0.75, 0.95),
        "flat": chance.uniform(0.9995, 1.0005),
    }.get(mood, chance.uniform(0.9, 1.1))
    # As float32 has it, so that both sides compare the same numbers.
    total = float(torch.tensor(last * factor))
    wanted = mood != "refused" or chance.random() < 0.1
    if mood == "broken" and chance.random() < 0.5:
        return Evaluation(chance.choice([math.nan, math.inf, -math.inf]), content, False, False)
    if mood == "steep" and chance.random() < 0.5:
        return Evaluation(total, content, False, False)
    return Evaluation(total, content, True, wanted)


def _fill(states: list[Any], slot: int) -> None:
    """Let the last one's state be that of a slot that is free."""
    states[slot] = states[-1]
    states.pop()


@dataclass
class Slots:
    """A batch whose slots are filled, moved and freed as the engine does, and its images."""

    spec: SolverSpec
    capacity: int
    chance: random.Random

    def __post_init__(self) -> None:
        self.book = Bookkeeping(self.spec, MAX_REFUSED, MAX_NOT_FINITE, self.capacity, LIKE)
        self.images: list[Image] = []
        self.moods: list[str] = []
        self.last: list[tuple[float, int]] = []

    def admit(self) -> None:
        budget = self.chance.choice([3, 30, 90])
        self.book.admit(len(self.images), budget)
        self.images.append(Image(self.spec, budget))
        self.moods.append(self.chance.choice(MOODS))
        self.last.append((self.chance.choice([1e-6, 1.0, 1e9]), 0))

    def retire(self, slot: int) -> None:
        end = len(self.images) - 1
        if slot != end:
            self.book.move(end, slot)
        for states in (self.images, self.moods, self.last):
            _fill(states, slot)

    def evaluate(self) -> list[tuple[Told, Told]]:
        """Return what the tensors and what plain Python say of one more evaluation."""
        drawn = [
            draw(mood, *last, self.chance) for mood, last in zip(self.moods, self.last, strict=True)
        ]
        totals, contents = (torch.tensor([d[k] for d in drawn]) for k in (0, 1))
        judged = self.book.guard(Losses(totals, contents, totals, totals))
        is_finite = torch.tensor([d.is_finite for d in drawn])
        accepted = torch.tensor([d.wanted for d in drawn]) & judged.isfinite() & is_finite
        verdict = self.book.note(totals, accepted, is_finite)
        *masks, codes = (each.tolist() for each in verdict)
        statuses = [STATUSES[code] for code in codes]
        found = [Told(*each) for each in zip(*masks, statuses, strict=True)]
        wanted = []
        for slot, (image, each) in enumerate(zip(self.images, drawn, strict=True)):
            is_judged_finite = math.isfinite(image.judged(each))
            is_taken = each.wanted and each.is_finite and is_judged_finite
            wanted.append(image.note(each.total, is_taken, each.is_finite))
            total = each.total if is_taken else self.last[slot][0]
            self.last[slot] = (image.best, 0) if wanted[-1].restored else (
                total, self.last[slot][1] + 1)  # fmt: skip
        return list(zip(found, wanted, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"tolerance": 0.0},
        {"tolerance": 0.01, "window": 5},
        {"tolerance": 1e-4, "window": 8, "keep": "last"},
        {"max_content": 1.6, "keep": "after_best"},
    ],
    ids=["no-tolerance", "window", "last", "guard"],
)
def test_every_slot_is_told_what_its_image_alone_would_be(changes: dict[str, Any]) -> None:
    chance = random.Random(3)
    slots = Slots(solver(**changes), 6, chance)
    seen: dict[Any, int] = {}
    for _ in range(1500):
        while len(slots.images) < slots.capacity and chance.random() < 0.7:
            slots.admit()
        if not slots.images:
            continue
        for found, wanted in slots.evaluate():
            assert found == wanted
            seen[wanted] = seen.get(wanted, 0) + 1
        # Late: a finished image stays for a while.
        for slot in reversed(range(len(slots.images))):
            if slots.images[slot].status is not None and chance.random() < 0.4:
                slots.retire(slot)
    assert {told.status for told in seen} == {None, *Status}
    assert any(told.restored and told.failed for told in seen)
    assert any(told.restored and not told.failed for told in seen)
    assert any(told.failed and told.status is Status.BUDGET_SPENT for told in seen)
    assert any(not told.counted for told in seen)


@pytest.mark.parametrize("name", ["lbfgs", "adam"])
def test_optimisers_and_bookkeeping_stay_on_a_cuda_device(name: str) -> None:
    """Without one: fake tensors know their device, and raise where the host wants a number."""
    spec = solver(optimizer=name, max_content=1.0, tolerance=0.1, keep="after_last")
    with FakeTensorMode():
        like = torch.zeros(0, device="cuda")
        optimizer = OPTIMIZERS[name](spec.optimizer, 4, (8, 8), like)
        patience = (optimizer.max_refused, optimizer.max_not_finite)
        book = Bookkeeping(spec, *patience, 4, like)
        for slot in range(3):
            optimizer.admit(slot, torch.zeros(3, 8, 8, device="cuda"), 9)
            book.admit(slot, 9)
        for _ in range(2):
            points = optimizer.ask(3)
            totals = points.flatten(1).sum(1)
            accepted = optimizer.tell(3, book.guard(Losses(*[totals] * 4)), points + 1)
            verdict = book.note(totals, accepted, totals.isfinite())
            optimizer.restore(verdict.restored, points)
            optimizer.move(2, 0)
            book.move(2, 0)
        assert {each.device.type for each in (points, accepted, *verdict)} == {"cuda"}
        assert {each.shape for each in (accepted, *verdict)} == {(3,)}


def test_fake_tensors_notice_what_the_one_before_relies_on() -> None:
    with FakeTensorMode():
        there = torch.zeros(3, device="cuda")
        with pytest.raises(Exception, match="_local_scalar_dense"):
            bool(there.sum() > 0)
        with pytest.raises(Exception, match="device"):
            there + torch.zeros(3)

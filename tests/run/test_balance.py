"""Real runs that are ended part way: what there is has its share of every style and class."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.runs import Small, command

from stylebatch.ledger import PairCounts
from stylebatch.manifest import load_manifest
from stylebatch.plan import PlanSummary
from stylebatch.records import Event, JobDone
from stylebatch.run import RunRequest, StopRequest, Tally, run
from stylebatch.run.lots import MIN_LOT

CLASSES, STYLES, EACH = ("cats", "dogs", "owls"), ("ink", "sky", "wave"), 8


@pytest.fixture
def small(tmp_path: Path) -> Small:
    small = Small(tmp_path)
    for number in range(len(CLASSES) * EACH):
        label = CLASSES[number % len(CLASSES)]
        small.photo(f"{label}/{number}.png", number)
    for number, style in enumerate(STYLES):
        small.style(f"{style}.png", 100 + number)
    return small


def made(small: Small) -> list[tuple[str, str]]:
    """Return the class and the style of each image that is there."""
    paths = sorted((small.out / "images").rglob("*.png"))
    return [(path.parent.name, path.stem.rpartition("-")[2]) for path in paths]


def spread(small: Small, place: int) -> int:
    """Return by how many the most frequent class (0) or style (1) is ahead of the rarest."""
    counts = Counter(each[place] for each in made(small))
    names = (CLASSES, STYLES)[place]
    return max(counts[name] for name in names) - min(counts[name] for name in names)


@pytest.mark.parametrize("limit", [9, 31])
def test_a_limit_takes_as_many_of_every_class_and_style(small: Small, limit: int) -> None:
    assert command("run", "-q", str(small.write()), "--limit", str(limit)).code == 0
    assert len(made(small)) == limit
    assert spread(small, 0) <= 2
    assert spread(small, 1) <= 2
    cells = Counter(made(small))
    assert max(cells.values()) - min(cells[a, b] for a in CLASSES for b in STYLES) <= 2


def test_limits_one_after_another_go_on_evenly(small: Small) -> None:
    for number in range(1, 4):
        command("run", "-q", str(small.write()), "--limit", "17")
        assert len(made(small)) == 17 * number
        assert max(spread(small, 0), spread(small, 1)) <= 2 * number


def test_shapes_are_off_by_their_lots_at_most(small: Small) -> None:
    """Each class its own shape: as far from even as lots can be."""
    for number in range(len(CLASSES) * EACH):
        label = CLASSES[number % len(CLASSES)]
        small.photo(f"{label}/{number}.png", number, 128 + 16 * (number % len(CLASSES)), 128)
    small.pair |= {"size_px": 160, "steps": 1}
    command("run", "-q", str(small.write()), "--limit", "48")
    # 24 a class in all, of which 16 each are due: in one lot.
    counts = Counter(label for label, _ in made(small))
    assert MIN_LOT == 16
    assert [counts[label] for label in CLASSES] == [16] * 3
    assert spread(small, 1) <= 6


class Stopper:
    """A watcher that asks the run to stop once so many images are there, as a signal does."""

    def __init__(self, count: int) -> None:
        self.stop, self.left = StopRequest(), count

    def doing(self, text: str) -> None:
        pass

    def planned(self, counts: Mapping[str, PairCounts], summary: PlanSummary, stale: int) -> None:
        pass

    def event(self, event: Event) -> None:
        if isinstance(event, JobDone):
            self.left -= 1
            self.stop.count = int(self.left <= 0)

    def tick(self, tally: Tally) -> None:
        pass


def test_a_signal_leaves_a_smaller_set_and_not_a_skewed_one(small: Small) -> None:
    """What is in the slots is finished, the rest left: all of it had its share."""
    stopper = Stopper(20)
    summary = run(load_manifest(small.write()), RunRequest(), stopper, stopper.stop)
    assert summary.exit_code == 4
    assert 20 <= len(made(small)) < 72
    assert max(spread(small, 0), spread(small, 1)) <= 3

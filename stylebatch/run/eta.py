"""How fast a run's devices are, how busy, and when it will have ended."""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from stylebatch.records import Group, Progress, Shape, device_kind
from stylebatch.run.pace import Pace
from stylebatch.run.progress import Finishing
from stylebatch.run.stopping import Stopping

# Of what is left, that goes by what is known of the rest.
MOST_UNKNOWN = 0.2
# Of earlier runs so many images count: what is made now is what counts.
MOST_EARLIER = 100


class Forecast:
    """Takes what workers report, and tells what is left."""

    def __init__(
        self,
        earlier: Mapping[str, Pace],
        most_evaluations: Mapping[str, int],
        *,
        end_early: Collection[str] = (),
        alike: Mapping[str, str] | None = None,
    ) -> None:
        """Begin with what is known.

        Args:
            earlier: measured in earlier runs, by kind of device (cpu, cuda, mps).
            most_evaluations: of an image, by settings.
            end_early: settings whose images may take fewer.
            alike: by settings, what those have in common whose evaluations take the same time.
        """
        self._most, self._end_early = most_evaluations, end_early
        self._alike = alike or {}
        self._ended: dict[str, Counter[int]] = {}
        for settings_id in most_evaluations:
            self._ended[settings_id] = Counter()
            for known in earlier.values():
                images, mean = known.ended(settings_id)
                self._ended[settings_id][round(mean)] += min(images, MOST_EARLIER)
            self._ended[settings_id] = +self._ended[settings_id]
        self._warm = {kind for kind, known in earlier.items() if known.to_json()}
        self._first: dict[int, Progress | None] = {}
        self._stopping: dict[str, Stopping] = {}
        self._each: dict[int, tuple[Shape, tuple[int, ...]]] = {}
        self.paces = {kind: Pace(earlier=known) for kind, known in earlier.items()}
        self._kinds: dict[int, str] = {}
        self._joined_at: dict[int, float] = {}
        self._begun: Counter[int] = Counter()
        self._shapes: dict[int, Shape] = {}
        self.there_s: dict[int, float] = {}
        self.busy_s: dict[int, float] = {}

    def joined(self, worker: int, device: str) -> None:
        """Count on a worker."""
        self._kinds[worker] = device_kind(device)
        self._joined_at[worker] = time.monotonic()

    def left(self, worker: int) -> None:
        """Count a worker out; how long it was there and busy stays counted."""
        if (joined_at := self._joined_at.pop(worker, None)) is not None:
            there_s = time.monotonic() - joined_at
            self.there_s[worker] = self.there_s.get(worker, 0.0) + there_s
        self._stopping.clear()
        for known in (self._begun, self._each, self._first):
            known.pop(worker, None)

    def progress(self, event: Progress) -> None:
        """Take how far a worker is."""
        worker = event.worker
        self.busy_s[worker] = self.busy_s.get(worker, 0.0) + event.seconds
        self._begun[worker] = event.behind
        self._stopping.clear()
        if event.shape:
            self._each[worker] = (event.shape, event.each)
        if not event.evaluations or event.shape is None or worker not in self._kinds:
            return
        self._shapes[worker] = event.shape
        pace = self.pace(worker)
        pace.add(event.shape, event.evaluations, event.seconds)
        if worker not in self._first:
            self._first[worker] = event
        else:
            self._warm.add(self._kinds[worker])
            if (first := self._first[worker]) and first.shape:
                # It says how long a worker takes to start: weights, style targets, buffers.
                pace.take_back(first.shape, first.evaluations, first.seconds)
                self._first[worker] = None

    def finished(self, worker: int, shape: Shape, evaluations: int) -> None:
        """Take that an image is finished."""
        self._stopping.clear()
        self._ended.setdefault(shape.settings_id, Counter())[evaluations] += 1
        if worker in self._kinds:
            self.pace(worker).finished(shape, evaluations)

    def pace(self, worker: int) -> Pace:
        """Return the pace of a worker's kind of device."""
        return self._pace_of(self._kinds[worker])

    def _pace_of(self, kind: str) -> Pace:
        return self.paces.setdefault(kind, Pace())

    def begun_s(self, worker: int) -> float:
        """Return how many seconds of work the images have behind them that a worker has now."""
        shape = self._shapes.get(worker)
        each_s = self.pace(worker).seconds_per_evaluation(shape) if shape else None
        return self._begun[worker] * (each_s or 0.0)

    def left_s(self, groups: Iterable[Group], num_jobs: int) -> float | None:
        """Return seconds to the end; None while nobody can tell.

        Args:
            groups: what is not finished, in flight included.
            num_jobs: how many of these will be made: with a limit not all.
        """
        groups = [group for group in groups if group.width]
        evaluations = self._evaluations({group.settings_id for group in groups})
        return None if evaluations is None else self._left_s(groups, num_jobs, evaluations)

    def most_left_s(self, groups: Iterable[Group], num_jobs: int) -> float | None:
        """Return seconds to the end where no image ends early; arguments as in `left_s`."""
        groups = [group for group in groups if group.width]
        if any(group.settings_id not in self._most for group in groups):
            return None
        return self._left_s(groups, num_jobs, self._most)

    def _left_s(
        self, groups: list[Group], num_jobs: int, evaluations: Mapping[str, float]
    ) -> float | None:
        # Workers of one kind would all take as long.
        kinds = Counter(self._kinds[worker] for worker in self._joined_at)
        alone_s = {kind: self._alone_s(kind, groups, evaluations) for kind in kinds}
        rate = sum(
            kinds[kind] / max(each, 1e-3) for kind, each in alone_s.items() if each is not None
        )
        if not rate or None in alone_s.values():
            return None
        share = num_jobs / max(1, sum(group.num_jobs for group in groups))
        return share * self._waiting_factor() / rate

    def finishing(self) -> Finishing:
        """Return what it takes to finish what is in slots, and nothing more."""
        images, seconds, is_known, is_at_most = 0, 0.0, True, False
        for worker, (shape, each) in self._each.items():
            if not each:
                continue
            images += len(each)
            mean = self._mean(shape.settings_id)
            is_at_most = is_at_most or mean is None
            left = sum(self._left_of(shape.settings_id, had, mean) for had in each)
            each_s = self.pace(worker).seconds_per_evaluation(shape)
            is_known = is_known and each_s is not None and self._kinds[worker] in self._warm
            seconds = max(seconds, left * (each_s or 0.0))
        known_s = self._waiting_factor() * seconds if is_known else None
        return Finishing(images, known_s, is_at_most)

    def furthest(self) -> tuple[int, int] | None:
        """Return the evaluation at which the furthest image in a slot is, and its budget."""
        had = [
            (max(each), self._most.get(shape.settings_id, 0))
            for shape, each in self._each.values()
            if each
        ]
        return max(had, default=None)

    def _evaluations(self, settings_ids: Iterable[str]) -> dict[str, float] | None:
        """Return evaluations of an image by settings; None where they can't be told of all."""
        means = {each: self._mean(each) for each in settings_ids}
        shares = [mean / self._most[each] for each in self._most if (mean := self._mean(each))]
        found = {}
        for settings_id, mean in means.items():
            if mean is None and (not shares or settings_id not in self._most):
                return None
            # None of these is finished yet: as the images of others, of their own budget.
            found[settings_id] = mean or self._most[settings_id] * sum(shares) / len(shares)
        return found

    def _mean(self, settings_id: str) -> float | None:
        """Return evaluations of an image; None while that can't be told."""
        if settings_id in self._end_early:
            return self._stopping_of(settings_id).mean()
        ended = self._ended.get(settings_id, Counter())
        total = sum(each * count for each, count in ended.items())
        return total / ended.total() if total else self._most.get(settings_id)

    def _stopping_of(self, settings_id: str) -> Stopping:
        if settings_id not in self._stopping:
            had = [
                number
                for shape, each in self._each.values()
                if shape.settings_id == settings_id
                for number in each
            ]
            ended = self._ended.get(settings_id, Counter())
            most = self._most.get(settings_id, 0)
            self._stopping[settings_id] = Stopping(ended, had, most)
        return self._stopping[settings_id]

    def _left_of(self, settings_id: str, had: int, mean: float | None) -> float:
        """Return how many evaluations an image still takes that has had some; at most, of None."""
        if mean is None:
            return max(0, self._most.get(settings_id, 0) - had)
        if settings_id not in self._end_early:
            return max(0.0, mean - had)
        return self._stopping_of(settings_id).bounds(had).middle - had

    def _alone_s(
        self, kind: str, groups: list[Group], evaluations: Mapping[str, float]
    ) -> float | None:
        """Return how long one worker on such a device would take for everything."""
        if kind not in self._warm:
            return None
        pace, seconds, known, unknown = self._pace_of(kind), 0.0, 0.0, 0.0
        for group in groups:
            work = group.num_jobs * evaluations[group.settings_id]
            shape = self._stand_in(pace, group.shape)
            each_s = pace.seconds_per_evaluation(shape) if shape else None
            if each_s is None:
                unknown += work * group.width * group.height
            else:
                known += work * group.width * group.height
                seconds += work * each_s
        if unknown > MOST_UNKNOWN * (known + unknown):
            return None
        seconds *= 1 + unknown / known if known else 1
        return seconds - self._behind_s(pace, evaluations)

    def _behind_s(self, pace: Pace, evaluations: Mapping[str, float]) -> float:
        """Return what lies behind the images that workers have."""
        seconds = 0.0
        for worker, begun in self._begun.items():
            shape = self._shapes.get(worker)
            if shape is None or shape.settings_id not in evaluations:
                continue
            mean = evaluations[shape.settings_id]
            of, each = self._each.get(worker, (shape, ()))
            is_known = self._mean(of.settings_id) is not None
            left = sum(self._left_of(of.settings_id, had, mean) for had in each) if is_known else 0
            # Of those that are finished, but not handed over, all that they have had.
            behind = begun - sum(each) + (len(each) * mean - left if is_known else sum(each))
            seconds += behind * (pace.seconds_per_evaluation(shape) or 0.0)
        return seconds

    def _stand_in(self, pace: Pace, shape: Shape) -> Shape | None:
        """Return a shape whose evaluations take as long: its own, else of settings alike."""
        if pace.knows(shape.settings_id):
            return shape
        key = self._alike.get(shape.settings_id)
        same = (other for other, its in self._alike.items() if its == key and pace.knows(other))
        other = next(same, None)
        return None if key is None or other is None else shape._replace(settings_id=other)

    def _waiting_factor(self) -> float:
        """Return how many times as long it takes as devices are busy."""
        now, busy_s = time.monotonic(), sum(self.busy_s.values())
        there_s = sum(self.there_s.values()) + sum(now - at for at in self._joined_at.values())
        return min(2.0, max(1.0, there_s / busy_s)) if busy_s > 1 else 1.0

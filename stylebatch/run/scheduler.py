"""Which jobs go next, together, under a pixel budget: plain numbers, no tensors."""

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from stylebatch.recipes import Settings
from stylebatch.records import Group, Job, Shape, num_slots
from stylebatch.run.lots import JobSource, Queue
from stylebatch.run.turns import Turns

MIN_SPARE = 2


class Lost(NamedTuple):
    """What a dead worker had in flight; alone: a single job, which may be to blame."""

    jobs: list[Job]
    was_alone: bool


def cost_of(settings: Mapping[str, Settings], group: Group, *, is_limited: bool = False) -> float:
    """Return what a job of a group costs, in pixels evaluated at most: the longest go first.

    Before them go photographs that are carried over, as they cost next to nothing and a set is not
    whole without them; but a run of a few images (`is_limited`) is there to show what it makes.

    Args:
        settings: of jobs that stylise.
    """
    if group.settings_id not in settings:
        return 0 if is_limited else inf
    return group.width * group.height * settings[group.settings_id].recipe.steps


def num_spare(slots: int) -> int:
    """Return how many jobs wait at a worker to refill its slots, at most."""
    return max(slots, MIN_SPARE)


def capacity(width: int, height: int, pixel_budget: int) -> int:
    """Return how many jobs of a shape a worker has at most: its slots, and some to refill them."""
    slots = num_slots(width, height, pixel_budget)
    return slots + num_spare(slots)


@dataclass(eq=False)
class _Worker:
    pixel_budget: int
    in_flight: dict[str, Job] = field(default_factory=dict)
    queue: Queue | None = None
    lot: int = 0
    has_suspect: bool = False
    is_closed: bool = False
    passed_over: set[Shape] = field(default_factory=set)

    def takes(self, shape: Shape) -> bool:
        return shape not in self.passed_over


class Scheduler:
    """Hands each job to a worker once: in lots of one shape, those in turn that lie first.

    So wherever a run ends, what is done has of each group its share, but for the last lots.
    A job that a dead worker had is a suspect: it runs alone, on a worker with nothing else.
    """

    def __init__(
        self,
        source: JobSource,
        *,
        cost: Callable[[Group], float] = lambda group: group.width * group.height,
        limit: int | None = None,
        num_workers: int = 1,
        begun: Collection[Job] = (),
    ) -> None:
        """Take the groups of a source.

        Args:
            cost: of one job of a group, in any unit.
            limit: hand out so many jobs at most.
            num_workers: that are to be expected: few jobs are not all for the first to come.
            begun: jobs of the source that an earlier run has begun: they go first.
        """
        groups = sorted(source.groups(), key=lambda group: (-cost(group), group))
        self._source, middles = source, source.middles()
        self._queues = {
            group.shape: Queue(group, group.num_jobs, middles[group.shape], number)
            for number, group in enumerate(groups)
        }
        for shape, queue in self._queues.items():
            queue.put_first(job for job in begun if job.shape == shape)
        self._turns = Turns(self._queues.values(), cost)
        self._suspects: deque[Job] = deque()
        self._suspected: set[str] = set()
        self._num_held = 0
        self._num_workers = num_workers
        self._workers: dict[int, _Worker] = {}
        # Kept as they change: of ten thousand workers each is asked for at every turn.
        self._num_in_flight = self._num_alone = 0
        total = sum(group.num_jobs for group in groups)
        self._left = total if limit is None else min(limit, total)
        self._is_stopped = False

    @property
    def in_flight(self) -> int:
        """How many jobs workers have now."""
        return self._num_in_flight

    @property
    def left(self) -> int:
        """How many jobs no worker has now, suspects and those held included."""
        return self._left + len(self._suspects) + self._num_held

    @property
    def is_finished(self) -> bool:
        """Whether nothing is in flight and nothing more will be handed out."""
        return not self.in_flight and (self._is_stopped or not self.left)

    def shapes_in_flight(self, worker: int) -> list[Shape]:
        """Return the shapes of a worker's jobs, each as often as it has one."""
        state = self._workers.get(worker)
        return [job.shape for job in state.in_flight.values()] if state else []

    def num_in_flight(self, worker: int) -> int:
        """Return how many jobs a worker has now."""
        state = self._workers.get(worker)
        return len(state.in_flight) if state else 0

    def groups_left(self) -> list[Group]:
        """Return what is not finished, in flight included, by settings and shape."""
        counts: Counter[Shape] = Counter()
        for queue in self._queues.values():
            counts[queue.group.shape] += queue.left
        jobs = [job for worker in self._workers.values() for job in worker.in_flight.values()]
        counts.update(job.shape for job in (*jobs, *self._suspects))
        return [Group(*shape, count) for shape, count in counts.items() if count]

    def worker_joined(self, worker: int, pixel_budget: int) -> None:
        """Count on a worker, whose device optimises so many pixels at once."""
        self._workers[worker] = _Worker(pixel_budget)

    def has_passed_over_all(self, worker: int) -> bool:
        """Whether a worker takes too long for all that is left; what is held may be smaller."""
        state = self._workers[worker]
        if not state.passed_over or self._num_held or self._suspect_for(state):
            return False
        return not (self._left and self._queue_of(state))

    def close(self, worker: int, *, others_come: bool = False) -> None:
        """Hand a worker nothing more; once all are closed, nobody else either.

        Args:
            others_come: workers that have not joined yet, and may be faster.
        """
        self._workers[worker].is_closed = True
        are_closed = all(each.is_closed for each in self._workers.values())
        self._is_stopped |= are_closed and not others_come

    def is_last_open(self, worker: int) -> bool:
        """Whether all others have been handed their last."""
        return all(each.is_closed for key, each in self._workers.items() if key != worker)

    def begin_anyway(
        self, worker: int, takes_s: Callable[[Shape], float], *, fills_slots: bool = False
    ) -> list[Job]:
        """Hand a worker that has nothing the job that takes least, however long that is.

        What it was too slow for until now may fit once that has told how fast it is.

        Args:
            fills_slots: hand it as many as it has slots for, if it can.
        """
        state = self._workers[worker]
        state.passed_over.clear()
        queues = [queue for queue in self._queues.values() if queue.left and self._left > 0]
        queue = min(
            queues, key=lambda each: (not each.begun, takes_s(each.group.shape)), default=None
        )
        suspect = min(self._suspects, key=lambda job: takes_s(job.shape), default=None)
        jobs = [suspect] if suspect else []
        if queue and not (suspect and takes_s(suspect.shape) <= takes_s(queue.group.shape)):
            group, budget = queue.group, state.pixel_budget
            slots = num_slots(group.width, group.height, budget) if fills_slots else 1
            jobs = queue.pop(self._source, min(slots, self._left))
            self._left -= len(jobs)
        elif suspect:
            self._suspects.remove(suspect)
            self._leave_alone(state)
        self._hand_over(state, jobs)
        return jobs

    def _hand_over(self, state: _Worker, jobs: Sequence[Job]) -> None:
        state.in_flight.update((job.output, job) for job in jobs)
        self._num_in_flight += len(jobs)

    def _leave_alone(self, state: _Worker, *, is_alone: bool = True) -> None:
        """Note whether a worker has a suspect, and so nothing else."""
        self._num_alone += is_alone - state.has_suspect
        state.has_suspect = is_alone

    def worker_lost(self, worker: int) -> Lost:
        """Count a worker out; what it had becomes suspects."""
        lost = self._workers.pop(worker, None)
        jobs = list(lost.in_flight.values()) if lost else []
        if lost:
            self._leave_alone(lost, is_alone=False)
        self._num_in_flight -= len(jobs)
        self._suspects.extend(jobs)
        self._suspected.update(job.output for job in jobs)
        return Lost(jobs, len(jobs) == 1)

    def drop(self, output: str) -> None:
        """Never hand out a suspect again."""
        self._suspects = deque(job for job in self._suspects if job.output != output)

    def finished(self, worker: int, output: str) -> Job | None:
        """Note that a job is done or failed, even if it comes from a worker that is lost by now.

        Returns:
            the job; None from such a worker.
        """
        state = self._workers.get(worker)
        if state is None or output not in state.in_flight:
            self.drop(output)
            return None
        self._leave_alone(state, is_alone=False)
        self._num_in_flight -= 1
        return state.in_flight.pop(output)

    def give_back(self, worker: int, outputs: Iterable[str]) -> None:
        """Take back what a worker has not begun."""
        for output in reversed(list(outputs)):
            if job := self.finished(worker, output):
                self._place_of(job).appendleft(job)

    def _place_of(self, job: Job) -> deque[Job]:
        """Count a job as left again; return where it has to be put: a suspect stays one."""
        if job.output in self._suspected:
            return self._suspects
        queue = self._queues[job.shape]
        queue.left += 1
        self._left += 1
        self._turns.again(queue)
        return queue.ahead

    def hold(self, worker: int, output: str) -> Job | None:
        """Take a job back from a worker, to be handed out `again` later; None if it has it not."""
        job = self.finished(worker, output)
        self._num_held += job is not None
        return job

    def again(self, job: Job) -> None:
        """Hand a job out again that was held."""
        self._num_held -= 1
        self._place_of(job).append(job)

    def stop_admitting(self) -> None:
        """Hand out nothing more; what is in flight may finish."""
        self._is_stopped = True

    def jobs_for(
        self, worker: int, left_s: float = inf, takes_s: Callable[[Shape], float] = lambda shape: 0
    ) -> list[Job]:
        """Return what to submit to a worker now, [] if it has enough or there is nothing.

        A worker with nothing in flight passes over what takes longer than is left, from then on.

        Args:
            left_s: seconds for all of them together.
            takes_s: how many of these a job of a shape takes.
        """
        state = self._workers.get(worker)
        if state is None or self._is_stopped or state.has_suspect or state.is_closed or left_s <= 0:
            return []
        while not state.in_flight and (suspect := self._suspect_for(state)):
            if takes_s(suspect.shape) > left_s:
                state.passed_over.add(suspect.shape)
                continue
            self._suspects.remove(suspect)
            self._leave_alone(state)
            self._hand_over(state, [suspect])
            return [suspect]
        jobs = self._fresh_jobs(state, left_s, takes_s)
        self._hand_over(state, jobs)
        return jobs

    def _fresh_jobs(
        self, worker: _Worker, left_s: float, takes_s: Callable[[Shape], float]
    ) -> list[Job]:
        jobs: list[Job] = []
        while self._left > 0 and (queue := self._queue_of(worker)):
            room, each_s = self._room(worker, queue.group, len(jobs)), takes_s(queue.group.shape)
            if room > 0 and each_s > left_s and not (jobs or worker.in_flight):
                worker.passed_over.add(queue.group.shape)
                continue
            if each_s > 0 and left_s < inf:
                room = min(room, int(left_s / each_s))
            if room <= 0:
                break
            taken = queue.pop(self._source, min(room, self._left, worker.lot))
            self._left -= len(taken)
            worker.lot -= len(taken)
            left_s -= len(taken) * each_s
            jobs.extend(taken)
        if self._turns.are_over:
            # The source may hold fewer jobs than its groups say.
            self._left = 0
        return jobs

    def _suspect_for(self, worker: _Worker) -> Job | None:
        return next((job for job in self._suspects if worker.takes(job.shape)), None)

    def _room(self, worker: _Worker, group: Group, num_taken: int) -> int:
        """How many more jobs a worker may have: up to its capacity, and near the end its share."""
        has = len(worker.in_flight) + num_taken
        slots = num_slots(group.width, group.height, worker.pixel_budget)
        most = slots + num_spare(slots)
        if self._queues[group.shape].begun:
            # Those are long: who is free takes one, and none waits at a worker that is not.
            most = slots
        if not num_taken and has > slots + num_spare(slots) // 2:
            # In lots: each is a transaction of the ledger, which waits for the disk.
            return 0
        feeding = len(self._workers) - self._num_alone
        rest = self._left + num_taken + self._num_in_flight - self._num_alone
        share = -(-rest // max(feeding, self._num_workers))
        return max(min(most, share) - has, 0 if has else 1)

    def _queue_of(self, worker: _Worker) -> Queue | None:
        """Return what a worker's lot is of; once that is at its end, the next lot's queue."""
        queue = worker.queue
        if queue and queue.left and worker.lot > 0 and worker.takes(queue.group.shape):
            return queue
        worker.queue, worker.lot = self._turns.next(worker.pixel_budget, worker.takes) or (None, 0)
        return worker.queue

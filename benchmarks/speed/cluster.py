"""What one driver can feed: `python -m benchmarks.speed.cluster`.

The real scheduler, loop and ledger against simulated devices, in real time: they join, make images
one after another, report, are lost and replaced. Times of images are drawn about a mean; nothing
else of a device is there. Prints how much of their time devices wait for work, and the driver's
load.
"""

import argparse
import heapq
import random
import resource
import tempfile
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from benchmarks.setting.machine import cpu_model
from benchmarks.speed.plan import Silent, done
from benchmarks.speed.plan_inputs import make_small
from stylebatch.ledger import Ledger
from stylebatch.manifest import load_manifest
from stylebatch.output.layout import Dataset
from stylebatch.records import Event, Job, Progress, WorkerJoined, WorkerLost
from stylebatch.run import Loop, Scheduler, StopRequest, make_plan

# Of the logarithm of an image's time: two of three lie within a quarter of the mean.
SPREAD = 0.25
# A device has this many images at most that wait: its pixels suffice for one at a time.
PIXELS = 24 * 16
# Devices join over so long; one in so many hours of a device is lost, and replaced after a while.
JOIN_S, HOURS_TO_LOSS, REPLACED_S = 5.0, 2.0, 5.0
MOST_REPORTS_S = 200.0


@dataclass(slots=True)
class Device:
    """A simulated device.

    Attributes:
        incarnation: what was drawn for one before means nothing.
        free_at: when it has nothing more to do, as things stand.
        busy_s, idle_s: making images; waiting for them between the first and the last.
    """

    incarnation: int = 0
    free_at: float = 0.0
    busy_s: float = 0.0
    idle_s: float = 0.0
    num_done: int = 0


class Simulated:
    """An executor whose devices only wait."""

    def __init__(self, num_devices: int, mean_s: float) -> None:
        self.devices = [Device() for _ in range(num_devices)]
        self._mean_s, self._random = mean_s, random.Random(0)
        self._order = count()
        self._heap: list[tuple[float, int, int, int, Job | str]] = []
        self._report_s = max(0.25, num_devices / MOST_REPORTS_S)
        self.num_lost = 0

    def start(self) -> list[int]:
        now = time.monotonic()
        for worker in range(len(self.devices)):
            self._push(now + self._random.uniform(0, JOIN_S), worker, "join")
        return list(range(len(self.devices)))

    def _push(self, at: float, worker: int, what: Job | str) -> None:
        incarnation = self.devices[worker].incarnation
        heapq.heappush(self._heap, (at, next(self._order), worker, incarnation, what))

    def submit(self, worker: int, jobs: list[Job]) -> None:
        device, now = self.devices[worker], time.monotonic()
        for job in jobs:
            start = max(now, device.free_at)
            device.idle_s += start - device.free_at
            took = self._mean_s * self._random.lognormvariate(-(SPREAD**2) / 2, SPREAD)
            device.free_at = start + took
            device.busy_s += took
            self._push(device.free_at, worker, job)

    def poll(self, timeout_s: float) -> list[Event]:
        until = time.monotonic() + timeout_s
        if self._heap:
            time.sleep(max(0.0, min(until, self._heap[0][0]) - time.monotonic()))
        now, events = time.monotonic(), list[Event]()
        while self._heap and self._heap[0][0] <= now:
            at, _, worker, incarnation, what = heapq.heappop(self._heap)
            if incarnation == self.devices[worker].incarnation:
                events += self._happen(at, worker, what)
        return events

    def _happen(self, at: float, worker: int, what: Job | str) -> list[Event]:
        device = self.devices[worker]
        if isinstance(what, Job):
            device.num_done += 1
            return [done(worker, what)]
        if what == "join":
            device.free_at = at
            self._push(at + self._report_s, worker, "report")
            self._push(at + self._random.expovariate(1 / (HOURS_TO_LOSS * 3600)), worker, "loss")
            return [WorkerJoined(worker, "none", PIXELS)]
        if what == "report":
            self._push(at + self._report_s, worker, "report")
            evaluations = round(self._report_s / self._mean_s * 50)
            return [Progress(worker, 1, evaluations, self._report_s)]
        self.num_lost += 1
        device.busy_s -= max(0.0, device.free_at - at)
        device.incarnation += 1
        return [WorkerLost(worker, "simulated", is_blameless=True)]

    def replace(self, worker: int) -> bool:
        self._push(time.monotonic() + REPLACED_S, worker, "join")
        return True

    def kill(self, worker: int, reason: str) -> None:
        raise AssertionError(reason)

    def drain(self, worker: int) -> None:
        raise AssertionError("nothing ends this run early")

    def save(self, worker: int) -> None:
        raise AssertionError("nothing ends this run early")

    def stop(self, at_once: bool) -> None:
        pass


def main() -> None:
    """Print a row for each number of devices."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    parser.add_argument("--seconds", type=float, default=2.0, help="of an image, in the mean")
    parser.add_argument("--each", type=int, default=15, help="images of a device, in the mean")
    options = parser.parse_args()
    print(f"{cpu_model()}; {options.seconds:g} s an image, {options.each} of each device")
    print("devices  images  lost  by the clock  images/s  idle between images  driver's CPU")
    for num_devices in options.devices:
        measure(num_devices, options.seconds, options.each)


def measure(num_devices: int, mean_s: float, each: int) -> None:
    """Run one simulation."""
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder:
        root = Path(folder)
        make_small(root, num_devices * each, 1000)
        dataset = Dataset(root / "out")
        dataset.make_folders()
        with Ledger.open(dataset.ledger) as ledger:
            planned, _, _ = make_plan(load_manifest(root / "pipeline.yaml"), ledger)
            simulated = Simulated(num_devices, mean_s)
            loop = Loop(simulated, Scheduler(planned), ledger, Silent(), stop=StopRequest())
            began, cpu = time.perf_counter(), _cpu_s()
            tally = loop.run()
            took, cpu = time.perf_counter() - began, _cpu_s() - cpu
    busy = sum(device.busy_s for device in simulated.devices)
    idle = sum(device.idle_s for device in simulated.devices)
    print(
        f"{num_devices:7,} {tally.done:7,} {simulated.num_lost:5} {took:12.1f} s "
        f"{tally.done / took:9.1f} {100 * idle / (idle + busy):18.1f} % {100 * cpu / took:11.0f} %",
        flush=True,
    )


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()

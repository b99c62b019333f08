"""How threads wait for each other (spinning, spinning for a while, asleep), beside other work.

    python -m benchmarks.speed.waiting
    python -m benchmarks.speed.waiting --quick              # a smoke test

One image of 192×192 with `slim` on all usable cores, in a process of its own, alone and beside one
and two processes that keep a core busy: seconds and CPU seconds of an evaluation, by turns.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.setting.machine import describe_machine
from benchmarks.setting.timing import describe_repeats
from stylebatch.device.choice import choose_precision

POLICIES = ("as OpenMP does", "3000 turns", "PASSIVE")
NEIGHBOURS = (0, 1, 2)
CHILD = """
import sys, time
import numpy as np
from stylebatch import stylize

generator = np.random.default_rng(0)
content, style = generator.integers(0, 256, (2, 192, 192, 3), np.uint8)
steps = int(sys.argv[1])
stylize(content, style, arch="slim", size_px=192, steps=2, device="cpu")
began, busy = time.perf_counter(), time.process_time()
stylize(content, style, arch="slim", size_px=192, steps=steps, device="cpu")
print((time.perf_counter() - began) / steps, (time.process_time() - busy) / steps)
"""


def main() -> None:
    """Print a line for each number of neighbours and policy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="one repeat of one evaluation")
    options = parser.parse_args()
    if options.quick:
        options.repeats = options.steps = 1
    print(describe_machine(choose_precision("auto", "cpu")))
    print(f"\n{'':<36}{'ms an evaluation':>24}{'CPU ms':>24}")
    for neighbours in NEIGHBOURS:
        with busy_processes(neighbours):
            report(neighbours, options.repeats, options.steps)


def report(neighbours: int, repeats: int, steps: int) -> None:
    """Print what both policies take beside so many busy processes."""
    found: dict[str, list[tuple[float, float]]] = {policy: [] for policy in POLICIES}
    for _ in range(repeats):
        for policy in POLICIES:
            found[policy].append(time_child(policy, steps))
    for policy, times in found.items():
        wall, busy = (
            describe_repeats([1000 * each[index] for each in times], 0) for index in (0, 1)
        )
        print(f"{neighbours} busy processes, {policy:<18}{wall:>24}{busy:>24}")


def time_child(policy: str, steps: int) -> tuple[float, float]:
    """Return seconds and CPU seconds of an evaluation in a process of its own."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OMP_")}
    environment.pop("GOMP_SPINCOUNT", None)
    if policy == "PASSIVE":
        environment["OMP_WAIT_POLICY"] = policy
    elif policy == "3000 turns":
        environment["GOMP_SPINCOUNT"] = "3000"
    command = [sys.executable, "-c", CHILD, str(steps)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    wall, busy = map(float, ended.stdout.split())
    return wall, busy


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep so many cores busy meanwhile."""
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(count)]
    time.sleep(0.5 if count else 0)
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()

"""Workers on a Ray cluster of this machine."""

import os
import re
import signal
from contextlib import suppress

from support.runs import Small, is_alive, wait_until

# Of each node's object store, which nothing is put in.
STORE_BYTES = 80 * 2**20


def wheres(small: Small) -> list[int]:
    """Return the processes of the workers that have joined, as the log tells."""
    log = small.out / ".stylebatch/run.log"
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    return [int(pid) for pid in re.findall(r"worker \d+ is there, on cpu of .*:(\d+)", text)]


def hold_until_there_are(small: Small, num_workers: int) -> None:
    """Stop the workers that are there until others have come: however fast the machine is."""
    stopped = set[int]()

    def are_there() -> bool:
        for pid in set(filter(is_alive, wheres(small))) - stopped:
            os.kill(pid, signal.SIGSTOP)
            stopped.add(pid)
        return len(wheres(small)) >= num_workers

    wait_until(are_there, f"{num_workers} workers")
    for pid in stopped:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

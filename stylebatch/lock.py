"""The lock on an output: one run at a time, and workers that know whose output it is."""

import json
import os
import socket
from datetime import UTC, datetime
from types import TracebackType

from filelock import FileLock, Timeout

from stylebatch.crash_points import reached
from stylebatch.dataset import Dataset
from stylebatch.errors import RunError, UserError
from stylebatch.files import read_bytes, remove_file, write_atomic

HOLDER_KEYS = {"run_id", "pid", "host", "since"}


class OutputHeldError(UserError):
    """Another run holds the output."""

    exit_code = 10


class LostOutputError(RunError):
    """The output can't be written, or is no longer this run's."""


class OutputLock:
    """Holds an output while a run lasts; the system lets go of it when the process ends.

    `.stylebatch/holder.json` says which run it is: workers look there before they commit.
    """

    def __init__(self, dataset: Dataset, run_id: str) -> None:
        self._dataset, self._run_id = dataset, run_id
        self._lock = FileLock(dataset.lock)

    def __enter__(self) -> "OutputLock":
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise self._held() from None
        reached("lock-taken")
        holder = {
            "run_id": self._run_id,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_atomic(self._dataset.holder, json.dumps(holder).encode(), make_folders=False)
        reached("holder-written")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        # A worker that outlives its run must find that the output is no longer its own.
        remove_file(self._dataset.holder)
        reached("holder-removed")
        self._lock.release()

    def _held(self) -> OutputHeldError:
        holder = read_holder(self._dataset)
        who = "another run"
        if holder:
            who = "process {pid} on {host} (run {run_id}, since {since})".format(**holder)
        found = f"{who} is writing there"
        todo = "wait until it has finished, or choose another output"
        return OutputHeldError(str(self._dataset.root), found, "", todo)


def read_holder(dataset: Dataset) -> dict[str, object]:
    """Return who holds an output: run_id, pid, host, since; {} where nobody says so."""
    try:
        holder = json.loads(read_bytes(dataset.holder))
    except (OSError, ValueError):
        return {}
    # Whatever else a damaged disk or somebody's editor has left there names nobody.
    is_one = isinstance(holder, dict) and holder.keys() >= HOLDER_KEYS
    return holder if is_one else {}


def find_running(dataset: Dataset) -> dict[str, object]:
    """Return who is writing to an output now; {} where nobody is, as far as can be told.

    Reads only: to try the lock could make a run fail that starts at this moment.
    """
    holder = read_holder(dataset)
    if holder.get("host") != socket.gethostname():
        return holder
    try:
        os.kill(int(str(holder["pid"])), 0)
    except ProcessLookupError:
        return {}  # killed: it left its name behind
    except PermissionError:
        pass  # somebody else's process is one as well
    return holder


def check_owner(dataset: Dataset, run_id: str) -> None:
    """Check that an output is still a run's own.

    Raises:
        LostOutputError: it belongs to another run, or to none.
    """
    if read_holder(dataset).get("run_id") != run_id:
        found = "this run no longer holds the output"
        raise LostOutputError(str(dataset.root), found, "", "run again")

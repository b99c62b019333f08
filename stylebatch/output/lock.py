"""The lock on an output: one run at a time, and workers that know whose output it is."""

import errno
import json
import os
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from stylebatch.output.errors import LostOutputError, NoLocksError, OutputHeldError
from stylebatch.output.layout import Dataset
from stylebatch.output.lease import Lease, take_lease
from stylebatch.system.crash_points import reached
from stylebatch.system.files import (
    make_folder,
    make_folders_below,
    read_bytes,
    remove_file,
    stat_file,
    write_atomic,
)
from stylebatch.system.folders import remove_tree
from stylebatch.system.processes import birth_of

# A shard that parts the output anew takes other shards' ledgers in at the gate.
GATE_S = 120

# How a file system without locks answers: Lustre without `-o flock`, NFS without its lock service.
WITHOUT_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EBADF}

HOLDER_KEYS = {"run_id", "pid", "host", "since"}


class OutputLock:
    """Holds an output, or a shard of it, while a run lasts; the system lets go when it ends.

    A run of the whole excludes all others; a shard excludes the whole, itself, and shards that
    part the output in another way, but not its siblings. Locks are taken at a gate, one run at a
    time, so that two that exclude each other never both find the other's free.

    `holder.json` beside the lock says which run it is: workers look there before they commit. An
    output in a store is held by a lease as well, which other machines find there.
    """

    def __init__(
        self, dataset: Dataset, run_id: str, prepare: Callable[[], object] | None = None
    ) -> None:
        """Prepare to hold an output.

        Args:
            prepare: is called when the lock is taken, and before anybody else can take one.
        """
        self._dataset, self._run_id, self._prepare = dataset, run_id, prepare
        self._lock = _file_lock(dataset.lock)
        self._lease: Lease | None = None

    def __enter__(self) -> "OutputLock":
        """Take the lock.

        Raises:
            OutputHeldError: a run that it excludes goes on.
            NoLocksError: no run could exclude any there.
        """
        with _gate(self._dataset):
            rivals = self._dataset.rivals()
            for rival in rivals:
                _try_lock(rival, _file_lock(rival.lock)).release()
            make_folders_below(self._dataset.state, self._dataset.home)
            _try_lock(self._dataset, self._lock)
            reached("lock-taken")
            try:
                for rival in rivals:
                    # Killed: no worker that outlives it may think that it still goes on.
                    remove_file(rival.holder)
                told = self._write_holder()
                self._lease = take_lease(self._dataset, told)
                if self._prepare:
                    self._prepare()
            except BaseException:
                # Also of a run that was killed, if this one's name could not be written.
                if self._lease:
                    self._lease.release()
                remove_file(self._dataset.holder)
                self._lock.release()
                raise
        return self

    def _write_holder(self) -> dict[str, object]:
        shard = self._dataset.shard
        holder: dict[str, object] = {
            "run_id": self._run_id,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "born": birth_of(os.getpid()),
        } | ({"shard": str(shard)} if shard else {})
        write_atomic(self._dataset.holder, json.dumps(holder).encode(), make_folders=False)
        reached("holder-written")
        return holder

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._release()

    def _release(self) -> None:
        if self._lease:
            self._lease.release()
        # A worker that outlives its run must find that the output is no longer its own. Where the
        # output was removed meanwhile, there may be another one in its place, which others hold.
        if read_holder(self._dataset).get("run_id", self._run_id) == self._run_id:
            remove_file(self._dataset.holder)
        reached("holder-removed")
        self._lock.release()


def withdraw(dataset: Dataset, made: Collection[Path]) -> None:
    """Take back what a run has made that was refused, while it holds the output or its shard.

    Of a shard what is its own; what shards share where no other has anything there.

    Args:
        made: by `make_folders`.
    """
    if dataset.shard is None:
        dataset.unmake_folders(made)  # nobody else's by now
        return
    with _gate(dataset):
        remove_tree(dataset.home)
        is_last = not dataset.shards() and stat_file(dataset.whole.ledger) is None
        if is_last and not read_holder(dataset.whole):
            # Where a sibling has made them, it has left them to us.
            rest = () if dataset.state in made else dataset.own_folders
            dataset.unmake_folders([*rest, *made])


@contextmanager
def _gate(dataset: Dataset) -> Iterator[None]:
    gate = _file_lock(dataset.gate)
    try:
        while not _pass(dataset, gate):
            # A run that was refused has taken the output back meanwhile, gate and all; a folder
            # that goes between two looks of `mkdir` is an error that says that it is there.
            make_folder(dataset.state)
    except Timeout:
        found = f"other runs have been starting there for {GATE_S} s"
        raise OutputHeldError(str(dataset.root), found, "", "try again later") from None
    try:
        yield
    finally:
        gate.release()


@contextmanager
def writing_records(dataset: Dataset) -> Iterator[None]:
    """Let nobody else write the records meanwhile: who writes last has read last.

    Raises:
        OutputHeldError: others have been at it for minutes.
    """
    if stat_file(dataset.state) is None:  # which taking the lock would bring back
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(dataset.state))
    with _waited_for(dataset, dataset.records, "its records have been written"):
        yield


@contextmanager
def putting_records(dataset: Dataset) -> Iterator[None]:
    """Let nobody else put records into the store meanwhile; errors as in `writing_records`."""
    with _waited_for(dataset, dataset.putting, "its records have been put there"):
        yield


@contextmanager
def writing_report(dataset: Dataset) -> Iterator[None]:
    """Let nobody else write the report meanwhile; errors as in `writing_records`."""
    make_folder(dataset.state)  # only images and records may have been copied
    with _waited_for(dataset, dataset.reporting, "its report has been written"):
        yield


@contextmanager
def _waited_for(dataset: Dataset, path: Path, doing: str) -> Iterator[None]:
    lock = _file_lock(path)
    try:
        _acquire(dataset, lock, GATE_S)
    except Timeout:
        found = f"{doing} for {GATE_S} s by others"
        raise OutputHeldError(str(dataset.root), found, "", "try again later") from None
    try:
        yield
    finally:
        lock.release()


def _pass(dataset: Dataset, gate: FileLock) -> bool:
    """Take the lock at the gate; return whether it is the one that others find there."""
    try:
        _acquire(dataset, gate, GATE_S)
    except (FileNotFoundError, FileExistsError):
        return False
    if stat_file(dataset.gate) is None:
        gate.release()
        return False
    return True


def _file_lock(path: Path) -> FileLock:
    # Where there are no locks, filelock would take a file's existence for one: after a kill it
    # would still be there, and the output refused for good.
    return FileLock(path, fallback_to_soft=False)


def _acquire(dataset: Dataset, lock: FileLock, timeout_s: float) -> None:
    try:
        lock.acquire(timeout=timeout_s)
    except OSError as error:  # filelock's Timeout is one as well
        if error.errno not in WITHOUT_LOCKS:
            raise
        found = f"its file system has no locks (flock: {error.strerror})"
        allowed = "stylebatch needs them, so that no two runs write at once"
        todo = (
            "mount it with locks (Lustre: -o flock; NFS: not nolock, its lock service running), "
            "or choose another output"
        )
        raise NoLocksError(str(dataset.root), found, allowed, todo) from None


def _try_lock(dataset: Dataset, lock: FileLock) -> FileLock:
    try:
        _acquire(dataset, lock, 0)
    except Timeout:
        raise _held(dataset) from None
    return lock


def _held(dataset: Dataset) -> OutputHeldError:
    holder = read_holder(dataset)
    who = "another run"
    if holder:
        who = "process {pid} on {host} (run {run_id}, since {since})".format(**holder)
    what = f", shard {dataset.shard} of it" if dataset.shard else ""
    todo = "wait until it has finished, or choose another output"
    return OutputHeldError(str(dataset.root), f"{who} is writing there{what}", "", todo)


def read_holder(dataset: Dataset) -> dict[str, object]:
    """Return who holds an output or shard: run_id, pid, host, since; {} where nobody says so."""
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
        pid = int(str(holder["pid"]))
        os.kill(pid, 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return {}  # killed: it left its name behind
    except PermissionError:
        pass  # somebody else's process is one as well
    # Numbers are given again: another process may have that one by now.
    born = holder.get("born")
    return {} if born and birth_of(pid) not in ("", born) else holder


def check_owner(dataset: Dataset, run_id: str) -> None:
    """Check that an output is still a run's own.

    Raises:
        LostOutputError: it belongs to another run, or to none.
    """
    if read_holder(dataset).get("run_id") != run_id:
        found = "this run no longer holds the output"
        raise LostOutputError(str(dataset.root), found, "", "run again")

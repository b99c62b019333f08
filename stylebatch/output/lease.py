"""Who holds an output in an object store: an object that tells of a run, which renews it.

It stands beside the lock on the state folder, which only runs of this machine know of.
"""

import errno
import json
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from stylebatch.output.errors import LostOutputError, OutputHeldError, StoreRefusedError
from stylebatch.output.json_lines import parse_mapping
from stylebatch.output.layout import Dataset
from stylebatch.output.store import LEASE_S, state_id
from stylebatch.output.stored_tree import StoredTree
from stylebatch.system import object_stores, object_writes
from stylebatch.system.files import remove_file
from stylebatch.system.log import logger
from stylebatch.system.object_stores import StoredObject
from stylebatch.system.read_ahead import is_transient

# How often it is renewed while it lasts.
_PARTS = 4


class Lease:
    """Holds a prefix while a run lasts; a thread renews it.

    When it is lost, `holder.json` in the state folder goes: that is where a run looks.
    """

    def __init__(self, tree: StoredTree, holder: Path, told: Mapping[str, Any], lease_s: float):
        """Prepare to hold it.

        Args:
            holder: `holder.json` of the state folder; the object has its key.
            told: what that says: who holds it, and since when.
        """
        self._tree, self._holder, self._lease_s = tree, holder, lease_s
        self._url = tree.url(holder)
        state = state_id(holder.parent)
        self._told = {**told, "lease_s": lease_s, "state": state}
        self._run_id = told["run_id"]
        self._ended = threading.Event()
        self._renewed_at = 0.0
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def take(self) -> None:
        """Take it, also from a run that is known to have ended, or has been silent for too long.

        Raises:
            OutputHeldError: another run goes on.
            StoreRefusedError: the store can't be written.
            LostOutputError: likewise, for the time.
        """
        try:
            self._take()
        except OSError as error:
            if is_transient(error):
                raise LostOutputError.from_os_error(error, self._holder) from error
            found = f"can't be written ({error.strerror})"
            todo = "look at the bucket's name and at the credentials in the environment"
            raise StoreRefusedError(self._tree.prefix, found, "", todo) from error
        self._renewed_at = time.monotonic()
        self._thread.start()

    def _take(self) -> None:
        # Asked for itself, as some stores know no conditions.
        is_free = self._tree.find(self._holder) is None
        try:
            if is_free:
                object_writes.put(self._url, self._encoded(), is_new=True)
        except FileExistsError:
            is_free = False
        if not is_free:
            found, told = self._look()
            if told.get("run_id") != self._run_id:
                self._take_over(found, told)
        # There may be two that found it free.
        if self._look()[1].get("run_id") != self._run_id:
            raise _held(self._tree, {}, "has just begun")

    def _take_over(self, found: StoredObject, told: Mapping[str, Any]) -> None:
        # A run with this state folder, whose lock is ours, has ended.
        is_ended = all(told.get(key) == self._told[key] for key in ("state", "host"))
        silent_s = 0.0 if is_ended else self._age_s()
        lease_s = float(told.get("lease_s", LEASE_S))
        if not is_ended and silent_s < lease_s:
            heard = f"heard of {silent_s:.0f} s ago; after {lease_s:.0f} s it is taken for dead"
            raise _held(self._tree, told, heard)
        try:
            object_writes.put(self._url, self._encoded(), replaces=found)
        except OSError as error:
            if error.errno in (errno.ESTALE, errno.ENOENT):
                raise _held(self._tree, {}, "has just begun") from error
            raise
        who = told.get("run_id")
        logger.warning("%s was held by run %s, which is gone", self._tree.prefix, who)

    def _age_s(self) -> float:
        """Return how long ago the holder was written: both by the store's clock."""
        probe = self._holder.parent / "tmp" / self._run_id / "now"
        url = self._tree.url(probe)
        object_writes.put(url, b"")
        try:
            return object_stores.changed_s(url) - object_stores.changed_s(self._url)
        finally:
            object_writes.delete([url])

    def _look(self) -> tuple[StoredObject, dict[str, Any]]:
        """Return the object and what it says, in this order: who comes between is not replaced."""
        found = object_stores.head(self._url)
        return found, parse_mapping(object_stores.read(self._url))

    def _encoded(self) -> bytes:
        return json.dumps(self._told | {"renewed": time.time()}).encode()

    def _run(self) -> None:
        while not self._ended.wait(self._lease_s / _PARTS):
            if why := self._renew():
                logger.error("%s is no longer this run's: %s", self._tree.prefix, why)
                with suppress(OSError):
                    remove_file(self._holder)
                return

    def _renew(self) -> str:
        """Renew it; return why it is lost, "" where it is not."""
        try:
            found, told = self._look()
            if told.get("run_id") != self._run_id:
                return "another run has taken it over"
            object_writes.put(self._url, self._encoded(), replaces=found)
        except FileNotFoundError:
            return "somebody has removed who holds it"
        except OSError as error:
            # Also where it is not known whether it came there.
            silent_s = time.monotonic() - self._renewed_at
            return (error.strerror or str(error)) if silent_s > self._lease_s else ""
        self._renewed_at = time.monotonic()
        return ""

    def release(self) -> None:
        """Let go of it, if it is still this run's."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        with suppress(OSError):
            if self._look()[1].get("run_id") == self._run_id:
                object_writes.delete([self._url])


def _held(tree: StoredTree, told: Mapping[str, Any], heard: str) -> OutputHeldError:
    who = "another run"
    if told.keys() >= {"pid", "host", "run_id", "since"}:
        who = "process {pid} on {host} (run {run_id}, since {since})".format(**told)
    todo = "wait until it has finished, or choose another output"
    return OutputHeldError(tree.prefix, f"{who} is writing there, {heard}", "", todo)


def check_not_elsewhere(tree: StoredTree, holder: Path) -> None:
    """Check that no run with another state holds an output.

    Raises:
        OutputHeldError: one does.
        OSError: the store can't be asked.
    """
    try:
        told = parse_mapping(tree.read(holder))
    except FileNotFoundError:
        return
    if told.get("state") != state_id(holder.parent):
        raise _held(tree, told, "from another state")


def take_lease(dataset: Dataset, told: Mapping[str, Any]) -> Lease | None:
    """Hold an output in a store, None of one in a folder; arguments and errors as of `Lease`."""
    if dataset.stored is None or dataset.store is None:
        return None
    lease = Lease(dataset.stored, dataset.holder, told, dataset.store.lease_s)
    lease.take()
    return lease


def check_lease(tree: StoredTree, holder: Path, run_id: str) -> None:
    """Check that an output in a store is still a run's own; from any machine.

    Raises:
        LostOutputError: it belongs to another run, or to none.
        OSError: the store can't be asked.
    """
    try:
        told = parse_mapping(tree.read(holder))
    except FileNotFoundError:
        told = {}
    if told.get("run_id") != run_id:
        found = "this run no longer holds the output"
        raise LostOutputError(tree.prefix, found, "", "run again")

"""Named places between two steps where a process ends itself if it is told to: for fault tests.

`STYLEBATCH_CRASH_AT=NAME@N:MARKER` ends, as by SIGKILL, the process that first comes by NAME for
the Nth time, and makes the file MARKER, so that no other process does so too.
"""

import os
import signal

ENVIRONMENT_VARIABLE = "STYLEBATCH_CRASH_AT"

CRASH_POINTS = {
    # In the run's own process, in the order in which it comes by.
    "lock-taken": "the lock is held, and nobody says by whom",
    "holder-written": "the lock names this run; what killed runs left is still there",
    "swept": "temporaries of killed runs are gone; the ledger is not open",
    "absorbing": "in the transaction in which the ledger takes a shard's, before its end",
    "absorbed": "the ledger has it; the shard's own is still there",
    "put-back": "an image has its place again from a successor that nobody told of",
    "planned": "the plan is made; nothing in the output has moved",
    "taken-back": "images that lay aside are in place, and the ledger does not know",
    "aside-removed": "they no longer lie aside as well, and the ledger has them in both places",
    "claimed": "the ledger has jobs as under way that no worker has",
    "submitted": "a worker has them",
    "events-taken": "images are in place of which the ledger does not know",
    "recording": "in the ledger's transaction, before its end",
    "recorded": "the ledger has them as done; the records don't",
    "stale-noted": "the ledger has outputs that the plan has not aside; they are in place",
    "stale-moved": "they are moved aside, and the ledger has them in both places",
    "stale-forgotten": "the ledger has them aside only",
    "annotations-noted": "the ledger has annotations as written that are not in place",
    "annotations-placed": "they are in place, and what is over is not removed",
    "metadata-written": "metadata.jsonl is new, settings.json is not",
    "settings-written": "settings.json is new, failures.jsonl is not",
    "failures-written": "failures.jsonl is new, README.md is not",
    "card-written": "all are new, and the ledger does not know",
    "records-noted": "the ledger knows; run.json is the last run's",
    "records-stored": "of an output in a store: records are there, and the state does not know",
    "summary-written": "run.json is new; the output is still held",
    "holder-removed": "nobody holds the output, but the lock is still taken",
    # In a worker.
    "admitted": "an image is in a slot",
    "optimised": "an image is finished and not encoded",
    "saved": "a half-made image is saved for the next run, and nobody has been told",
    "temporary-written": "some of an image's files are in the temporary folder",
    "group-written": "all files of a group are in the temporary folder",
    "owner-checked": "the output is this run's; nothing of the group is in place",
    "kept-aside": "what the group replaces lies aside as well",
    "file-renamed": "some of a group's files are in place",
    "group-renamed": "all are, and their folders are not synced",
    "folder-synced": "some folders are synced",
    "object-put": "of an output in a store: some of a group's objects are there",
    "folders-synced": "all are, and nobody has been told",
    "events-sent": "the run's own process has been told",
    # In either: of any file that is replaced in one step.
    "atomic-written": "the new file is beside the old one",
    "atomic-replaced": "the new file is in place, its folder not synced",
}

_asked, _, _marker = os.environ.get(ENVIRONMENT_VARIABLE, "").partition(":")
_name, _, _turn = _asked.partition("@")
_countdown = int(_turn or 1)


def reached(name: str) -> None:
    """End this process if it is to end here; else do nothing."""
    if name == _name:
        _come_by()


def _come_by() -> None:
    global _countdown
    _countdown -= 1
    if _countdown:
        return
    try:
        os.close(os.open(_marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return  # another process has ended here
    os.kill(os.getpid(), signal.SIGKILL)

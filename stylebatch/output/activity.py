"""What a run is doing now, for whoever looks from outside: a small file beside the lock."""

import json
from collections.abc import Mapping
from typing import Any

from stylebatch.output.layout import Dataset
from stylebatch.output.lock import read_holder
from stylebatch.system.files import read_bytes, remove_file, rename


def write_activity(dataset: Dataset, activity: Mapping[str, Any]) -> None:
    """Replace it in one step; after a power cut it may be gone.

    Raises:
        OSError: it can't be written; the folder is not made.
    """
    temporary = dataset.activity.with_name(f"{dataset.activity.name}.new")
    temporary.write_bytes(json.dumps(activity).encode())
    rename(temporary, dataset.activity)


def read_activity(dataset: Dataset) -> dict[str, Any] | None:
    """Return what the run says that holds an output or a shard, None where it says nothing."""
    try:
        found = json.loads(read_bytes(dataset.activity))
    except (OSError, ValueError):
        return None
    holder = read_holder(dataset)
    is_of_holder = isinstance(found, dict) and found.get("run_id") == holder.get("run_id")
    return found if is_of_holder else None


def remove_activity(dataset: Dataset) -> None:
    """Remove it when its run ends; only whoever holds the output, or the shard, may."""
    remove_file(dataset.activity)

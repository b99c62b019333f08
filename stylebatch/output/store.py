"""An object store that an output is in, and the folder on this machine that goes with it."""

import re
import secrets
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from stylebatch.errors import UserError
from stylebatch.output.json_lines import read_mapping
from stylebatch.system import files

# Beside the manifest, or where a command is called; below it a folder for each output.
STATES = ".stylebatch-state"
# A run that has been silent for so long may be taken over, from another machine too.
LEASE_S = 60.0
_NAME = "store.json"
_UNSAFE = re.compile(r"[^0-9A-Za-z_-]+")


class Store(NamedTuple):
    """Where an output is that is in no folder.

    Attributes:
        url: the prefix, without a slash at its end.
        lease_s: for how long a run that does not renew it holds the prefix.
    """

    url: str
    lease_s: float = LEASE_S

    @property
    def name(self) -> str:
        """The last part of the prefix."""
        return self.url.rpartition("/")[2]


def default_state(root: Path, url: str) -> Path:
    """Return the state folder of an output, where nothing else is said.

    Args:
        root: the manifest's folder.
    """
    name = _UNSAFE.sub("-", url.partition("://")[2]).strip("-")[:60]
    return root / STATES / f"{name}-{blake2b(url.encode(), digest_size=4).hexdigest()}"


def read_store(state: Path) -> Store | None:
    """Return of which output in a store a folder holds the state, None of a plain one.

    Args:
        state: its folder `.stylebatch`.
    """
    told = _read(state)
    return Store(str(told["url"]), float(str(told["lease_s"]))) if told else None


def state_id(state: Path) -> str:
    """Return what tells a state folder from all others, "" of a plain output."""
    return str(_read(state).get("id", ""))


def note_store(state: Path, store: Store) -> None:
    """Let a folder be the state of an output in a store; errors as of `check_state`."""
    check_state(state, store)
    told = _read(state)
    now = {"url": store.url, "lease_s": store.lease_s, "id": told.get("id") or secrets.token_hex(8)}
    if now != told:
        files.write_json_atomic(state / _NAME, now)


def check_state(state: Path, store: Store) -> None:
    """Refuse a folder as the state of an output in a store that is another's.

    Raises:
        UserError: so it is.
    """
    told = _read(state)
    if told and told["url"] != store.url:
        found = f"is the state of {told['url']}, not of {store.url}"
        raise UserError(str(state.parent), found, "", "name another folder as `run: {state: …}`")
    if not told and files.stat_file(state / "ledger.sqlite") is not None:
        found = f"is an output itself, not the state of {store.url}"
        raise UserError(str(state.parent), found, "", "name another folder as `run: {state: …}`")


def _read(state: Path) -> dict[str, object]:
    told = read_mapping(state / _NAME)
    return told if isinstance(told.get("url"), str) and "lease_s" in told else {}

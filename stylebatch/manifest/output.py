"""Where a manifest's output is: in a folder, or in an object store with its state in one."""

import os
from collections.abc import Iterable
from pathlib import Path

from stylebatch.manifest.model import Pair, RunOptions
from stylebatch.manifest.problems import Findings
from stylebatch.output.layout import STATE
from stylebatch.output.store import Store, default_state, read_store
from stylebatch.system import object_stores
from stylebatch.system.store_errors import StoreError

_AT = ("output",)


def read_output(
    written: str | None, root: Path, options: RunOptions, findings: Findings
) -> tuple[Path, Store | None]:
    """Return the folder of an output, or of its state, and the store that it is in, if any.

    Args:
        root: the manifest's folder.
    """
    if written is not None and object_stores.is_remote(written):
        store = _read_store(written, options, findings)
        if options.report:
            found = "the report is made of an output in a folder, and this one is in a store"
            todo = "leave it out, and make one of what you download: `stylebatch report`"
            findings.add(("run", "report"), found, "", todo)
        return options.state or default_state(root, store.url), store
    output = root / (written or "")
    if written is not None and os.path.exists(output) and not os.path.isdir(output):
        found = f"'{written}' is a file"
        findings.add(_AT, found, "allowed is a folder", "choose another path")
    if other := read_store(output / STATE):
        found = f"'{written}' is the state of {other.url}"
        findings.add(_AT, found, "allowed is a folder of its own", f"write {other.url}")
    return output, None


def check_apart(store: Store, pairs: Iterable[Pair], findings: Findings) -> None:
    """Refuse an output in a store that would be read as input, and input where it is made."""
    inputs = dict.fromkeys(
        path
        for pair in pairs
        for path in (
            *(pair.content, pair.masks),
            *(image for style in pair.styles for image, _ in style.images),
        )
        if object_stores.is_remote(path)
    )
    for path in inputs:
        if f"{store.url}/".startswith(f"{path}/"):
            found = f"'{store.url}' is inside '{path}', which is read: results would be read"
            findings.add(_AT, found, "allowed is a place outside of it", "choose another output")
            return
        if f"{path}/".startswith(f"{store.url}/"):
            found = f"'{path}', which is read, is inside it, where results are made"
            findings.add(_AT, found, "allowed are inputs outside of it", "choose another output")
            return


def _read_store(written: str, options: RunOptions, findings: Findings) -> Store:
    url = written.rstrip("/")
    try:
        prefix = object_stores.split_url(url)[2]
    except StoreError as error:
        findings.add(_AT, f"'{written}' {error.strerror}")
    else:
        if not prefix:
            allowed = f"allowed is a place in it, as {url}/out"
            findings.add(_AT, f"'{written}' is a whole bucket", allowed, "name a prefix")
        elif not object_stores.is_installed():
            found = f"'{written}' needs obstore, which is not installed"
            findings.add(_AT, found, "", object_stores.INSTALL)
    return Store(url, options.lease_s)

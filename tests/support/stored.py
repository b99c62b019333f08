"""Projects whose output is in an object store, and what is there of it."""

import json
import shutil
from pathlib import Path
from typing import Any

from support.runs import Ended, Small, command, contents
from support.stores import BUCKET, Store

PREFIX = "sets/one"
URL = f"s3://{BUCKET}/{PREFIX}"
# What differs between two runs of the same.
_TIMES = ("seconds",)


class Stored(Small):
    """Two photographs of two classes and two styles: four images to make, in a store."""

    def __init__(self, root: Path, store: Store, *, is_optimised: bool = False) -> None:
        """Draw it.

        Args:
            is_optimised: by a network; else only colours are transferred, which is soon done.
        """
        super().__init__(root)
        self.store = store
        for number, path in enumerate(("cats/a.png", "dogs/b.png"), 1):
            self.photo(path, number)
        for number, path in enumerate(("s.png", "t.png"), 11):
            self.style(path, number)
        if not is_optimised:
            del self.pair["steps"], self.pair["override"], self.pair["size_px"]
            self.pair["recipe"] = "color-transfer"
        self.state = root / "state"
        self.document["output"] = URL
        self.document["run"] |= {"state": "state", "lease": "4s"}

    def all_there(self) -> dict[str, bytes]:
        """Return every object below the prefix."""
        found = self.store.objects()
        return {key.removeprefix(f"{PREFIX}/"): found[key] for key in found}

    def there(self) -> dict[str, bytes]:
        """Return what is below the prefix but not below its `.stylebatch`."""
        found = self.all_there()
        return {key: data for key, data in found.items() if not key.startswith(".stylebatch/")}

    def images(self) -> dict[str, bytes]:
        found = self.there()
        return {
            key.removeprefix("images/"): data
            for key, data in found.items()
            if key.startswith("images/") and key.endswith(".png")
        }

    def aside(self) -> dict[str, bytes]:
        """Return what lies aside, by its path there without the run."""
        start = ".stylebatch/stale/"
        found = self.all_there()
        return {
            key.removeprefix(start).partition("/")[2]: data
            for key, data in found.items()
            if key.startswith(start)
        }

    def summary(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.there()["run.json"])
        return told

    def here(self, folder: str = "here") -> dict[str, bytes]:
        """Make the same in a folder, and return what is there."""
        options = self.document["run"]
        kept = {key: options.pop(key) for key in ("state", "lease")}
        self.document["output"] = folder
        assert command("run", str(self.write())).code == 0
        self.document["output"] = URL
        options |= kept
        self.write()
        found = contents(self.root / folder)
        return {path: found[path] for path in found if not path.startswith(".stylebatch/")}

    def forget(self) -> None:
        """Lose the state, as a machine that is gone does."""
        shutil.rmtree(self.state)

    def call(self, *arguments: str) -> Ended:
        """Call a command of the manifest."""
        return command(arguments[0], str(self.write()), *arguments[1:])


def rows(data: bytes) -> list[dict[str, Any]]:
    """Return the lines of a file of JSON Lines, without what no two runs have in common."""
    told = [json.loads(line) for line in data.decode().splitlines()]
    return [{key: row[key] for key in row if key not in _TIMES} for row in told]


def untimed(log: bytes) -> list[str]:
    """Return the lines of a loss log without their last column, which is a time."""
    return [line.rpartition(",")[0] for line in log.decode().splitlines()]

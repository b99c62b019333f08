"""Where a value of a pair is written: in the pair, in `defaults`, or nowhere."""

from typing import Any

from stylebatch.manifest.schema import Defaults, PairFields
from stylebatch.manifest.yaml_lines import Loc


class Written:
    """A pair over the defaults: each value, and the place where it is written."""

    def __init__(self, loc: Loc, pair: PairFields, defaults: Defaults) -> None:
        self.loc = loc
        self.levels: list[tuple[Loc, Defaults]] = [(("defaults",), defaults), (loc, pair)]

    def value(self, key: str) -> Any:
        """Return the pair's own, else the default, else None."""
        own, default = (getattr(fields, key) for _, fields in reversed(self.levels))
        return default if own is None else own

    def place(self, key: str) -> Loc:
        """Return where the value is written, or where it would be."""
        for loc, fields in reversed(self.levels):
            if getattr(fields, key) is not None:
                return (*loc, key)
        return (*self.loc, key)

    def level(self, key: str) -> int:
        """Return how near the value is written: 0 nowhere, 1 in `defaults`, 2 in the pair."""
        return max(
            (n for n, (_, each) in enumerate(self.levels, 1) if getattr(each, key) is not None),
            default=0,
        )

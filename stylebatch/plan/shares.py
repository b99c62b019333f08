"""Splits by shares: drawn by the digests of the photographs, class by class."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stylebatch.manifest import Manifest, Pair, Selection
from stylebatch.pictures import images
from stylebatch.plan.hashes import Hashes, as_shares, draw_numbers
from stylebatch.plan.inputs import InputReader, KnownFiles, ReadCount
from stylebatch.system import inputs, listing
from stylebatch.system.paths import below

_MAX_FILES_AT_ONCE = 4096
_NOTHING = np.empty(0, np.uint64)


class ShareDraw:
    """Which split each photograph is in, by the number that is drawn for its bytes."""

    def __init__(self, classes: Mapping[str, Hashes], shares: Sequence[float], seed: int) -> None:
        """Split photographs, class by class.

        A class is in the order of its numbers, which the split's shares cut into pieces; where the
        first one begins is drawn for the class, so that small ones don't all round alike. What has
        one number counts as one, in the first of its classes by name, with the weight of all.

        So a class has its shares to within one photograph, and its copies, and a photograph more
        moves at most one other across each of its cuts. Source: systematic sampling (Madow & Madow
        1944), ordered by permanent random numbers (Ohlsson 1995).

        Args:
            classes: the numbers of each class's images; copies have equal ones.
        """
        self._bounds = np.cumsum(shares)[:-1]
        names = sorted(classes)
        of_class = [classes[name] for name in names]
        numbers = np.concatenate([*of_class, _NOTHING])
        index = np.repeat(np.arange(len(names)), [len(each) for each in of_class])
        order = np.lexsort((index, numbers))
        self._numbers, first, weights = np.unique(
            numbers[order], return_index=True, return_counts=True
        )
        home = index[order][first]
        begins = as_shares(draw_numbers("class", seed, names))
        self._splits = np.empty(len(home), np.uint8 if len(shares) < 256 else np.uint32)
        # Within a class they are in the order of their numbers still: the sort keeps it.
        by_class = np.argsort(home, kind="stable")
        ends = np.cumsum(np.bincount(home, minlength=len(names)))
        for number, chosen in enumerate(np.split(by_class, ends[:-1]) if len(names) else ()):
            heavy = weights[chosen]
            places = np.cumsum(heavy) - heavy + begins[number] * heavy
            self._splits[chosen] = self._cut(places / max(1, heavy.sum()))

    def splits_of(self, numbers: Hashes) -> NDArray[np.intp]:
        """Return the index of each one's split; of one that was not drawn from, by its number."""
        found = self._cut(as_shares(numbers))
        if len(self._numbers):
            at = np.minimum(np.searchsorted(self._numbers, numbers), len(self._numbers) - 1)
            is_known = self._numbers[at] == numbers
            found[is_known] = self._splits[at[is_known]]
        return found

    def _cut(self, places: NDArray[np.float64]) -> NDArray[np.intp]:
        return np.searchsorted(self._bounds, places, side="right")


class ShareDraws:
    """The draws of a manifest: one for all pairs with the same shares.

    So a photograph that several of them have, or several folders, is in one split.
    """

    def __init__(
        self, manifest: Manifest, known: KnownFiles, count: ReadCount, tick: Callable[[], object]
    ) -> None:
        self._manifest, self._tick = manifest, tick
        self._reader = InputReader(manifest.root, known, count, tick=tick)
        self._draws: dict[tuple[object, ...], ShareDraw] = {}

    def draw_for(self, pair: Pair) -> ShareDraw:
        """Return the draw of a pair's shares; the first time all photographs are read for it."""
        key = (pair.split.names, pair.split.shares)
        if key not in self._draws:
            alike = [
                each
                for each in self._manifest.pairs
                if (each.split.names, each.split.shares) == key and each.split.kind == "shares"
            ]
            self._draws[key] = self._draw(alike, pair.split.shares)
        return self._draws[key]

    def _draw(self, pairs: Sequence[Pair], shares: Sequence[float]) -> ShareDraw:
        selections: dict[str, set[Selection]] = {}
        for pair in pairs:
            selections.setdefault(pair.content, set()).add(pair.selection)
        found: dict[str, list[Hashes]] = {}
        for content, chosen in selections.items():
            for label, numbers in self._numbers_below(pairs[0], content, chosen):
                found.setdefault(f"{content}\0{label or ''}", []).append(numbers)
        classes = {name: np.concatenate(each) for name, each in found.items()}
        return ShareDraw(classes, shares, self._manifest.seed)

    def _numbers_below(
        self, pair: Pair, content: str, selections: set[Selection]
    ) -> Iterator[tuple[str | None, Hashes]]:
        """Yield numbers with their class, of what one of some selections takes."""
        takes_all = any(selection.is_all for selection in selections)
        walk = inputs.walk_files(inputs.at(self._manifest.root, content), images.IMAGE_SUFFIXES)
        for folder, stats in walk:
            label = pair.split.label_of(folder)
            if not takes_all:
                stats = [
                    stat
                    for stat in stats
                    if any(not each.left_out_by(stat.path, label) for each in selections)
                ]
            yield label, self.numbers_of(content, folder, stats)

    def numbers_of(self, content: str, folder: str, stats: Sequence[listing.FileStat]) -> Hashes:
        """Return the number that is drawn for each of a folder's images; changed ones are read.

        Args:
            folder: below `content`.
        """
        found = [_NOTHING]
        for start in range(0, len(stats), _MAX_FILES_AT_ONCE):
            block = stats[start : start + _MAX_FILES_AT_ONCE]
            read = self._reader.files_of(below(content, folder), block)
            # What can't be opened is not all the same photograph.
            texts = (file.digest if file else f"{content}\0{stat.path}"
                     for stat, file in zip(block, read, strict=True))  # fmt: skip
            found.append(draw_numbers("share", self._manifest.seed, texts))
            self._tick()
        return np.concatenate(found)

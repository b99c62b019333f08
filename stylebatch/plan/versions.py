"""Which versions each image of a pair gets: its styles, and how many results of each."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import product

import numpy as np

from stylebatch.manifest import Pair
from stylebatch.plan.assignment import sample_styles
from stylebatch.plan.draw import Ints, Styles, draw, quotas
from stylebatch.plan.hashes import Hashes, hashes_of
from stylebatch.plan.style_table import StyleTable, Version

# Images of one class: the class (None: of none) and their paths below the content folder.
ImagesOfClass = tuple[str | None, list[str]]


class EvenDraw:
    """What the images of a pair draw: eight bytes an image, and its styles."""

    def __init__(self, seed: int, styles: Styles, images: Iterable[ImagesOfClass]) -> None:
        """Let all images draw.

        Args:
            images: all that there are; a class may come in parts.
        """
        self._prefix, self._styles = f"{seed}\0", styles
        parts: defaultdict[str, list[Hashes]] = defaultdict(list)
        for label, paths in images:
            parts[label or ""].append(hashes_of(self._prefix, paths))
        self._numbers = {label: number for number, label in enumerate(sorted(parts))}
        members = [np.sort(np.concatenate(parts[label])) for label in self._numbers]
        sizes = [len(each) for each in members]
        self._ends = np.cumsum(sizes)
        self._hashes = np.concatenate([*members, np.empty(0, dtype=np.uint64)])
        self._drawn = self._draw(seed, sizes)

    def _draw(self, seed: int, sizes: list[int]) -> Ints:
        if not len(self._hashes):
            return np.empty((0, self._styles.count), dtype=np.int64)
        quota = quotas(seed, dict(zip(self._numbers, sizes, strict=True)), self._styles)
        groups = np.repeat(np.arange(len(sizes)), sizes)
        drawn = np.sort(draw(self._hashes, groups, quota, self._styles), axis=1)
        return drawn.astype(np.int32)

    def styles_of(self, label: str | None, paths: Sequence[str]) -> list[list[int]]:
        """Return the indices of the styles of some images of a class, ascending.

        One that was not among all images, as it has come since, draws by itself.
        """
        hashes = hashes_of(self._prefix, paths)
        number = self._numbers.get(label or "")
        if number is None:
            return self._alone(hashes)
        end = int(self._ends[number])
        members = self._hashes[int(self._ends[number - 1]) if number else 0 : end]
        at = np.minimum(np.searchsorted(members, hashes), len(members) - 1)
        found: list[list[int]] = self._drawn[end - len(members) + at].tolist()
        for new in np.flatnonzero(members[at] != hashes):
            (found[new],) = self._alone(hashes[new : new + 1])
        return found

    def _alone(self, hashes: Hashes) -> list[list[int]]:
        order = np.argsort(self._styles.costs(hashes), axis=1)[:, : self._styles.count]
        alone: list[list[int]] = np.sort(order, axis=1).tolist()
        return alone


class Assigner:
    """Says of a pair's images which versions each of them gets."""

    def __init__(self, seed: int, pair: Pair, table: StyleTable | None) -> None:
        self._seed, self._assign, self._table = seed, pair.assign, table
        self._keys = [source.key for source in pair.styles]
        self._weights = [source.weight for source in pair.styles]
        self._variants = range(1, pair.variants + 1)
        self._drawn: EvenDraw | None = None

    @property
    def needs_all(self) -> bool:
        """Whether it has to be shown all images before it can tell of one."""
        is_even = self._assign.kind == "sample" and self._assign.draw == "even"
        return is_even and 0 < self._assign.count < len(self._keys) and self._drawn is None

    def show(self, images: Iterable[ImagesOfClass]) -> None:
        """Show it all images, a class in as many parts as you like."""
        styles = Styles(self._keys, self._weights, self._assign.count)
        self._drawn = EvenDraw(self._seed, styles, images)

    def versions_of(self, label: str | None, paths: list[str]) -> list[list[Version]]:
        """Return the versions of some images of a class, by style, then by variant."""
        if self._table is not None:
            return [self._table.versions_of(path, self._variants) for path in paths]
        rounds, every = self._assign.rounds, range(len(self._keys))
        if self._assign.kind == "all":
            return [list(product(every, self._variants))] * len(paths)
        drawn = self._styles_of(label, paths)
        if not rounds:
            return [list(product(styles, self._variants)) for styles in drawn]
        return [sorted(_after(rounds, every, styles)) for styles in drawn]

    def _styles_of(self, label: str | None, paths: list[str]) -> list[list[int]]:
        if self._drawn is not None:
            return self._drawn.styles_of(label, paths)
        return sample_styles(self._seed, paths, self._keys, self._assign.count)


def _after(rounds: int, every: Iterable[int], drawn: Iterable[int]) -> Iterator[Version]:
    """Yield some variants of every style, and one more of those that were drawn."""
    yield from product(every, range(1, rounds + 1))
    yield from product(drawn, [rounds + 1])

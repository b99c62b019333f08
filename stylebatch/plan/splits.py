"""A pair's images, a folder and a split at a time: filtered, split, and drawn from."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

import numpy as np

from stylebatch.manifest import Manifest, Pair
from stylebatch.pictures import images
from stylebatch.plan.hashes import Hashes, draw_numbers
from stylebatch.plan.inputs import PlanError
from stylebatch.plan.selected import Selected
from stylebatch.plan.shares import ShareDraws
from stylebatch.plan.split_lists import read_lists
from stylebatch.system import inputs, listing
from stylebatch.system.globs import unmatched
from stylebatch.system.paths import below

Stats = list[listing.FileStat]


class Part(NamedTuple):
    """Images of one folder of a pair's content that are in one split.

    Attributes:
        folder: below the content folder.
        output: the folder below the pair's `into` that their versions belong into.
        split: None where the pair has no splits.
        label: their class, None where there is none.
        is_stylised: if not, no image is made of them.
    """

    folder: str
    output: str
    split: str | None
    label: str | None
    is_stylised: bool
    stats: Stats


class PairImages:
    """Goes through one pair's content folder."""

    def __init__(
        self, manifest: Manifest, pair: Pair, draws: ShareDraws, selected: Selected
    ) -> None:
        """Read what its splits need.

        Raises:
            ListError, Problems: lists that can't be read, or contradict each other.
        """
        self.manifest, self.pair, self.seed, self.selected = manifest, pair, manifest.seed, selected
        self.where = f"{manifest.path.name}:{pair.line}: pair '{pair.name}'"
        self.root, self.draws = inputs.at(manifest.root, pair.content), draws
        self.lists = read_lists(manifest, pair) if pair.split.kind == "lists" else None
        self.unmatched = {
            "include": list(pair.selection.include),
            "exclude": list(pair.selection.exclude),
        }
        selected.split = pair.split

    def again(self) -> "PairImages":
        """Return the same, to go through it apart: what it comes across is not counted."""
        return PairImages(self.manifest, self.pair, self.draws, Selected())

    def parts(self, walked: listing.Walked) -> Iterator[Part]:
        """Yield the images by folder and split, one after another.

        Args:
            walked: takes what is no image, or can't be reached.
        """
        walk = inputs.walk_files(self.root, images.IMAGE_SUFFIXES, walked)
        parts = (part for folder, stats in walk for part in self._split(folder, stats))
        most = self.pair.selection.max_images
        for part in parts if most is None else self._drawn(parts, most):
            if part.split is not None:
                self.selected.counts[part.split] += len(part.stats)
            yield part
        self._note_unmatched()

    def check_stylised(self) -> None:
        """Refuse splits of which none that is stylised has an image, once all were seen.

        Raises:
            PlanError: that is so.
        """
        split, counts = self.pair.split, self.selected.counts
        if split.kind == "none" or any(counts[name] for name in split.stylised):
            return
        lines = "".join(f"; {line}" for line in self.selected.missing[:1])
        found = f"no image of '{self.pair.content}' is in {', '.join(split.stylised)}{lines}"
        allowed = "allowed are splits of which one that is stylised has images"
        raise PlanError(self.where, found, allowed, "correct `split:` or `stylise:`")

    def _note_unmatched(self) -> None:
        for key, globs in self.unmatched.items():
            self.selected.unmatched += [f"{key}: {glob}" for glob in globs]
        if self.lists:
            self.selected.missing = list(self.lists.missing())

    def _split(self, folder: str, stats: Stats) -> Iterator[Part]:
        """Filter and split a folder's images."""
        split = self.pair.split
        label = split.label_of(folder)
        # Before anything is left out: a line of a list names an image that is there all the same.
        listed = self.lists.splits_of(stats) if self.lists else None
        names: Iterable[str | None] = [split.folder_split(folder)] * len(stats)
        if listed is not None:
            names = listed
        if not self.pair.selection.is_all:
            kept = self._kept(stats, label)
            stats = [stats[number] for number in kept]
            names = [listed[number] for number in kept] if listed else list(names)[: len(kept)]
        if split.kind == "shares":
            draw = self.draws.draw_for(self.pair)
            numbers = self.draws.numbers_of(self.pair.content, folder, stats)
            names = [split.names[index] for index in draw.splits_of(numbers).tolist()]
        yield from self._parts_of(folder, label, stats, list(names))

    def _parts_of(
        self, folder: str, label: str | None, stats: Stats, names: list[str | None]
    ) -> Iterator[Part]:
        split = self.pair.split
        if split.kind == "none":
            if stats:
                yield Part(folder, folder, None, label, True, stats)
            return
        of_each: dict[str | None, Stats] = {}
        for name, stat in zip(names, stats, strict=True):
            of_each.setdefault(name, []).append(stat)
        if outside := of_each.pop(None, []):
            by = "list" if split.kind == "lists" else "split"
            self.selected.left_out[by] += len(outside)
        for name, own in sorted(of_each.items(), key=lambda item: split.names.index(str(item[0]))):
            output = folder if split.kind == "folders" else below(str(name), folder)
            yield Part(folder, output, name, label, split.takes(name), own)

    def _kept(self, stats: Stats, label: str | None) -> list[int]:
        """Return the numbers of the images that no filter leaves out, and count the others."""
        kept = []
        for number, stat in enumerate(stats):
            by = self.pair.selection.left_out_by(stat.path, label)
            if by is None:
                kept.append(number)
            else:
                self.selected.left_out[by] += 1
        for key, globs in self.unmatched.items():
            if globs:
                paths = (stat.path for stat in stats)
                self.unmatched[key] = list(unmatched(globs, paths))
        return kept

    def _drawn(self, parts: Iterable[Part], most: int) -> Iterator[Part]:
        """Draw so many images of each class in each split.

        After the split, so that another number moves no image from one split into another. A class
        is held at a time: its folders follow each other.
        """
        is_by_folders = self.pair.split.kind == "folders"
        classes = groupby(parts, lambda part: (part.split if is_by_folders else None, part.label))
        for _, group in classes:
            held = list(group)
            bounds = {name: self._bound(held, name, most) for name in {p.split for p in held}}
            for part in held:
                bound = bounds[part.split]
                chosen = [
                    stat
                    for stat, number in zip(part.stats, self._numbers(part), strict=True)
                    if bound is None or number <= bound
                ]
                self.selected.left_out["max_images"] += len(part.stats) - len(chosen)
                if chosen:
                    yield part._replace(stats=chosen)

    def _bound(self, held: list[Part], split: str | None, most: int) -> int | None:
        """Return the largest number that is still taken; None: all of them."""
        numbers = np.concatenate([self._numbers(part) for part in held if part.split == split])
        if len(numbers) <= most:
            return None
        return int(np.partition(numbers, most - 1)[most - 1])

    def _numbers(self, part: Part) -> Hashes:
        return draw_numbers("max_images", self.seed, (stat.path for stat in part.stats))

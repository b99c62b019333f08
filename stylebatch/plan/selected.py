"""What a pair's splits and filters have come to: counts, and lines that tell of them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from stylebatch.manifest import NO_SPLIT, Split
from stylebatch.system.words import counted

# By what an image is left out → how that is told.
_BY = {
    "list": "in no list",
    "split": "in the folder of no split",
    "include": "by include",
    "exclude": "by exclude",
    "classes": "by classes",
    "max_images": "by max_images",
}


@dataclass
class Selected:
    """What planning found of a pair's images.

    Attributes:
        counts: images of each split, stylised or not; after all filters.
        left_out: images by what leaves them out, a key of `_BY`.
        missing: lines of lists that name no image, as FILE:LINE: PATH.
        unmatched: globs that matched no image, with their key.
    """

    split: Split = NO_SPLIT
    counts: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Yield a row for each split: its name, its images, what becomes of them."""
        for name in self.split.names:
            told = "stylised" if self.split.takes(name) else "not stylised"
            yield name, f"{self.counts[name]:,}", told

    def how(self) -> str:
        """Say how a pair with splits is split, in one line."""
        by = "the content's folders" if self.split.kind == "folders" else self.split.kind
        stylised = [name for name in self.split.names if self.split.takes(name)]
        others = [name for name in self.split.names if not self.split.takes(name)]
        text = f"split by {by}: {', '.join(stylised)} stylised"
        if others:
            text += f", not {', '.join(others)}"
        return f"{text} (`split: none` takes no notice of them)" if self.split.is_found else text

    @property
    def of_stylised(self) -> str:
        """Return what tells content from all content, "" where no image is left out."""
        is_all = self.split.kind == "none" and not self.left_out.total()
        return "" if is_all else " that is stylised"

    def left(self) -> str:
        """Say how many images are left out, by what; "" if none."""
        told = (f"{count:,} {_BY[key]}" for key, count in self.left_out.items() if count)
        return ", ".join(told)

    def warnings(self) -> Iterator[str]:
        """Say what a user may not have meant."""
        if self.split.hint:
            yield self.split.hint
        if self.missing:
            first = ", ".join(self.missing[:3])
            rest = f" and {len(self.missing) - 3:,} more" if len(self.missing) > 3 else ""
            yield f"{counted(len(self.missing), 'line', 'names', 'name')} no image: {first}{rest}"
        for glob in self.unmatched:
            yield f"{glob} matches no image: globs are matched with the path below content"

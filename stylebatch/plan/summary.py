"""What planning comes across that its user may not have meant."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from stylebatch.manifest import base_name
from stylebatch.output.by_names import ByNames
from stylebatch.output.layout import IMAGES
from stylebatch.plan.inputs import ReadCount
from stylebatch.plan.selected import Selected
from stylebatch.system.listing import Walked
from stylebatch.system.paths import below
from stylebatch.system.words import counted

# About 9 GB with `balanced`, half of it L-BFGS's: an image of these many pixels on its own.
MAX_USUAL_PIXELS = 2**24
MAX_EXAMPLES = 3


def _some(examples: Sequence[str], count: int) -> str:
    """Name the first of so many, and say how many more there are."""
    rest = count - len(examples)
    return ", ".join(examples) + (f" and {rest:,} more" if rest else "")


@dataclass
class PairSummary:
    """What planning a pair came across.

    Attributes:
        content: its content folder, from the manifest's.
        originals: photographs that are carried over.
        transparent: of a few that were looked at, one whose transparency comes out on white.
        walked: what the content folder holds that is no image, or can't be reached.
        unreadable: images whose files are none, or can't be opened; the first of them by name.
        enlarged: images whose output is more than twice as large as they were worked on.
        huge: images that are worked on at a size which few memories hold, in tiles either.
        unmasked: images without a mask in a pair with masks.
        unknown_rows: rows of its table whose content isn't there, or is not stylised.
        selected: what its splits and filters have come to.
    """

    content: str = ""
    images: int = 0
    originals: int = 0
    transparent: str = ""
    unreadable: int = 0
    unreadable_examples: list[str] = field(default_factory=list)
    enlarged: int = 0
    enlarged_example: str = ""
    huge: int = 0
    huge_example: str = ""
    unmasked: int = 0
    unmasked_example: str = ""
    walked: Walked = field(default_factory=Walked)
    unknown_rows: list[str] = field(default_factory=list)
    selected: Selected = field(default_factory=Selected)

    def note_unreadable(self, path: str) -> None:
        """Count an image that can't be read."""
        self.unreadable += 1
        if len(self.unreadable_examples) < MAX_EXAMPLES:
            self.unreadable_examples.append(path)

    def warnings(self) -> Iterator[str]:
        """Say what a user may not have meant."""
        if self.unreadable:
            some = _some(self.unreadable_examples, self.unreadable)
            photographs = counted(self.unreadable, "photograph")
            they = "it fails" if self.unreadable == 1 else "they fail"
            yield f"{photographs} can't be read ({some}): {they}"
        if self.enlarged:
            photographs = counted(self.enlarged, "photograph", "comes", "come")
            yield (
                f"{photographs} out enlarged more than twice "
                f"(such as {self.enlarged_example}); raise size_px, or set output_size: work"
            )
        if self.huge:
            yield (
                f"{counted(self.huge, 'photograph', 'is', 'are')} worked on at more than "
                f"{MAX_USUAL_PIXELS / 1e6:.0f} megapixels (such as {self.huge_example}); "
                "lower size_px, or use another fit"
            )
        if self.transparent:
            yield (
                f"what is transparent (as in {self.transparent}) comes out on white: JPEG has no "
                "transparency, format: png and webp have"
            )
        if self.unmasked:
            photographs = counted(self.unmasked, "photograph", "has", "have")
            they = "it fails" if self.unmasked == 1 else "they fail"
            yield f"{photographs} no mask (such as {self.unmasked_example}): {they}"
        if self.unknown_rows:
            first = ", ".join(self.unknown_rows[:3])
            rows = counted(len(self.unknown_rows), "row", "names", "name")
            yield f"{rows} no content{self.selected.of_stylised}: {first}"
        if barren := self.walked.barren:
            folder, suffixes = next(iter(barren.items()))
            some = ", ".join(f"{count:,} × {suffix}" for suffix, count in suffixes.most_common(3))
            holding = counted(len(barren), "folder", "holds", "hold")
            yield f"{holding} no image that is read, but other files (such as {folder}: {some})"
        yield from self.selected.warnings()


@dataclass
class PlanSummary:
    """What planning came across, and what it had to read for it.

    Attributes:
        output: the name of the output's folder.
        unreadable_styles: paths of style images that can't be read.
        by_names: what a loader that goes by names makes of all images.
    """

    pairs: dict[str, PairSummary] = field(default_factory=dict)
    read: ReadCount = field(default_factory=ReadCount)
    output: str = ""
    unreadable_styles: list[str] = field(default_factory=list)
    by_names: ByNames = field(default_factory=ByNames)

    def of_pair(self, name: str, content: str = "") -> PairSummary:
        """Return what planning a pair with this content folder came across, to be filled."""
        return self.pairs.setdefault(name, PairSummary(content))

    def warnings(self) -> list[str]:
        """Say what a user may not have meant, one line each; of a sweep's points each but once."""
        lines: dict[tuple[str, str], str] = {}
        for name, pair in self.pairs.items():
            for text in pair.warnings():
                lines.setdefault((base_name(name), text), f"{name}: {text}")
        by_names = self.by_names.warnings(self.output, f"{self.output}/{IMAGES}")
        return [*lines.values(), *self._style_warnings(), *by_names]

    def _style_warnings(self) -> Iterator[str]:
        if unreadable := self.unreadable_styles:
            some = _some(unreadable[:MAX_EXAMPLES], len(unreadable))
            images = counted(len(unreadable), "style image")
            yield f"{images} can't be read ({some}): what is to be made of it fails"

    def split_rows(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield a row for each split of each pair: pair, split, images, what becomes of them."""
        for name, found in self._bases().items():
            yield from ((name, *row) for row in found.rows())

    def split_lines(self, *, is_found: bool = False) -> list[str]:
        """Say how pairs are split, one line each.

        Args:
            is_found: only those whose split was found, and not asked for.
        """
        return [
            f"{name}: {found.how()}"
            for name, found in self._bases().items()
            if found.split.kind != "none" and found.split.is_found >= is_found
        ]

    def left_out(self) -> list[str]:
        """Say how many images the pairs leave out, one line each."""
        lines = ((name, found.left()) for name, found in self._bases().items())
        return [f"{name}: left out {text}" for name, text in lines if text]

    def unreachable(self) -> dict[str, str]:
        """Return why inputs can't be reached, by path from the manifest's folder."""
        return {
            below(pair.content, path): reason
            for pair in self.pairs.values()
            for path, reason in pair.walked.unreachable.items()
        }

    def passed_over(self) -> dict[str, Counter[str]]:
        """Return how many files were passed over, by suffix, of each pair that has any."""
        found: dict[str, Counter[str]] = {}
        for name, pair in self.pairs.items():
            if pair.walked.passed_over:
                found.setdefault(base_name(name), pair.walked.passed_over)
        return found

    def _bases(self) -> dict[str, Selected]:
        """Return what was found by pair; the points of a sweep share it."""
        found: dict[str, Selected] = {}
        for name, pair in self.pairs.items():
            found.setdefault(base_name(name), pair.selected)
        return found

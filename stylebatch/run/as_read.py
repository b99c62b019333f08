"""Photographs that were read otherwise than their user may have meant: a run says so."""

from collections import Counter

from stylebatch.records import JobDone
from stylebatch.system.words import counted


class AsRead:
    """Counts the images that a run makes of 16-bit grey with fewer bits, and of first pages.

    Attributes:
        of_pages: how many are of the first of several pages or frames.
    """

    def __init__(self) -> None:
        self._of_bits: Counter[int] = Counter()
        self.of_pages = 0
        self._first: dict[int | str, str] = {}

    def tell(self, event: JobDone) -> None:
        """Take an image that is done."""
        bits = event.facts.get("levels")
        if bits is not None:
            self._of_bits[bits] += 1
            self._first.setdefault(bits, event.output)
        if "pages" in event.facts:
            self.of_pages += 1
            self._first.setdefault("pages", event.output)

    def warnings(self) -> list[str]:
        """Say it in a line for each number of bits, and one for all further pages."""
        told = [
            f"{counted(images, 'image', 'is', 'are')} of 16-bit grey in which {bits} bits are used "
            f"(such as {self._first[bits]}): these were read as {bits}; `levels` says how many, "
            "for all alike"
            for bits, images in sorted(self._of_bits.items())
        ]
        if self.of_pages:
            images = counted(self.of_pages, "image", "is", "are")
            told.append(
                f"{images} of files with several pages or frames (such as "
                f"{self._first['pages']}): the first was read; to have others too, save each as a "
                "file of its own"
            )
        return told

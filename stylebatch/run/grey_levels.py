"""Photographs of 16-bit grey in which fewer bits were found: a run says so."""

from collections import Counter

from stylebatch.records import JobDone
from stylebatch.system.words import counted


class GreyLevels:
    """Counts the images that a run makes of such photographs, by bits."""

    def __init__(self) -> None:
        self._images: Counter[int] = Counter()
        self._first: dict[int, str] = {}

    def tell(self, event: JobDone) -> None:
        """Take an image that is done."""
        bits = event.facts.get("levels")
        if bits is not None:
            self._images[bits] += 1
            self._first.setdefault(bits, event.output)

    def warnings(self) -> list[str]:
        """Say what a user may not have meant, one line for each number of bits."""
        return [
            f"{counted(images, 'image', 'is', 'are')} of 16-bit grey in which {bits} bits are used "
            f"(such as {self._first[bits]}): these were read as {bits}; `levels` says how many, "
            "for all alike"
            for bits, images in sorted(self._images.items())
        ]

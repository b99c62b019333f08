"""How fast devices are: seconds per evaluation by shape, as measured; what is left takes how long.

Times are of one device working on nothing else: with several, divide.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stylebatch.records import Group, Shape

# Of older measurements so much counts: a machine changes.
MOST_EVALUATIONS = 100_000


@dataclass(slots=True)
class Measured:
    """What one shape has taken.

    Attributes:
        evaluations: of single images.
        seconds: in which a device made them.
        images: that were finished.
        image_evaluations: of those that were finished.
    """

    evaluations: int = 0
    seconds: float = 0.0
    images: int = 0
    image_evaluations: int = 0


class Pace:
    """Measured seconds and evaluations by shape (settings, width, height) on one kind of device."""

    def __init__(self, earlier: "Pace | None" = None) -> None:
        """Begin without a measurement; what is not measured anew goes by an earlier one."""
        self._measured: dict[Shape, Measured] = {}
        self._earlier = earlier

    def add(self, shape: Shape, evaluations: int, seconds: float) -> None:
        """Take a measurement: evaluations of single images and the seconds they took a device."""
        self._of(shape).evaluations += evaluations
        self._of(shape).seconds += seconds

    def finished(self, shape: Shape, evaluations: int) -> None:
        """Take that an image is finished after so many evaluations."""
        self._of(shape).images += 1
        self._of(shape).image_evaluations += evaluations

    def _of(self, shape: Shape) -> Measured:
        return self._measured.setdefault(shape, Measured())

    def seconds_per_evaluation(self, shape: Shape) -> float | None:
        """Return seconds of a device per evaluation of one image; None if nothing was measured.

        Of a shape that was not measured: by its pixels, from the same settings, else from all.
        """
        exact = self._measured.get(shape)
        if exact and exact.evaluations:
            return exact.seconds / exact.evaluations
        if self._earlier and self._earlier.has_measured(shape):
            return self._earlier.seconds_per_evaluation(shape)
        same = {
            known: each
            for known, each in self._measured.items()
            if known.settings_id == shape.settings_id and each.evaluations
        }
        pixels = sum(
            known.width * known.height * each.evaluations
            for known, each in (same or self._measured).items()
        )
        seconds = sum(each.seconds for each in (same or self._measured).values())
        if pixels:
            return shape.width * shape.height * seconds / pixels
        return self._earlier.seconds_per_evaluation(shape) if self._earlier else None

    def has_measured(self, shape: Shape) -> bool:
        """Whether a shape was measured itself."""
        found = self._measured.get(shape)
        return bool(found and found.evaluations)

    def evaluations_per_image(self, settings_id: str, most: int) -> float:
        """Return how many evaluations an image takes: `most` while none is finished."""
        same = [each for shape, each in self._all().items() if shape.settings_id == settings_id]
        images = sum(each.images for each in same)
        return sum(each.image_evaluations for each in same) / images if images else most

    def seconds_of(self, groups: Iterable[Group], most: Mapping[str, int]) -> float | None:
        """Return how long one device takes for groups of images; None if nothing was measured.

        Args:
            most: evaluations of an image at most, by settings.
        """
        total = 0.0
        for group in groups:
            each = self.seconds_per_evaluation(group.shape)
            if each is None:
                return None
            evaluations = self.evaluations_per_image(group.settings_id, most[group.settings_id])
            total += group.num_jobs * evaluations * each
        return total

    def _all(self) -> dict[Shape, Measured]:
        """Return what was measured, earlier measurements included."""
        found = dict(self._earlier._all()) if self._earlier else {}
        for shape, now in self._measured.items():
            before = found.get(shape, Measured())
            found[shape] = Measured(
                before.evaluations + now.evaluations,
                before.seconds + now.seconds,
                before.images + now.images,
                before.image_evaluations + now.image_evaluations,
            )
        return found

    def to_json(self) -> list[list[Any]]:
        """Return what `from_json` takes."""
        return [
            [*shape, each.evaluations, round(each.seconds, 3), each.images, each.image_evaluations]
            for shape, each in sorted(self._all().items())
        ]

    @classmethod
    def from_json(cls, rows: Iterable[Iterable[Any]]) -> "Pace":
        """Make one from `to_json`; older measurements count for less, but keep their ratios."""
        pace = cls()
        for settings_id, width, height, evaluations, seconds, images, image_evaluations in rows:
            share = min(1.0, MOST_EVALUATIONS / max(1, evaluations))
            pace._measured[Shape(settings_id, width, height)] = Measured(
                round(evaluations * share),
                seconds * share,
                round(images * share),
                round(image_evaluations * share),
            )
        return pace

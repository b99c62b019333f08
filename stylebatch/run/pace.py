"""How fast devices are: seconds per evaluation by shape, as measured; what is left takes how long.

Times are of one device working on nothing else: with several, divide.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stylebatch.records import Group, Shape

# Of older measurements so much counts: a machine changes.
MOST_EVALUATIONS = 100_000
# More than that other shapes' measurements say of themselves only.
MOST_DRIFT = 2.0


@dataclass(frozen=True, slots=True)
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

    def plus(self, more: "Measured") -> "Measured":
        """Return both together."""
        return Measured(
            self.evaluations + more.evaluations,
            self.seconds + more.seconds,
            self.images + more.images,
            self.image_evaluations + more.image_evaluations,
        )


@dataclass(slots=True)
class _Sum:
    """What several shapes have taken: kept, as there may be thousands of them.

    Attributes:
        pixels: of each evaluation's image.
        seconds, images, image_evaluations: as in `Measured`.
    """

    pixels: int = 0
    seconds: float = 0.0
    images: int = 0
    image_evaluations: int = 0

    def add(self, shape: Shape, more: Measured) -> None:
        self.pixels += shape.width * shape.height * more.evaluations
        self.seconds += more.seconds
        self.images += more.images
        self.image_evaluations += more.image_evaluations


class Pace:
    """Measured seconds and evaluations by shape (settings, width, height) on one kind of device."""

    def __init__(self, earlier: "Pace | None" = None) -> None:
        """Begin without a measurement; what is not measured anew goes by an earlier one."""
        self._measured: dict[Shape, Measured] = {}
        self._by_settings: dict[str, _Sum] = {}
        self._total = _Sum()
        self._earlier = earlier
        # Of shapes that were measured earlier too: seconds now, and those of then.
        self._now_s, self._then_s = 0.0, 0.0

    def add(self, shape: Shape, evaluations: int, seconds: float) -> None:
        """Take a measurement: evaluations of single images and the seconds they took a device."""
        self._take(shape, Measured(evaluations, seconds))
        if self._earlier and self._earlier.has_measured(shape):
            self._now_s += seconds
            self._then_s += evaluations * (self._earlier.seconds_per_evaluation(shape) or 0.0)

    def take_back(self, shape: Shape, evaluations: int, seconds: float) -> None:
        """Forget a measurement that was added and says too little."""
        self.add(shape, -evaluations, -seconds)

    def finished(self, shape: Shape, evaluations: int) -> None:
        """Take that an image is finished after so many evaluations."""
        self._take(shape, Measured(images=1, image_evaluations=evaluations))

    def _take(self, shape: Shape, more: Measured) -> None:
        self._measured[shape] = self._measured.get(shape, Measured()).plus(more)
        for each in (self._total, self._by_settings.setdefault(shape.settings_id, _Sum())):
            each.add(shape, more)

    def seconds_per_evaluation(self, shape: Shape) -> float | None:
        """Return seconds of a device per evaluation of one image; None if nothing was measured.

        Of a shape that was not measured: by its pixels, from the same settings, else from all.
        """
        exact = self._measured.get(shape)
        if exact and exact.evaluations:
            return exact.seconds / exact.evaluations
        if self._earlier and self._earlier.has_measured(shape):
            # A machine may be slower today, or have other work beside.
            drift = self._now_s / self._then_s if self._then_s > 0 else 1.0
            drift = min(MOST_DRIFT, max(1 / MOST_DRIFT, drift))
            return drift * (self._earlier.seconds_per_evaluation(shape) or 0.0)
        same = self._by_settings.get(shape.settings_id)
        known = same if same and same.pixels else self._total
        if known.pixels:
            return shape.width * shape.height * known.seconds / known.pixels
        return self._earlier.seconds_per_evaluation(shape) if self._earlier else None

    def knows(self, settings_id: str) -> bool:
        """Whether any shape of some settings was measured, now or earlier."""
        same = self._by_settings.get(settings_id)
        is_known = bool(same and same.pixels)
        return is_known or bool(self._earlier and self._earlier.knows(settings_id))

    def has_measured(self, shape: Shape) -> bool:
        """Whether a shape was measured itself."""
        found = self._measured.get(shape)
        return bool(found and found.evaluations)

    def evaluations_per_image(self, settings_id: str, most: int) -> float:
        """Return how many evaluations an image takes: `most` while none is finished."""
        images, evaluations = self._ended(settings_id)
        return evaluations / images if images else most

    def _ended(self, settings_id: str) -> tuple[int, int]:
        """Return the images that were finished and their evaluations, earlier ones included."""
        images, evaluations = self._earlier._ended(settings_id) if self._earlier else (0, 0)
        now = self._by_settings.get(settings_id, _Sum())
        return images + now.images, evaluations + now.image_evaluations

    def ended(self, settings_id: str) -> tuple[int, float]:
        """Return how many images were finished, earlier ones included, and their mean."""
        images, evaluations = self._ended(settings_id)
        return images, evaluations / images if images else 0.0

    def seconds_of(self, groups: Iterable[Group], evaluations: Mapping[str, float]) -> float | None:
        """Return how long one device takes for groups of images; None if nothing was measured.

        Args:
            evaluations: of an image, by settings.
        """
        total = 0.0
        for group in groups:
            each = self.seconds_per_evaluation(group.shape)
            if each is None:
                return None
            total += group.num_jobs * evaluations[group.settings_id] * each
        return total

    def _all(self) -> dict[Shape, Measured]:
        """Return what was measured, earlier measurements included."""
        found = dict(self._earlier._all()) if self._earlier else {}
        for shape, now in self._measured.items():
            found[shape] = found.get(shape, Measured()).plus(now)
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
            before = Measured(
                round(evaluations * share),
                seconds * share,
                round(images * share),
                round(image_evaluations * share),
            )
            pace._take(Shape(settings_id, width, height), before)
        return pace


def read_paces(known: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Pace]:
    """Return what a ledger knows of paces, by kind of device.

    What is known only of workers with another share of the cores is taken for these: that is
    nearer than nothing, and the first measurements put it right.

    Args:
        known: `Pace.to_json` by `WorkerSpec.pace_key`.
        keys: of this run, by kind. What else is known is kept under its own name.
    """
    names = {key: key for key in known}
    for kind, key in keys.items():
        others = [each for each in known if each.partition("/")[0] == kind]
        names[kind] = key if key in known or not others else others[0]
    return {kind: Pace.from_json(known[key]) for kind, key in names.items() if key in known}

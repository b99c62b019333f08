"""What a probe has measured of a run's jobs."""

from dataclasses import dataclass

from stylebatch.records import Shape


@dataclass(frozen=True, slots=True)
class Probed:
    """What was measured of one shape.

    Attributes:
        fast_s, slow_s: that a device takes for an evaluation of one image, levels included: a
            quarter of those that were measured were faster, a quarter slower.
        file_s: for reading, finishing and encoding one image.
    """

    shape: Shape
    fast_s: float
    slow_s: float
    file_s: float


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of a probe.

    Attributes:
        ready_s: until the first image was in its slot.
        trouble: why a shape could not be measured, of the last that could not.
    """

    shapes: list[Probed]
    ready_s: float
    trouble: str

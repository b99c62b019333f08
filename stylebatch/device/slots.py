"""How many images a device optimises at once: as memory has it, and half where it did not."""

from collections.abc import Mapping

from stylebatch.device.device import Device
from stylebatch.recipes import Settings
from stylebatch.records import Kind, num_slots


class Slots:
    """Counts slots by kind of image, and remembers where memory did not suffice for more."""

    def __init__(
        self,
        device: Device,
        pixel_budget: int | None = None,
        known: Mapping[Kind, int] | None = None,
    ) -> None:
        """Begin with what is known.

        Args:
            pixel_budget: pixels optimised at once; None: what suits the device.
            known: how many images of a kind its memory has sufficed for, and not for more.
        """
        self._device, self._pixel_budget = device, pixel_budget
        self._known = dict(known or {})

    def count(self, settings: Settings, kind: Kind) -> int:
        """Return how many images of a kind, which has these settings, to optimise at once."""
        if (known := self._known.get(kind)) is not None:
            return known
        (_, width, height), is_masked = kind
        budget = self._pixel_budget or self._device.pixel_budget_of(
            settings, width, height, is_masked=is_masked
        )
        return num_slots(width, height, budget)

    def halve(self, kind: Kind, slots: int) -> int:
        """Return half as many slots as were too many, for now and later; 0 where one was.

        By then the engine must be forgotten: what it held is given back to the system.
        """
        self._device.free_memory()
        half = slots // 2
        if half:
            self._known[kind] = half
        return half

"""How many images a device optimises at once: as memory has it, and half where it did not.

Where not even one fits as a whole it is evaluated in tiles, and in smaller ones.
"""

from collections.abc import Mapping
from typing import NamedTuple

from stylebatch.device.device import Device
from stylebatch.recipes import Settings
from stylebatch.records import Kind, num_slots
from stylebatch.system.words import counted


class Room(NamedTuple):
    """What is tried next where memory did not suffice.

    Attributes:
        slots: images at once; 0: not even one fits.
        tile_px: edge of the tiles that they are now evaluated in; 0: as before.
    """

    slots: int
    tile_px: int = 0

    def __str__(self) -> str:
        in_tiles = f", in tiles of {self.tile_px} px" if self.tile_px else ""
        return f"{counted(self.slots, 'image')} at once{in_tiles}"


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

    def halve(self, settings: Settings, kind: Kind, slots: int) -> Room:
        """Return half as many slots as were too many, for now and later; of one, smaller tiles.

        By then the engine must be forgotten: what it held is given back to the system.
        """
        self._device.free_memory()
        room = Room(slots // 2)
        if not room.slots:
            (_, width, height), _ = kind
            tile_px = self._device.shrink_tiles(settings, width, height)
            room = Room(1 if tile_px else 0, tile_px)
        if room.slots:
            self._known[kind] = room.slots
        return room

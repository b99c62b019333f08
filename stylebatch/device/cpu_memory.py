"""What images take of memory on a CPU: how many are optimised at once, and what a worker needs."""

import sys

from stylebatch.transfer.tiles import WHOLE_PIXELS

# Images of these many pixels together are optimised at once. On a CPU larger batches gain nothing
# and only use memory (about 2 KB per pixel to conv3_3): benchmarks/speed/throughput.py.
CPU_PIXEL_BUDGET = 2**16
# Of the memory that is free: the rest is for files, photographs that are decoded, and others.
MEMORY_SHARE = 0.7
# torch with what it loads; for each pixel of a batch, or of one image that is taken as a whole; and
# for each beyond those, which come in tiles: what L-BFGS keeps of it. Rounded up from what
# `benchmarks.speed.memory --workers` prints.
_WORKER_BYTES, _PIXEL_BYTES, _TILED_PIXEL_BYTES = 600_000_000, 2_600, 600


def worker_bytes(most_pixels: int) -> int:
    """Return about how many bytes a worker that keeps what it frees takes at its peak.

    VGG-19 to conv3_3; one that gives it back takes up to a third less.

    Args:
        most_pixels: of the largest of its images.
    """
    whole = min(max(most_pixels, CPU_PIXEL_BUDGET), WHOLE_PIXELS)
    tiled = max(0, most_pixels - WHOLE_PIXELS)
    return _WORKER_BYTES + _PIXEL_BYTES * whole + _TILED_PIXEL_BYTES * tiled


def count_room(most_pixels: int, free: int | None) -> int:
    """Return how many such workers so many free bytes have room for, beside what else comes.

    Args:
        most_pixels: of the largest of their images.
        free: None where nothing tells; then there is room for any number.
    """
    if free is None:
        return sys.maxsize
    return int(MEMORY_SHARE * free) // worker_bytes(most_pixels)

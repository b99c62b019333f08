"""What an eye minds and no loss tells: coloured speckle, and a frame inside the border."""

import numpy as np

from stylebatch.pictures.images import Pixels
from stylebatch.pictures.scores import fine_chroma

# Distances from the border, px: where a frame would be, and what it is compared with.
OUTER, INNER = slice(0, 8), slice(16, 40)


def chroma_ratio(result: Pixels, style: Pixels) -> float:
    """Return the chroma energy of a result's finest Laplacian band over that of its style: chr.

    Above 1 a result has more coloured speckle than the painting has at the size at which it is
    looked at.

    Args:
        result, style: (H, W, 3) in 8 bits.
    """
    return fine_chroma(result) / max(fine_chroma(style), 1e-12)


def line_ratio(result: Pixels) -> float:
    """Return how much lines along the border stand out: line, about 1 or less without a frame.

    The mean colour of all pixels at a distance from the border, less that of its two neighbours;
    the energy of this at 0 to 7 px over that at 16 to 39 px, or as far in as there are any: at
    least the innermost.
    """
    image = result.astype(float) / 255
    rows, columns = (np.minimum(range(n), range(n)[::-1]) for n in image.shape[:2])
    distance = np.minimum(rows[:, None], columns[None])
    every = range(int(distance.max()) + 1)
    profile = np.stack([image[distance == each].mean(0) for each in every])
    padded = np.pad(profile, [(1, 1), (0, 0)], mode="edge")
    energy = np.square(profile - (padded[:-2] + padded[2:]) / 2).mean(1)
    inner = energy[min(INNER.start, len(energy) - 1) : INNER.stop]
    return float(energy[OUTER].mean() / max(inner.mean(), 1e-12))

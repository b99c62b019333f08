"""Styles that each image draws by itself: `draw: hash`, the only draw until November 2026."""

from collections.abc import Sequence

import numpy as np

from stylebatch.plan.hashes import hashes_of, mix

_MAX_SCORES = 1 << 18


def sample_styles(
    seed: int, paths: Sequence[str], styles: Sequence[str], count: int
) -> list[list[int]]:
    """Give each image `count` distinct styles, as indices into `styles`, ascending.

    Each image ranks all styles by a hash of the pair and takes the first ones. So what an image
    draws depends on no other image, and a style more or less changes only who draws it.

    Args:
        paths: of the content, POSIX, below the content folder.
        styles: keys of the style entries.

    Source: Thaler & Ravishankar 1998, "Using name-based mappings to increase
    hit rates" (rendezvous hashing); the mixing is SplitMix64's (Steele, Lea & Flood 2014).
    """
    if count >= len(styles):
        return [list(range(len(styles)))] * len(paths)
    if count <= 0:
        return [[]] * len(paths)
    style_hashes = hashes_of("", styles)
    rows = max(1, _MAX_SCORES // len(styles))
    drawn: list[list[int]] = []
    for start in range(0, len(paths), rows):
        content_hashes = hashes_of(f"{seed}\0", paths[start : start + rows])
        scores = mix(content_hashes[:, None] ^ style_hashes[None, :])
        chosen = np.argpartition(scores, -count, axis=1)[:, -count:]
        drawn.extend(np.sort(chosen, axis=1).tolist())
    return drawn

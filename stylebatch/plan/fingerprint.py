"""Fingerprints: a hash of everything that decides a job's pixels; and what is drawn for a job."""

import json
from hashlib import blake2b
from typing import Any

from stylebatch.pictures.formats import PNG
from stylebatch.recipes import Settings
from stylebatch.system.files import DIGEST_BYTES

# Raised whenever the same inputs give other pixels than before: every image is then made again.
ALGORITHM = 3
# The same of photographs that are carried over, and of colour transfers.
ORIGINALS = 1
COLOR_TRANSFER = 1

_SIGNIFICANT_DIGITS = 6


def fingerprint_prefix(settings: Settings, style_digest: str) -> blake2b:
    """Return the hash's state after all that the jobs of one style and settings share."""
    shared: dict[str, Any] = {
        "algorithm": ALGORITHM if settings.recipe.needs_network else ["color", COLOR_TRANSFER],
        "recipe": settings.recipe.deciding_fields(),
        "layers": settings.layers_digest,
        "precision": settings.precision,
        "style": style_digest,
    }
    if settings.file_format != PNG:  # which was the only one, when sets had been made already
        shared["format"] = settings.file_format.described()
    if settings.levels != "auto":
        shared["levels"] = settings.levels
    text = json.dumps(shared, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=DIGEST_BYTES)


def fingerprint(
    prefix: blake2b,
    content_digest: str,
    strength: float,
    noise_seed: int | None,
    mask_digest: str = "",
) -> str:
    """Return a job's fingerprint in hex; `prefix` is left as it is."""
    state = prefix.copy()
    state.update(f"\n{content_digest}\n{strength!r}\n{noise_seed}\n{mask_digest}".encode())
    return state.hexdigest()


def original_fingerprint(
    settings: Settings, content_digest: str, size: tuple[int, int], file_size: tuple[int, int]
) -> str:
    """Return the fingerprint of a photograph that is carried over.

    Args:
        size, file_size: (width, height), its own upright and that of its file. Only where they
            differ does it matter how one becomes the other.
    """
    deciding: dict[str, Any] = {"original": ORIGINALS, "how": settings.carries}
    if settings.carries == "copy":
        deciding["format"] = settings.file_format.described()
        if settings.levels != "auto":
            deciding["levels"] = settings.levels
        if size != file_size:
            recipe = settings.recipe
            names = {"output_size", "output_resampling", "fit", "resampling"}
            deciding["size"] = file_size
            deciding["recipe"] = recipe.model_dump(mode="json", include=names)
    text = json.dumps([deciding, content_digest], sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()


def draw_share(seed: int, path: str) -> float:
    """Draw what tells whether a photograph is carried over, from 0 to below 1.

    The same whatever the share: a larger one has all that a smaller one has.

    Args:
        path: of the content, POSIX, below its content folder.
    """
    return (_draw("original", seed, path, "", 0) >> 11) / 2**53


def draw_strength(
    bounds: tuple[float, float], seed: int, path: str, style: str, variant: int
) -> float:
    """Draw a strength evenly between two bounds, to six digits; equal bounds draw nothing.

    Args:
        path: of the content, POSIX, below its content folder.
        style: key of the style entry.
    """
    low, high = bounds
    if low == high:
        return low
    share = (_draw("strength", seed, path, style, variant) >> 11) / 2**53
    return min(high, max(low, float(f"{low + (high - low) * share:.{_SIGNIFICANT_DIGITS}g}")))


def draw_noise_seed(seed: int, path: str, style: str, variant: int) -> int:
    """Draw the 63-bit seed of an image's noise; arguments as in `draw_strength`."""
    return _draw("noise", seed, path, style, variant) >> 1


def _draw(purpose: str, seed: int, path: str, style: str, variant: int) -> int:
    text = f"{purpose}\0{seed}\0{path}\0{style}\0{variant}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")

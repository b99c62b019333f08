"""A job's content image: read, checked against the plan, and brought to its work size."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from stylebatch.device.canvas import Canvas, make_canvas
from stylebatch.device.planned_file import read_planned
from stylebatch.errors import UserError
from stylebatch.pictures.formats import FileFormat
from stylebatch.pictures.images import Picture, Pixels, decode
from stylebatch.pictures.levels import Levels
from stylebatch.pictures.masks import read_mask
from stylebatch.pictures.sizes import fit_pixels
from stylebatch.recipes import Recipe, Settings
from stylebatch.records import Job


class ContentError(UserError):
    """A content image or mask that can't be read, or is no longer what was planned with."""


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """A content image at work size, with what its output needs.

    Attributes:
        pixels: (h, w, 3).
        mask: (h, w), 255 where the style applies; None where it does everywhere.
        told: as of its `Picture`.
    """

    pixels: Pixels
    mask: Pixels | None
    canvas: Canvas
    told: Mapping[str, int] = field(default_factory=dict)


def read_content(root: Path, job: Job, settings: Settings) -> Content:
    """Read a job's content and mask; their paths start at `root`.

    Raises:
        ContentError: a file that is missing, has changed since planning, or does not fit.
        ImageError: no image that can be read.
    """
    picture, mask = read_picture(root, job, settings.levels)
    return make_content(settings.recipe, picture, mask, job.width, job.height)


def read_picture(root: Path, job: Job, levels: Levels) -> tuple[Picture, Pixels | None]:
    """Read a job's content and mask, at their own size; errors as in `read_content`."""
    data = read_planned(root, job.content, job.content_digest, "image", ContentError)
    picture = decode(data, job.content, levels)
    return picture, _read_mask(root, job, picture.rgb) if job.mask else None


def make_content(
    recipe: Recipe, picture: Picture, mask: Pixels | None, width: int, height: int
) -> Content:
    """Bring an upright image and its mask (H, W) to a work size."""
    fit = partial(
        fit_pixels, width=width, height=height, fit=recipe.fit, resampling=recipe.resampling
    )
    canvas = make_canvas(recipe, picture.rgb, picture.alpha, mask, width, height)
    fitted = None if mask is None else fit(mask)
    return Content(fit(picture.rgb), fitted, canvas, picture.told)


def check_edges(canvas: Canvas, file_format: FileFormat, where: str) -> None:
    """Refuse an image whose file would be larger than its format can hold.

    Raises:
        ContentError: with that format's limit.
    """
    if max(canvas.width, canvas.height) > file_format.max_edge_px:
        found = f"its file would have {canvas.width}×{canvas.height} px"
        allowed = f"{file_format.name} has at most {file_format.max_edge_px:,} px an edge"
        raise ContentError(where, found, allowed, "use `format: png`, or lower output_size")


def _read_mask(root: Path, job: Job, content: Pixels) -> Pixels:
    if not job.mask_digest:
        raise _no_mask(job)
    return decode_mask(
        read_planned(root, job.mask, job.mask_digest, "mask", ContentError), job.mask, content
    )


def decode_mask(data: bytes, where: str, content: Pixels) -> Pixels:
    """Decode a mask of a content image: (H, W), 255 where the style applies; see `read_mask`.

    Args:
        where: the mask's name, for the message.
        content: (H, W, 3), the image at its own upright size.

    Raises:
        ContentError: of another size than the content.
        ImageError: no image that can be read, or that doesn't tell what is to be stylised.
    """
    mask = read_mask(data, where)
    if mask.shape != content.shape[:2]:
        found = f"is {mask.shape[1]}×{mask.shape[0]} px, its image is not"
        allowed = f"allowed is its {content.shape[1]}×{content.shape[0]} px"
        raise ContentError(where, found, allowed, "make the mask at the image's own size")
    return mask


def _no_mask(job: Job) -> ContentError:
    # Of two with one stem the plan names both.
    if " and " in job.mask:
        return ContentError(job.content, f"has two masks: {job.mask}", "", "remove one of them")
    todo = "add it (white: stylise, black: keep), or leave `masks` out of the pair"
    return ContentError(job.content, f"has no mask: no image {job.mask}", "", todo)

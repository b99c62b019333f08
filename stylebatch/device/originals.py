"""Photographs as they go beside what is made of them: copied at the same size, or linked."""

from dataclasses import dataclass
from pathlib import Path

from stylebatch.device.canvas import make_canvas
from stylebatch.device.content import ContentError, check_edges
from stylebatch.device.planned_file import read_planned
from stylebatch.pictures.formats import Provenance, encode
from stylebatch.pictures.images import decode, is_upright
from stylebatch.recipes import Settings
from stylebatch.records import Job
from stylebatch.system.paths import on_disk

# What torchvision's `ImageFolder` takes for images; what Hugging Face's does has all of these.
LOADED_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
_COPY = "write `originals: copy`"


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """A photograph on its way into an output.

    Attributes:
        data: the bytes of its file.
        source: the file that gets a second name; None: `data` is written.
    """

    data: bytes
    source: Path | None = None


def carry_over(
    root: Path, job: Job, settings: Settings, provenance: Provenance | None = None
) -> Carried:
    """Read a photograph (its path starts at `root`) and bring it to its output's size and format.

    Raises:
        ContentError: a file that is missing, has changed since planning, or can't be linked as it
            is.
        ImageError: no image that can be read.
    """
    data = read_planned(root, job.content, job.content_digest, "image", ContentError)
    if settings.carries == "link":
        _check_link(data, job.content)
        # Of a link the file that it leads to: where that is lies outside of the output.
        return Carried(data, on_disk(root / job.content).resolve())
    picture = decode(data, job.content, settings.levels)
    height, width = picture.rgb.shape[:2]
    work, recipe = settings.work_size(width, height), settings.recipe
    canvas = make_canvas(recipe, picture.rgb, picture.alpha, None, *work, keeps_content=True)
    check_edges(canvas, settings.file_format, job.content)
    assert canvas.content is not None
    return Carried(encode(canvas.content, canvas.alpha, settings.file_format, provenance))


def _check_link(data: bytes, where: str) -> None:
    suffix = Path(where).suffix.lower()
    if suffix not in LOADED_SUFFIXES:
        allowed = f"linked are {', '.join(LOADED_SUFFIXES)}"
        raise ContentError(where, f"loaders pass over {suffix}", allowed, _COPY)
    if not is_upright(data, where):
        found = "is turned by its EXIF orientation, which loaders pass over"
        raise ContentError(where, found, "linked are upright images", _COPY)

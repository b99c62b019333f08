"""Colour transfers of jobs: content and style read, statistics of a style made once; no torch."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

from stylebatch.device.canvas import Canvas, make_canvas
from stylebatch.device.content import check_edges, read_picture
from stylebatch.device.style_images import StyleImages
from stylebatch.library.shelf import is_of_library
from stylebatch.pictures.color_transfer import ColorStatistics, color_statistics, transfer_colors
from stylebatch.pictures.images import Picture, Pixels
from stylebatch.recipes import Recipe, Settings
from stylebatch.records import Job, Style, StyleImage


@dataclass(frozen=True, slots=True, eq=False)
class Recolored:
    """A photograph with the colours of its style.

    Attributes:
        pixels: (height, width, 3), as large as the canvas.
        beside: the style image, where a picture of content, result and style is wanted.
        seconds: that the transfer took, without reading anything.
        told: as of the photograph's `Picture`.
    """

    pixels: Pixels
    canvas: Canvas
    beside: Pixels | None
    seconds: float
    told: Mapping[str, int] = field(default_factory=dict)


class ColorTransfer:
    """Transfers colours in any thread; what it knows of a style stays: a few numbers."""

    def __init__(self, images: StyleImages) -> None:
        self._images = images
        self._lock = Lock()
        self._known: dict[tuple[str, str], ColorStatistics] = {}

    def of_job(self, root: Path, job: Job, settings: Settings, style: Style) -> Recolored:
        """Read a job's content, whose path starts at `root`, and give it its style's colours.

        Raises:
            ContentError, StyleError: a file that is missing, has changed since planning, does not
                fit, or comes out larger than its format can hold.
            ImageError: no image that can be read.
        """
        picture, mask = read_picture(root, job, settings.levels)
        work = (job.width, job.height)
        made = self.of_picture(settings.recipe, picture, mask, work, style, job.strength)
        check_edges(made.canvas, settings.file_format, job.content)
        return made

    def of_picture(
        self,
        recipe: Recipe,
        picture: Picture,
        mask: Pixels | None,
        work: tuple[int, int],
        style: Style,
        strength: float,
    ) -> Recolored:
        """Give an upright image a style's colours, at the size of its file.

        Args:
            mask: (H, W), 255 where the result shows; None where it does everywhere.
            work: (width, height), which its file has where the recipe says so.

        Raises:
            StyleError, ImageError: as `StyleImages.read`.
        """
        canvas = make_canvas(recipe, picture.rgb, picture.alpha, mask, *work, keeps_content=True)
        assert canvas.content is not None
        assert recipe.color_transfer is not None
        method = recipe.color_transfer
        styles = [(self._statistics(image, method), image.weight) for image in style.images]
        began = time.perf_counter()
        pixels = transfer_colors(canvas.content, styles, method, strength)
        seconds = time.perf_counter() - began
        beside = self._images.read(style.images[0]).pixels if recipe.side_by_side else None
        # What it is cut from was cut before.
        whole = replace(canvas, covering=None)
        return Recolored(pixels, whole, beside, seconds, picture.told)

    def _statistics(self, image: StyleImage, method: str) -> ColorStatistics:
        key = (image.digest, method)
        if key not in self._known:
            # Whoever needs the same meanwhile waits for it, and does not make it again.
            with self._lock:
                if key not in self._known:
                    self._known[key] = self._find_statistics(image, method)
        return self._known[key]

    def _find_statistics(self, image: StyleImage, method: str) -> ColorStatistics:
        if is_of_library(image.path):
            file = self._images.open(image)
            # Where the image is there, it is asked: that needs no trust.
            if not file.told.has_image and (known := file.colors(method)) is not None:
                return known
        return color_statistics(self._images.read(image).counted, method)

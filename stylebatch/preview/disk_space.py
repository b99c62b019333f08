"""How much room the images of a run will take, by that of others."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from stylebatch.ledger import MadeImage
from stylebatch.output.layout import Dataset
from stylebatch.recipes import Recipe, Settings
from stylebatch.records import Group, Shape
from stylebatch.system import files

# A line of the metadata (530 where paths are short), and what the ledger has of it (550).
RECORD_BYTES = 1200
BLOCK_BYTES = 4096


class DiskSpace:
    """Bytes of images by their pixels, and of loss logs: as images were that are known."""

    def __init__(self, settings: Mapping[str, Settings]) -> None:
        """Know nothing yet of any settings, which are given by id."""
        self._settings = settings
        # Pixels of files, and their bytes.
        self._images: dict[Shape, tuple[int, float]] = {}
        self._logs: list[float] = []

    def take_made(self, dataset: Dataset, made: Iterable[MadeImage]) -> None:
        """Take the sizes of images that are done."""
        for each in made:
            if (settings := self._settings.get(each.settings_id)) is None:
                continue
            content = (each.content_width, each.content_height)
            shape = Shape(each.settings_id, *settings.work_size(*content))
            log = files.stat_file(dataset.log_path(each.output))
            pixels = self._pixels(shape, content[0] * content[1])
            self.take(shape, pixels, each.size, log[0] if log else 0)

    def take(self, shape: Shape, pixels: float, image_bytes: float, log_bytes: float) -> None:
        """Take the sizes of one image, of so many pixels, and of its loss log."""
        known = self._images.get(shape, (0, 0.0))
        self._images[shape] = (round(known[0] + pixels), known[1] + image_bytes)
        self._logs.append(log_bytes)

    def knows(self, settings_id: str) -> bool:
        """Whether it has been given any image of these settings."""
        return any(shape.settings_id == settings_id for shape in self._images)

    def bytes_of(
        self, groups: Iterable[Group], content_pixels: Mapping[Shape, float]
    ) -> int | None:
        """Return what images take on the disk, with what stands beside them; None if unknown.

        Args:
            content_pixels: of a content image, in the mean of each group.
        """
        total = 0.0
        for group in groups:
            per_pixel = self._bytes_per_pixel(group.shape)
            if per_pixel is None:
                return None
            image = per_pixel * self._pixels(group.shape, content_pixels[group.shape])
            log = sum(self._logs) / len(self._logs)
            pictures = _pictures(self._settings[group.settings_id].recipe)
            each = pictures * _on_disk(image) + _on_disk(log) + RECORD_BYTES
            total += group.num_jobs * each
        return round(total)

    def _pixels(self, shape: Shape, content_pixels: float) -> float:
        """Return the pixels of an image's file."""
        recipe = self._settings[shape.settings_id].recipe
        if recipe.output_size == "content":
            return content_pixels
        # In the proportions of the work, which are about the content's.
        width, height = recipe.file_size(shape.width, shape.height, (shape.width, shape.height))
        return width * height

    def _bytes_per_pixel(self, shape: Shape) -> float | None:
        """Return those of a shape, else of its settings, else of all."""
        same = [each for key, each in self._images.items() if key.settings_id == shape.settings_id]
        known = [self._images[shape]] if shape in self._images else same or self._images.values()
        pixels = sum(pixels for pixels, _ in known)
        return sum(size for _, size in known) / pixels if pixels else None


def _pictures(recipe: Recipe) -> float:
    """Return how many pictures of an image's size a job leaves."""
    most = recipe.max_evaluations
    progress = most // recipe.progress_every if recipe.progress_every else 0
    return 1 + len(recipe.progress_at) + progress + (3 if recipe.side_by_side else 0)


def _on_disk(size: float) -> float:
    """A file takes whole blocks: half a one more in the mean."""
    return size + BLOCK_BYTES / 2


def free_bytes(folder: Path) -> int:
    """Return what is free where a folder is, or will be made."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free

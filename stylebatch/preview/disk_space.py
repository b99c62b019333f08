"""How much room the images of a run will take: as others did, or as pictures like them would."""

import shutil
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import chain, zip_longest
from pathlib import Path

from stylebatch.device.canvas import finish
from stylebatch.device.content import read_content
from stylebatch.device.originals import carry_over
from stylebatch.device.style_images import StyleImages
from stylebatch.errors import UserError
from stylebatch.ledger import Ledger, MadeImage, PlannedJobs, Waiting
from stylebatch.manifest import Manifest
from stylebatch.output.layout import Dataset
from stylebatch.pictures.formats import encode
from stylebatch.pictures.sizes import fit_pixels
from stylebatch.preview.samples import candidates
from stylebatch.recipes import Recipe, Settings
from stylebatch.records import Group, Job, Shape, Style

# Images that are done, of which sizes are taken.
MOST_SIZES = 500
# Photographs that are carried over for the same.
MOST_CARRIED = 3
# After so long no other picture is encoded: what is known goes by pixels for the rest.
LONGEST_S = 2.0
# A row of a loss log, by how these are written.
ROW_BYTES = {"csv": 67, "parquet": 23, "none": 0}
# A line of the metadata (530 where paths are short), and what the ledger has of it (550).
RECORD_BYTES = 1200
BLOCK_BYTES = 4096


def measure_space(
    manifest: Manifest, planned: PlannedJobs, ledger: Ledger, styles: Mapping[str, Style]
) -> "DiskSpace":
    """Return what is known of sizes: by images that are done, else by a few encoded now.

    Of settings that have made nothing yet a content and its style are encoded as a result would
    be, and the larger file is taken: results have the grain of both (docs/cron.md says how near
    that comes). Takes a few seconds at most, and no torch.
    """
    settings, carrying = manifest.all_settings(), manifest.carrying_settings()
    space = DiskSpace(settings, carrying)
    space.take_made(manifest.dataset(), ledger.sizes.some_made(MOST_SIZES))
    unknown = [
        group for group in planned.groups() if group.width and not space.knows(group.settings_id)
    ]
    images = StyleImages(manifest.root, manifest.cache)
    started_s, samples = time.monotonic(), []
    # Of each shape one before any has a second: contents of a shape may differ in their own size.
    turns = zip_longest(*(jobs for _, jobs in candidates(planned, unknown)))
    for job in filter(None, chain.from_iterable(turns)):
        of_job = settings[job.settings_id]
        with suppress(UserError):  # the next one can be read
            sample = _encode_alike(images, job, of_job, styles)
            rows = of_job.recipe.max_evaluations if of_job.needs_network else 0
            samples.append((*sample, ROW_BYTES[manifest.run.losses] * rows))
        if time.monotonic() - started_s > LONGEST_S:
            break
    for each in samples:
        space.take(*each)
    for group in planned.groups():
        if group.settings_id in carrying and not space.knows_carried(group.settings_id):
            for job in planned.take(group, MOST_CARRIED):
                with suppress(UserError):
                    carried = carry_over(manifest.root, job, carrying[group.settings_id])
                    space.take_carried(group.settings_id, len(carried.data))
    return space


def _encode_alike(
    images: StyleImages, job: Job, settings: Settings, styles: Mapping[str, Style]
) -> tuple[Shape, int, int]:
    """Return a job's shape, and the pixels and bytes of a file such as it makes.

    Raises:
        UserError: its content or style can't be read.
    """
    recipe = settings.recipe
    content, image = read_content(images.root, job, settings), styles[job.style].images[0]
    style = images.read_small(image)
    grain = fit_pixels(style, job.width, job.height, fit="crop", resampling=recipe.resampling)
    canvas = content.canvas
    files = [
        encode(finish(pixels, canvas, recipe), canvas.alpha, settings.file_format)
        for pixels in (content.pixels, grain)
    ]
    return job.shape, canvas.width * canvas.height, max(map(len, files))


def mean_pixels(waiting: Iterable[Waiting]) -> dict[Shape, float]:
    """Return the pixels of a content in the mean, by shape."""
    pixels, jobs = Counter[Shape](), Counter[Shape]()
    for each in waiting:
        pixels[each.group.shape] += each.content_pixels
        jobs[each.group.shape] += each.group.num_jobs
    return {shape: pixels[shape] / number for shape, number in jobs.items()}


class DiskSpace:
    """Bytes of images by their pixels, and of loss logs: as images were that are known."""

    def __init__(
        self, settings: Mapping[str, Settings], carrying: Mapping[str, Settings] | None = None
    ) -> None:
        """Know nothing yet of any settings, which are given by id.

        Args:
            carrying: those with which photographs are carried over.
        """
        self._settings, self._carrying = settings, carrying or {}
        self._carried: dict[str, list[int]] = {}
        # Pixels of files, and their bytes.
        self._images: dict[Shape, tuple[int, float]] = {}
        self._logs: list[float] = []

    def take_made(self, dataset: Dataset, made: Iterable[MadeImage]) -> None:
        """Take the sizes of images that are done."""
        for each in made:
            if each.settings_id in self._carrying:
                self.take_carried(each.settings_id, each.size)
            if (settings := self._settings.get(each.settings_id)) is None:
                continue
            content = (each.content_width, each.content_height)
            shape = Shape(each.settings_id, *settings.work_size(*content))
            log = dataset.tree.size(dataset.log_path(each.output))
            pixels = self._pixels(shape, content[0] * content[1])
            self.take(shape, pixels, each.size, log or 0)

    def take(self, shape: Shape, pixels: float, image_bytes: float, log_bytes: float) -> None:
        """Take the sizes of one image, of so many pixels, and of its loss log."""
        known = self._images.get(shape, (0, 0.0))
        self._images[shape] = (round(known[0] + pixels), known[1] + image_bytes)
        self._logs.append(log_bytes)

    def take_carried(self, settings_id: str, size: int) -> None:
        """Take the bytes of a photograph that is carried over."""
        self._carried.setdefault(settings_id, []).append(size)

    def knows_carried(self, settings_id: str) -> bool:
        """Whether it has been given any photograph that these settings carry over."""
        return settings_id in self._carried

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
            if group.settings_id in self._carrying:
                total += group.num_jobs * self._bytes_carried(group.settings_id)
            if not group.width:
                continue  # as they, or images that can't be read
            per_pixel = self._bytes_per_pixel(group.shape)
            if per_pixel is None:
                return None
            image = per_pixel * self._pixels(group.shape, content_pixels[group.shape])
            log = sum(self._logs) / len(self._logs)
            pictures = _pictures(self._settings[group.settings_id].recipe)
            each = pictures * _on_disk(image) + _on_disk(log) + RECORD_BYTES
            total += group.num_jobs * each
        return round(total)

    def _bytes_carried(self, settings_id: str) -> float:
        """Return what a photograph takes; its second name takes nothing."""
        sizes = self._carried.get(settings_id, [])
        is_copied = sizes and self._carrying[settings_id].carries == "copy"
        return RECORD_BYTES + (_on_disk(sum(sizes) / len(sizes)) if is_copied else 0.0)

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
    """A file takes whole blocks: half a one more in the mean; none takes none."""
    return size + BLOCK_BYTES / 2 if size else 0.0


def free_bytes(folder: Path) -> int:
    """Return what is free where a folder is, or will be made."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free

"""Style targets: statistics of a style's features, computed once in float32 and cached.

A file holds those of one style image at one size; Gram matrices undivided, so that recipes which
differ in their divisor share files.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from stylebatch.device.requests import TargetRequest
from stylebatch.device.style_images import StyleError, StyleImages, StylePicture
from stylebatch.device.style_statistics import compute_statistics, for_each_position
from stylebatch.device.target_files import Statistics, TargetFiles
from stylebatch.device.tensors import to_tensor
from stylebatch.library.cached import FOLDER, Of, note_use, thumbnail_place, versions_of
from stylebatch.library.errors import DamagedError
from stylebatch.library.shelf import is_of_library, name_of
from stylebatch.library.style_file import StyleFile, sizes_text
from stylebatch.library.thumbnails import make_thumbnail
from stylebatch.pictures.colors import match_colors
from stylebatch.pictures.images import Pixels
from stylebatch.pictures.sizes import fit_pixels
from stylebatch.records import Style, StyleImage
from stylebatch.system.files import stat_file, write_atomic
from stylebatch.system.object_stores import is_remote
from stylebatch.transfer.extractor import Extractor

# What is used last: as styles take turns, all of a night's have to fit. Of VGG-19 a style has
# 2 to 7 MB at one size, of slim a tenth of that.
MAX_BYTES_IN_MEMORY = 320 * 2**20


class StyleTargets:
    """Style targets by style and request, from memory, disk or the extractor, in this order."""

    def __init__(
        self, root: Path, cache: Path, tell: Callable[[str], object] = lambda text: None
    ) -> None:
        """Read style images below `root`; keep the files of Gram matrices in `cache`.

        Args:
            tell: is told what is wrong with the cache, which only saves time.
        """
        self.images, self._files = StyleImages(root, cache), TargetFiles(cache / FOLDER, tell)
        self._cache, self._tell = cache, tell
        self._damaged: set[str] = set()
        self._memory: OrderedDict[tuple[str, TargetRequest], Statistics] = OrderedDict()
        self._bytes = 0
        self._chroma: dict[tuple[str, TargetRequest], float] = {}

    def get(
        self,
        style: Style,
        request: TargetRequest,
        extractor: Callable[[], Extractor],
        colors: Pixels | None = None,
    ) -> Mapping[str, Tensor]:
        """Return layer → statistics in float32; of a blend, the weighted mean.

        Gram matrices (C, C) are divided by their number of positions; means and standard
        deviations are (2, C), means and second moments (C + 1, C).

        Args:
            extractor: makes a float32 extractor of the request; called on a cache miss only.
            colors: an image whose colours the style is given first; then nothing is cached, as the
                targets are that image's own.

        Raises:
            StyleError: an image that can't be read or has changed.
            ImageError: a file that is no image.
        """
        key = (style.digest, request)
        if colors is None and key in self._memory:
            self._memory.move_to_end(key)
            return self._memory[key]
        total = sum(image.weight for image in style.images)
        blended: Statistics = {}
        for image in style.images:
            for layer, one in self._of_image(image, request, extractor, colors).items():
                share = one * (image.weight / total)
                blended[layer] = blended[layer] + share if layer in blended else share
        if colors is None:
            self._memory[key] = blended
            self._bytes += _size_of(blended)
            while self._bytes > MAX_BYTES_IN_MEMORY and len(self._memory) > 1:
                self._bytes -= _size_of(self._memory.popitem(last=False)[1])
        return blended

    def picture(self, style: Style) -> Pixels:
        """Return a style as it is, (H, W, 3); of a blend its first image. Errors as in `get`."""
        return self.images.read(style.images[0]).pixels

    def image(
        self,
        style: Style,
        width: int,
        height: int,
        request: TargetRequest,
        colors: Pixels | None = None,
    ) -> Tensor:
        """Return the style as a start, (1, 3, height, width): stretched, or cut from its centre.

        Of a blend it is the weighted mean of its images. Errors as in `get`.
        """
        fit = "stretch" if request.fit == "stretch" else "crop"
        total = sum(image.weight for image in style.images)
        parts = []
        for image in style.images:
            pixels = self._read(image, colors).pixels
            fitted = fit_pixels(pixels, width, height, fit=fit, resampling=request.resampling)
            parts.append(to_tensor(fitted, request.input_stretch) * (image.weight / total))
        return torch.stack(parts).sum(0)

    def fine_chroma(
        self, style: Style, request: TargetRequest, colors: Pixels | None = None
    ) -> float:
        """Return `scores.fine_chroma` of a style at the size of a request; arguments as in `get`.

        Of a blend it is the weighted mean of its images'. Errors as in `get`.
        """
        key = (style.digest, request)
        if colors is None and key in self._chroma:
            return self._chroma[key]
        total = sum(image.weight for image in style.images)
        found = 0.0
        for image in style.images:
            found += self._chroma_of(image, request, colors) * (image.weight / total)
        if colors is None:
            self._chroma[key] = found
        return found

    def _chroma_of(self, image: StyleImage, request: TargetRequest, colors: Pixels | None) -> float:
        if colors is None and is_of_library(image.path):
            told = self.images.open(image).told
            # Where the image is not there, its targets have been found before.
            if not told.has_image:
                return told.targets[request.cache_key(image.digest)].fine_chroma
        return self._read(image, colors).fine_chroma(request)

    def _read(self, image: StyleImage, colors: Pixels | None) -> StylePicture:
        picture = self.images.read(image)
        if colors is None:
            return picture
        matched = match_colors(picture.pixels, colors, picture.counted)
        return StylePicture(matched, picture.visible)

    def _of_image(
        self,
        image: StyleImage,
        request: TargetRequest,
        extractor: Callable[[], Extractor],
        colors: Pixels | None,
    ) -> Statistics:
        stored = self._known(image, request) if colors is None else None
        if stored is None:
            picture = self._read(image, colors)
            stored = compute_statistics(picture, request, extractor())
            if colors is None:
                of = self._described(image, request)
                self._files.write(request.cache_key(image.digest), stored, of)
                with suppress(OSError):
                    self._keep_thumbnail(image, picture)
        if request.statistic != "gram":
            return {layer: stored[layer] for layer in request.layers}
        return for_each_position(stored, request.layers)

    def warm(
        self, image: StyleImage, request: TargetRequest, extractor: Callable[[], Extractor]
    ) -> bool:
        """Have the targets of one style image kept; return whether they were computed for it.

        Those of earlier versions, which don't tell what they are of, are told.

        Raises:
            OSError: they can't be kept.
            StyleError, LibraryError, ImageError: as `get`.
        """
        key, of = request.cache_key(image.digest), self._described(image, request)
        stored, picture = self._known(image, request), None
        if is_new := stored is None:
            picture = self.images.read(image)
            stored = compute_statistics(picture, request, extractor())
        if is_new or self._files.is_untold(key):
            self._files.keep(key, stored, of)
            picture = picture or self.images.read(image)
            with suppress(OSError):
                self._keep_thumbnail(image, picture)
        return is_new

    def _known(self, image: StyleImage, request: TargetRequest) -> Statistics | None:
        """Return what the cache has, or the library's file; None where it is to be computed."""
        key = request.cache_key(image.digest)
        stored = self._files.read(key)
        if stored is not None or not is_of_library(image.path):
            return stored
        file = self.images.open(image)
        note_use(file.path)
        try:
            found = file.targets(key)
        except DamagedError as error:
            error.unexpected_input = image.path
            if not file.told.has_image:
                raise
            if key not in self._damaged:
                self._damaged.add(key)
                self._tell(f"{error.where}: {error.found}: computed again from its image")
            return None
        if found is None:
            if not file.told.has_image:
                raise _missing(image, request, file)
            return None
        return {name: torch.from_numpy(array) for name, array in found.items()}

    def _described(self, image: StyleImage, request: TargetRequest) -> Of:
        is_named = is_of_library(image.path)
        absolute = (self.images.root / image.path).absolute()
        return Of(
            digest=image.digest,
            name=name_of(image.path) if is_named else Path(image.path).stem,
            source=image.path if is_named or is_remote(image.path) else str(absolute),
            request=request.described,
            versions=versions_of("stylebatch", "torch"),
        )

    def _keep_thumbnail(self, image: StyleImage, picture: StylePicture) -> None:
        place = thumbnail_place(self._cache, image.digest)
        if stat_file(place) is None:
            write_atomic(place, make_thumbnail(picture.pixels))


def _missing(image: StyleImage, request: TargetRequest, file: StyleFile) -> StyleError:
    told = file.told.targets.values()
    there = sizes_text(each.request for each in told) if told else "none"
    wanted = sizes_text([request.described])
    found = f"its file holds no targets of {wanted} as needed here, and no image"
    todo = "export it once more from this manifest, or with its image; import that"
    problem = StyleError(image.path, found, f"it holds {there}", todo)
    problem.unexpected_input = image.path
    return problem


def _size_of(statistics: Statistics) -> int:
    return sum(tensor.nbytes for tensor in statistics.values())

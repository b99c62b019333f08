"""A style put together as one file: its targets as they are cached, its image; no torch.

So a run needs no style image, and one style is switched for another by name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from stylebatch.device.requests import key_of, request_of
from stylebatch.device.style_images import StyleImages, StylePicture
from stylebatch.library.cached import read_cached, versions_of
from stylebatch.library.digests import digest_arrays
from stylebatch.library.errors import LibraryError
from stylebatch.library.shelf import is_of_library, name_of
from stylebatch.library.style_file import (
    COLORS,
    IMAGE,
    THUMBNAIL,
    StyleFile,
    Target,
    Told,
    as_array,
    encode_style,
)
from stylebatch.library.thumbnails import make_thumbnail
from stylebatch.pictures.color_transfer import METHODS, color_statistics
from stylebatch.records import StyleImage

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Label:
    """What whoever exports a style has to say of it; None leaves what is known."""

    note: str | None = None
    licence: str | None = None
    with_image: bool = True

    def on(self, told: Told) -> Told:
        """Return what a file tells, with this in it."""
        note = told.note if self.note is None else self.note
        licence = told.licence if self.licence is None else self.licence
        return replace(told, note=note, licence=licence)


def export_style(
    image: StyleImage,
    name: str,
    requests: Iterable[Mapping[str, Any]],
    images: StyleImages,
    cache: Path,
    label: Label,
) -> bytes:
    """Return the bytes of a style's file.

    Args:
        requests: as `TargetRequest.described` tells them: what is kept of them is taken along.
        images: where the style's image is read.

    Raises:
        StyleError, LibraryError, ImageError: an image that can't be read, or has changed.
        LibraryError: targets that are nowhere any more.
    """
    known = images.open(image) if is_of_library(image.path) else None
    wanted = {key_of(image.digest, request): dict(request) for request in requests}
    if known is not None:
        # A style that is exported once more loses nothing.
        wanted = {key: each.request for key, each in known.told.targets.items()} | wanted
    targets = {key: _find(key, cache, known, image) for key in wanted}
    picture = None
    if known is None or known.told.has_image:
        picture = images.read(image)
        others = _others(picture)
        if label.with_image:
            others[IMAGE] = as_array(images.read_bytes(image))
    else:
        others = _copied(known)
    told_targets = {
        key: Target(request, digest_arrays(targets[key]), _chroma(key, request, picture, known))
        for key, request in wanted.items()
    }
    told = label.on(_told(image, name, picture, images, known))
    return encode_style(replace(told, targets=told_targets), targets, others)


def _find(key: str, cache: Path, known: StyleFile | None, image: StyleImage) -> Mapping[str, Array]:
    found = read_cached(cache, key)
    if found is None and known is not None:
        found = known.targets(key)
    if found is None:
        gone = "some of its targets have been removed from the cache meanwhile"
        raise LibraryError(image.path, gone, "", "export it once more")
    return found


def _chroma(
    key: str, request: Mapping[str, Any], picture: StylePicture | None, known: StyleFile | None
) -> float:
    if picture is not None:
        return picture.fine_chroma(request_of(request))
    assert known is not None
    return known.told.targets[key].fine_chroma


def _others(picture: StylePicture) -> dict[str, Array]:
    colors = {f"{COLORS}/{each}": color_statistics(picture.counted, each) for each in METHODS}
    return {THUMBNAIL: as_array(make_thumbnail(picture.pixels)), **colors}


def _copied(known: StyleFile) -> dict[str, Array]:
    others = {THUMBNAIL: as_array(known.thumbnail() or b"")}
    for method in METHODS:
        if (found := known.colors(method)) is not None:
            others[f"{COLORS}/{method}"] = found
    return others


def _told(
    image: StyleImage,
    name: str,
    picture: StylePicture | None,
    images: StyleImages,
    known: StyleFile | None,
) -> Told:
    made = datetime.now(UTC).isoformat(timespec="seconds")
    versions = versions_of("stylebatch", "torch", "pillow")
    if known is not None:
        return replace(known.told, name=name, made=made, versions=versions)
    assert picture is not None
    height, width = picture.pixels.shape[:2]
    size = len(images.read_bytes(image))
    file = Path(image.path).name
    return Told(name, image.digest, file, width, height, size, made, versions)


def export_name(image: StyleImage, name: str) -> str:
    """Return the name under which a style is exported: as it is called, of the library its own."""
    return name_of(image.path) if is_of_library(image.path) else name

"""Small pictures of images, contents and styles: made once, kept as long as a file is the same."""

import io
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from PIL import Image

from stylebatch.errors import UserError
from stylebatch.pictures.images import TRANSPOSES, decode, exif_orientation, open_image
from stylebatch.report.folder import ReportFolder
from stylebatch.system import files, inputs
from stylebatch.system.cores import usable_cores
from stylebatch.system.paths import on_disk

# The longest edge. A card shows a result at about that size.
EDGE_PX = 256
_QUALITY, _METHOD = 74, 0
# Raised where the same file gets another thumbnail.
_FORMAT = 1
# A file that is no larger is its own thumbnail where thumbnails are linked: to read it costs a
# browser no more, and a set of hundreds of thousands needs next to none.
SMALL_BYTES = 128 * 1024
_SHOWN_BY_BROWSERS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif"})

# Is told how many there are of how many.
Tell = Callable[[int, int], object]


def key_of(name: str, stat: tuple[int, int], digest: str = "") -> str:
    """Return the key of a file's thumbnail: by its name, size and time of change, nothing is read.

    Args:
        name: as the records tell it, so that an output can be moved.
        stat: bytes, and the time of change in ns.
        digest: of what is in a store, which is not asked.
    """
    told = (_FORMAT, EDGE_PX, name, *stat, *([digest] if digest else []))
    return blake2b(repr(told).encode(), digest_size=10).hexdigest()


def is_small(path: Path, stat: tuple[int, int]) -> bool:
    """Whether a file is small enough to stand for itself in a browser."""
    return stat[0] <= SMALL_BYTES and path.suffix.lower() in _SHOWN_BY_BROWSERS


def make_thumbnails(
    folder: ReportFolder, wanted: Mapping[str, inputs.Place], tell: Tell, *, is_alone: bool
) -> set[str]:
    """Make the thumbnails that are not there yet.

    Args:
        wanted: the file of each key.
        is_alone: on all cores; else on one, as others work beside it.

    Returns:
        the keys of files that can't be shown.
    """
    missing = {
        key: path for key, path in wanted.items() if files.stat_file(folder.thumbnail(key)) is None
    }
    for prefix in {key[:2] for key in missing}:
        (folder.thumbnails / prefix).mkdir(exist_ok=True)
    wrong: set[str] = set()

    def make(key: str) -> None:
        try:
            data = encode(missing[key])
        except (OSError, UserError, MemoryError):
            wrong.add(key)
        else:
            _write(folder.thumbnail(key), data)

    # Pillow lets other threads run while it decodes, resizes and encodes.
    pool = ThreadPoolExecutor(usable_cores() if is_alone else 1)
    try:
        for done, _ in enumerate(pool.map(make, missing), 1):
            tell(done, len(missing))
    finally:
        # Whoever stops it waits for what has begun, not for thousands.
        pool.shutdown(cancel_futures=True)
    return wrong


def encode(place: inputs.Place) -> bytes:
    """Return a file's thumbnail: upright, in sRGB, as WebP.

    Raises:
        ImageError, OSError: it can't be read.
    """
    image = _open_small(inputs.read(place), str(place))
    image.thumbnail((EDGE_PX, EDGE_PX), Image.Resampling.BICUBIC, reducing_gap=2.0)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=_QUALITY, method=_METHOD)
    return buffer.getvalue()


def _open_small(data: bytes, where: str) -> Image.Image:
    """Decode an image; a large JPEG no finer than it is needed, which takes a tenth of the time."""
    image = open_image(data, where)
    if image.format == "JPEG" and image.mode == "RGB" and "icc_profile" not in image.info:
        with suppress(OSError, ValueError):  # what is damaged the other way tells better
            image.draft("RGB", (2 * EDGE_PX, 2 * EDGE_PX))
            image.load()
            turn = TRANSPOSES.get(exif_orientation(data, where))
            return image if turn is None else image.transpose(turn)
    return Image.fromarray(decode(data, where).rgb)


def _write(path: Path, data: bytes) -> None:
    """Write it in one step, not waiting for the disk: it can be made again."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        files.write_new(temporary, data)
        files.rename(temporary, path)
    finally:
        files.remove_file(temporary)


def find_file(folder: Path, told: str) -> Path:
    """Return where a content or style is that records tell from the manifest's folder."""
    return on_disk(folder / told)

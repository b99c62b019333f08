"""The formats of the files that are made: how pixels are encoded, and what is said beside them."""

import io
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import ExifTags, Image

from stylebatch.pictures.images import Pixels, encode_png

FormatName = Literal["png", "jpeg", "webp"]
SUFFIXES: dict[str, str] = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}
JPEG_QUALITY = 95
# The longest edge that a file of the format can have.
_MAX_EDGES_PX = {"png": 2**31 - 1, "jpeg": 65_500, "webp": 16_383}
# WebP's effort, 0 to 6. Photographs at 512 px, per megapixel on one slow core: without loss 118 ms
# and 1.07 MB at 0, 390 ms and 0.98 MB at 2, 480 ms and 0.96 MB at 4 (its default), as PNG 57 ms and
# 1.38 MB; of quality 90 29 ms and 0.20 MB at 0, 40 ms and 0.18 MB at 2, 84 ms and 0.18 MB at 4.
_WEBP_LOSSLESS_METHOD, _WEBP_METHOD = 0, 2


@dataclass(frozen=True, slots=True)
class FileFormat:
    """How an image is encoded: 8 bits, sRGB.

    Attributes:
        quality: 1 to 100; None: without loss, which JPEG can't be.
    """

    name: FormatName = "png"
    quality: int | None = None

    @property
    def suffix(self) -> str:
        """What its files' names end with."""
        return SUFFIXES[self.name]

    @property
    def has_alpha(self) -> bool:
        """Whether transparency is put back; else it comes out on white."""
        return self.name != "jpeg"

    @property
    def max_edge_px(self) -> int:
        """The longest edge that a file can have."""
        return _MAX_EDGES_PX[self.name]

    def described(self) -> Any:
        """Return it as a manifest spells it."""
        return self.name if self.quality is None else {self.name: {"quality": self.quality}}


PNG = FileFormat()


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a file says of how it was made.

    Attributes:
        software: the program and its version.
        description: JSON in ASCII, so that every kind of text field holds it.
    """

    software: str
    description: str


def encode(
    rgb: Pixels, alpha: Pixels | None, file_format: FileFormat, provenance: Provenance | None = None
) -> bytes:
    """Encode (H, W, 3) sRGB with alpha (H, W) put back, or on white where the format has none.

    The same arguments give the same bytes. A PNG says how it was made in text chunks, others in
    EXIF; there is no other metadata.
    """
    if file_format.name == "png":
        return encode_png(rgb, alpha, _png_texts(provenance))
    buffer = io.BytesIO()
    options: dict[str, Any] = {"exif": _exif(provenance)} if provenance else {}
    if file_format.name == "jpeg":
        pixels = rgb if alpha is None else _on_white(rgb, alpha)
        # Subsampling 0 is 4:4:4: each pixel keeps its own colour.
        options |= {"quality": file_format.quality, "subsampling": 0}
        Image.fromarray(pixels).save(buffer, "JPEG", **options)
        return buffer.getvalue()
    image = Image.fromarray(rgb if alpha is None else np.dstack([rgb, alpha]))
    if file_format.quality is None:
        # Exact: what is transparent keeps its colours, as in a PNG.
        options |= {"lossless": True, "exact": True, "method": _WEBP_LOSSLESS_METHOD}
    else:
        options |= {"quality": file_format.quality, "method": _WEBP_METHOD}
    image.save(buffer, "WEBP", **options)
    return buffer.getvalue()


def _on_white(rgb: Pixels, alpha: Pixels) -> Pixels:
    image = Image.fromarray(rgb)
    white = Image.new("RGB", image.size, (255, 255, 255))
    return np.array(Image.composite(image, white, Image.fromarray(alpha)))


def _png_texts(provenance: Provenance | None) -> dict[str, str]:
    """Return text chunks by keywords that the PNG specification names."""
    if provenance is None:
        return {}
    return {"Software": provenance.software, "Description": provenance.description}


def _exif(provenance: Provenance) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = provenance.software
    exif[ExifTags.Base.ImageDescription] = provenance.description
    return exif.tobytes()

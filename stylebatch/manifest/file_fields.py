"""What a pair may say of its files, as it is written."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from stylebatch.manifest.section import Section, key
from stylebatch.pictures.formats import JPEG_QUALITY

Quality = Annotated[int, Field(ge=1, le=100)]


class JpegFields(Section):
    """JPEG: every pixel keeps its own colour (4:4:4); what is transparent comes out on white."""

    quality: Quality = key(90, JPEG_QUALITY)
    """1 to 100"""


class WebpFields(Section):
    """WebP, with loss where a quality is given."""

    quality: Quality | None = key(90, otherwise="without loss")
    """1 to 100"""


class FormatFields(Section):
    """A format of the files with its options."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    jpeg: JpegFields | None = key({"quality": 90})
    """JPEG, which has no transparency: that comes out on white"""
    webp: WebpFields | None = key({"quality": 90})
    """WebP"""


class OriginalsFields(Section):
    """The photographs themselves beside what is made of them."""

    how: Literal["link", "copy"] = Field(examples=["copy"])
    """copy: upright, in sRGB, of the files' size and format; link: the file as it is, under a
    second name"""
    share: Annotated[float, Field(gt=0, le=1)] = key(0.5, 1.0)
    """of the photographs that are stylised, drawn by `seed`; stable when images are added"""

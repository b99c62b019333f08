"""What a pair says of its files: their format, and the photographs themselves beside them."""

from typing import Any

from stylebatch.manifest.file_fields import FormatFields, OriginalsFields
from stylebatch.manifest.model import Originals
from stylebatch.manifest.problems import Findings
from stylebatch.manifest.yaml_lines import Loc
from stylebatch.pictures.formats import JPEG_QUALITY, PNG, FileFormat
from stylebatch.recipes import Recipe


def read_format(written: Any, place: Loc, findings: Findings) -> FileFormat:
    """Return the format that a pair's files have; None is PNG."""
    if written is None:
        return PNG
    if not isinstance(written, FormatFields):
        return FileFormat(written, JPEG_QUALITY if written == "jpeg" else None)
    if (written.jpeg is None) == (written.webp is None):
        found = "found neither jpeg nor webp" if written.jpeg is None else "found both"
        allowed = "allowed is png, jpeg, webp, {jpeg: {quality: 90}} or {webp: {quality: 90}}"
        findings.add(place, found, allowed, "write one of them")
    if written.jpeg is not None:
        return FileFormat("jpeg", written.jpeg.quality)
    return FileFormat("webp", written.webp.quality if written.webp else None)


def read_originals(written: Any) -> Originals:
    """Return whether, and how, a pair's photographs are carried over; None is not at all."""
    if isinstance(written, OriginalsFields):
        return Originals(written.how, written.share)
    return Originals(written or "none")


def check_originals(originals: Originals, recipe: Recipe, place: Loc, findings: Findings) -> None:
    """Refuse to link photographs where what is made of them has another size."""
    if originals.how == "link" and recipe.output_size != "content":
        found = f"found link, but output_size is {_spelled(recipe.output_size)}: a linked"
        found += " photograph keeps its own size"
        allowed = "allowed is copy, or link with output_size: content"
        findings.add(place, found, allowed, "write `originals: copy`")


def _spelled(size: object) -> str:
    return f"[{size[0]}, {size[1]}]" if isinstance(size, tuple) else str(size)

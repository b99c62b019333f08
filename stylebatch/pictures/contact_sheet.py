"""Contact sheets: rows of pictures with captions, as one PNG or JPEG."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from stylebatch.errors import UserError
from stylebatch.pictures.images import Pixels
from stylebatch.pictures.sizes import resize
from stylebatch.system.files import stat_file, why_unwritable

_PAPER, _INK, _SOFT = (252, 252, 250), (38, 38, 40), (120, 120, 124)
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_JPEG_QUALITY = 88
# A PNG's text `Comment`, or a JPEG's comment: what has it may be replaced by the next sheet.
_MARK = "stylebatch contact sheet"
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """A picture (H, W, 3) in 8-bit sRGB, and lines below it: the first dark, the others soft."""

    rgb: Pixels
    caption: str = ""


class SheetError(UserError):
    """A file that a contact sheet can't be."""


def check_sheet_path(path: Path) -> None:
    """Raise SheetError where no sheet can be: before hours go into what it would show."""
    if path.suffix.lower() not in _FORMATS:
        allowed = f"a sheet is one of {', '.join(_FORMATS)}"
        raise SheetError(str(path), f"no sheet can be a '{path.suffix}'", allowed, "rename it")
    if reason := why_unwritable(path):
        raise SheetError.unwritable(str(path), reason)
    if stat_file(path) is not None and not _is_sheet(path):
        found, allowed = "is there already, and no sheet of ours", "only a sheet is replaced"
        raise SheetError(str(path), found, allowed, "choose another place, or move it away")


def _is_sheet(path: Path) -> bool:
    """Whether a file is a sheet that `contact_sheet` has made."""
    try:
        with Image.open(path, formats=list(set(_FORMATS.values()))) as image:
            mark = image.info.get("Comment") or image.info.get("comment")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    return mark in (_MARK, _MARK.encode())


def contact_sheet(
    rows: Sequence[Sequence[Cell]],
    headings: Sequence[str] = (),
    cell_px: int = 256,
    suffix: str = ".png",
) -> bytes:
    """Lay pictures out in rows, each fitted into a square of `cell_px`, and encode them.

    Args:
        headings: above the columns, such as content, style, result.
        suffix: .png, .jpg or .jpeg.
    """
    layout = _Layout(cell_px)
    heights = [layout.row_height(row) for row in rows]
    head_px = layout.line_px + layout.gap_px // 2 if headings else 0
    width = layout.left(max((len(row) for row in rows), default=0))
    height = layout.gap_px + head_px + sum(heights)
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, heading in enumerate(headings):
        layout.write(draw, (layout.left(column), layout.gap_px), heading, _SOFT)
    top = layout.gap_px + head_px
    for row, row_px in zip(rows, heights, strict=True):
        for column, cell in enumerate(row):
            layout.place(sheet, draw, cell, (layout.left(column), top))
        top += row_px
    buffer = io.BytesIO()
    kind, mark = _FORMATS[suffix.lower()], PngImagePlugin.PngInfo()
    mark.add_text("Comment", _MARK)
    of_kind: dict[str, Any] = {"pnginfo": mark} if kind == "PNG" else {"comment": _MARK.encode()}
    sheet.save(buffer, kind, quality=_JPEG_QUALITY, optimize=True, **of_kind)
    return buffer.getvalue()


class _Layout:
    """Sizes and places in pixels, all of them from the size of a cell."""

    def __init__(self, cell_px: int) -> None:
        font_px = max(10, round(cell_px / 18))
        self.cell_px = cell_px
        self.font: _Font = ImageFont.load_default(size=font_px)
        self.line_px = round(1.35 * font_px)
        self.gap_px = max(6, cell_px // 16)

    def left(self, column: int) -> int:
        return self.gap_px + column * (self.cell_px + self.gap_px)

    def row_height(self, row: Sequence[Cell]) -> int:
        """The pictures may be lower than the cell: a row is as high as its highest."""
        pictures = max((self.fit(cell)[1] for cell in row), default=0)
        num_lines = max((len(cell.caption.splitlines()) for cell in row), default=0)
        caption_px = num_lines * self.line_px + self.gap_px // 2 if num_lines else 0
        return pictures + caption_px + self.gap_px

    def fit(self, cell: Cell) -> tuple[int, int]:
        height, width = cell.rgb.shape[:2]
        scale = self.cell_px / max(width, height)
        return max(1, round(width * scale)), max(1, round(height * scale))

    def place(
        self, sheet: Image.Image, draw: ImageDraw.ImageDraw, cell: Cell, corner: tuple[int, int]
    ) -> None:
        width, height = self.fit(cell)
        left, top = corner
        sheet.paste(Image.fromarray(resize(cell.rgb, width, height)), corner)
        top += height + self.gap_px // 2
        for number, line in enumerate(cell.caption.splitlines()):
            self.write(draw, (left, top + number * self.line_px), line, _SOFT if number else _INK)

    def write(
        self, draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, ink: tuple[int, int, int]
    ) -> None:
        shown = text
        while self.font.getlength(shown) > self.cell_px and len(shown) > 1:
            shown = shown.removesuffix("…")[:-1] + "…"
        draw.text(at, shown, fill=ink, font=self.font)

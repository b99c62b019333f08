"""A sheet of pairs: photograph and style, then what each recipe and a peer made of them.

    python -m benchmarks.pictures.quality --sizes 256 --recipes balanced pytorch-tutorial --out OUT
    python -m benchmarks.pictures.sheet OUT sheet.png --size 256 --peer CROWSONKB-OUT

It takes the pictures that are in the folders, from the content, and leaves gaps for others.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw

from benchmarks.pictures.pairs import PicturePair, load_pairs
from benchmarks.pictures.quality import Work
from benchmarks.setting.inputs import add_shared_option, check_shared

CELL_PX, LABEL_PX, GAP_PX = 512, 14, 6


def main() -> None:
    """Write one PNG."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_shared_option(parser)
    parser.add_argument(
        "pictures", type=Path, help="the --out folder of benchmarks.pictures.quality"
    )
    parser.add_argument("sheet", type=Path, help="the PNG to write")
    parser.add_argument("--size", type=int, default=128, help="longest edge of the pictures, px")
    parser.add_argument("--which", choices=("report", "development"), default="report")
    parser.add_argument("--pairs", type=int, default=4)
    recipes = ["balanced", "pytorch-tutorial", "neural-style"]
    parser.add_argument("--recipes", nargs="+", default=recipes)
    parser.add_argument("--arch", default="vgg19")
    parser.add_argument("--peer", type=Path, help="pictures of benchmarks.pictures.crowsonkb")
    parser.add_argument("--detail", type=float, default=1, help="the middle so many of an edge")
    options = parser.parse_args()
    shared = check_shared(options.shared)
    pairs = load_pairs(shared, options.which, options.size, options.pairs)
    rows = [list(cells_of(pair, options)) for pair in pairs]
    cell = CELL_PX + GAP_PX
    sheet = Image.new("RGB", (len(rows[0]) * cell, len(rows) * (cell + LABEL_PX)), "white")
    draw = ImageDraw.Draw(sheet)
    for y, row in enumerate(rows):
        for x, (label, image) in enumerate(row):
            corner = (x * cell, y * (cell + LABEL_PX))
            draw.text(corner, label, "black")
            if image is not None:
                sheet.paste(enlarge(image, options.detail), (corner[0], corner[1] + LABEL_PX))
    sheet.save(options.sheet)
    print(f"{options.sheet}: {len(rows)} pairs, {sheet.width} x {sheet.height} px")


def cells_of(
    pair: PicturePair, options: argparse.Namespace
) -> Iterator[tuple[str, Image.Image | None]]:
    """Yield a pair's labels and pictures, None for one that is not there."""
    yield "photograph", Image.fromarray(pair.content)
    yield "style", Image.fromarray(pair.style_at_size)
    for recipe in options.recipes:
        work = Work(options.size, recipe, "content", 1.0)
        yield recipe, read(options.pictures / f"{pair.name} {work} {options.arch}.png")
    if options.peer:
        yield "crowsonkb", read(options.peer / f"{pair.name} {options.size}.png")


def read(path: Path) -> Image.Image | None:
    """Return a picture, if there is one."""
    if not path.exists():
        return None
    with Image.open(path) as image:
        return image.convert("RGB")


def enlarge(image: Image.Image, detail: float) -> Image.Image:
    """Return the middle of an image so large that it fills a cell, its pixels to be seen."""
    width, height = (edge * detail for edge in image.size)
    left, top = (image.width - width) / 2, (image.height - height) / 2
    scale = CELL_PX / max(width, height)
    size = (round(width * scale), round(height * scale))
    box = (left, top, left + width, top + height)
    return image.resize(size, Image.Resampling.NEAREST, box=box)


if __name__ == "__main__":
    main()

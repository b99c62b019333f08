"""Make docs/picture.png: content | style | result, from the demonstration's inputs.

    python docs/make_picture.py

`make demo` writes the inputs. With `--arch vgg19 --weights PATH` features come from a file.
"""

import argparse
from pathlib import Path

import numpy as np

from stylebatch import stylize
from stylebatch.pictures.contact_sheet import Cell, contact_sheet
from stylebatch.pictures.images import decode

HERE = Path(__file__).parent
DEMO = HERE.parent / "demo"
ROWS = [("animals/chelsea.png", "brush_strokes.png"), ("objects/coffee.png", "stained_glass.png")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", default="slim")
    parser.add_argument("--weights")
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--strength", type=float, default=2.0)
    parser.add_argument("--output", type=Path, default=HERE / "picture.png")
    options = parser.parse_args()
    rows = [make_row(content, style, options) for content, style in ROWS]
    sheet = contact_sheet(rows, ("content", "style", "result"), cell_px=300)
    options.output.write_bytes(sheet)
    print(options.output)


def make_row(content: str, style: str, options: argparse.Namespace) -> list[Cell]:
    paths = [DEMO / "photos" / content, DEMO / "styles" / style]
    (result,) = stylize(
        paths[0],
        paths[1],
        arch=options.arch,
        weights=options.weights,
        size_px=options.size,
        steps=options.steps,
        strength=options.strength,
    )
    photograph, painting = (decode(path.read_bytes(), str(path)).rgb for path in paths)
    # Of the painting a middle part of the photograph's shape: three of one height read as a row.
    height = round(painting.shape[1] * photograph.shape[0] / photograph.shape[1])
    top = (painting.shape[0] - height) // 2
    return [Cell(rgb) for rgb in (photograph, painting[top : top + height], np.asarray(result))]


if __name__ == "__main__":
    main()

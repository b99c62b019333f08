"""Make docs/fields.jpg and docs/strength.jpg: what fields of the objective do to a photograph.

    python docs/make_fields.py --weights VGG19.safetensors

From the demonstration's inputs, which `make demo` writes, with VGG-19's real weights to conv3_3.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stylebatch import stylize
from stylebatch.pictures.contact_sheet import Cell, contact_sheet
from stylebatch.pictures.images import decode

HERE = Path(__file__).parent
DEMO = HERE.parent / "demo"
CONTENT = DEMO / "photos" / "animals" / "chelsea.png"
STYLE = DEMO / "styles" / "brush_strokes.png"
OLD = "balanced-2026-11"
STRENGTHS = (0, 0.25, 0.5, 0.75, 1, 1.5, 2)
AFTER = {"style_layers": "default"}
SMOOTH = {"tv_weight": 6.5e-5, "tv_border": True}

# From the objective before, one field after another; then `balanced` with one field changed.
STEPS: dict[str, tuple[str, Mapping[str, Any]]] = {
    OLD: (OLD, {}),
    "+ total variation": (OLD, SMOOTH),
    "+ padding replicate_shallow": (OLD, {**SMOOTH, "padding": "replicate_shallow"}),
    "+ style after the activation": (OLD, {**SMOOTH, **AFTER, "padding": "replicate_shallow"}),
    "balanced: + scales": ("balanced", {}),
    "scales: [1]": ("balanced", {"scales": [1], "content_scales": [1]}),
    "scales: [1, 1, 1]": ("balanced", {"scales": [1, 1, 1]}),
    "content_scales: [0, 1]": ("balanced", {"content_scales": [0, 1]}),
    "statistic: mean_covariance": ("balanced", {"statistic": "mean_covariance"}),
    "statistic: wasserstein": ("balanced", {"statistic": "wasserstein"}),
    "tv_weight: 0": ("balanced", {"tv_weight": 0}),
    "padding: zeros": ("balanced", {"padding": "zeros"}),
    "start: noise": ("balanced", {"start": "noise"}),
    "style_weight: 7": ("balanced", {"style_weight": 7}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", help="of VGG-19; else imagenet, which is downloaded")
    parser.add_argument("--size", type=int, default=256)
    options = parser.parse_args()
    cells = [Cell(_pixels(CONTENT), "content"), Cell(_pixels(STYLE), "style")]
    cells += [_cell(name, *change, options) for name, change in STEPS.items()]
    rows = [cells[at : at + 4] for at in range(0, len(cells), 4)]
    _write("fields.jpg", rows)
    strip = [
        _cell(f"strength {value:g}", "balanced", {"strength": value}, options)
        for value in STRENGTHS
    ]
    _write("strength.jpg", [[*strip[:4]], [*strip[4:]]])


def _cell(
    caption: str, recipe: str, override: Mapping[str, Any], options: argparse.Namespace
) -> Cell:
    (result,) = stylize(
        CONTENT, STYLE, recipe, weights=options.weights, size_px=options.size, override=override
    )
    return Cell(np.asarray(result.convert("RGB")), caption)


def _pixels(path: Path) -> Any:
    return decode(path.read_bytes(), str(path)).rgb


def _write(name: str, rows: list[list[Cell]]) -> None:
    path = HERE / name
    path.write_bytes(contact_sheet(rows, cell_px=320, suffix=".jpg"))
    print(path, flush=True)


if __name__ == "__main__":
    main()

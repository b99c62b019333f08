"""Pictures of recipes, measured: speckle, a frame, and both distances, beside a peer's.

    python -m benchmarks.pictures.quality --shared ../shared                  # report pairs, 128 px
    python -m benchmarks.pictures.quality --sizes 128 256 512 --starts content noise --out /tmp/q
    python -m benchmarks.pictures.quality --which development --recipes balanced balanced-2026-11
    python -m benchmarks.pictures.quality --peer /tmp/crowsonkb-out --pairs 4 --sizes 128 256
    python -m benchmarks.pictures.quality --strengths 0 0.25 0.5 0.75 1 1.5 2
    python -m benchmarks.pictures.quality --recipes deep --weights imagenet   # needs the download
    python -m benchmarks.pictures.quality --recipes pytorch-tutorial neural-style --out /tmp/q

Per pair: chr (chroma energy of the finest Laplacian band over the style's own), line (what stands
out along the border over what does further in), style (mean of ‖G-A‖² / ‖A‖² at relu1_1, relu2_1,
relu3_1) and content (mean (F-P)² / mean P² at conv3_3) by torchvision's VGG-19 in float32 on the
8-bit result, and seconds of CPU time. Medians, and in brackets the worst. Pictures that are in
--out already, made by the same recipe, weights and evaluations, are measured again, not made.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from benchmarks.pictures.measures import chroma_ratio, line_ratio
from benchmarks.pictures.pairs import PicturePair, load_pairs
from benchmarks.setting.inputs import WEIGHTS, add_shared_option, check_shared
from benchmarks.setting.judge import Judge
from benchmarks.setting.machine import describe_machine
from stylebatch import stylize
from stylebatch.extractors.weights import find_weights, layers_digest
from stylebatch.pictures.images import Pixels
from stylebatch.recipes import make_settings, recipe_fields, recipe_on

# Peers' recipes at the pairs' work sizes, and with layers that the shared weights have.
OVERRIDES: dict[str, dict[str, Any]] = {
    "pytorch-tutorial": {"fit": "longest", "bucket_px": 32},
    "neural-style": {
        "bucket_px": 32,
        "content_layers": {"relu3_3": 1},
        "style_layers": {"relu1_1": 1, "relu2_1": 1, "relu3_1": 1},
    },
}


class Figures(NamedTuple):
    """What is measured of one picture."""

    chr: float
    line: float
    style: float
    content: float
    seconds: float


class Work(NamedTuple):
    """What is made of each pair."""

    edge: int
    recipe: str
    start: str
    strength: float

    def __str__(self) -> str:
        strength = "" if self.strength == 1 else f", strength {self.strength:g}"
        return f"{self.edge} px, {self.recipe} from {self.start}{strength}"


def main() -> None:
    """Print a line for each recipe, size and start."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_shared_option(parser)
    parser.add_argument("--which", choices=("report", "development"), default="report")
    parser.add_argument("--pairs", type=int, help="only so many of them")
    parser.add_argument("--recipes", nargs="+", default=["balanced"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[128], help="longest edge, px")
    parser.add_argument("--starts", nargs="+", choices=("content", "noise"), default=["content"])
    parser.add_argument("--strengths", type=float, nargs="+", default=[1.0])
    parser.add_argument("--steps", type=int, help="evaluations at most, instead of the recipe's")
    parser.add_argument("--arch", default="vgg19", help="vgg19, or slim with its own weights")
    parser.add_argument("--weights", help="of the architecture; else those of the shared folder")
    parser.add_argument("--out", type=Path, help="keep the pictures in this folder")
    parser.add_argument("--peer", type=Path, help="pictures of benchmarks.pictures.crowsonkb")
    options = parser.parse_args()
    shared = check_shared(options.shared)
    torch.set_num_threads(1)
    print(describe_machine(torch.float32))
    judge = Judge(shared / WEIGHTS)
    for edge in options.sizes:
        pairs = load_pairs(shared, options.which, edge, options.pairs)
        every = product(options.recipes, options.starts, options.strengths)
        for work in (Work(edge, *each) for each in every):
            made = [make(pair, work, shared, options) for pair in pairs]
            figures = [
                measure(picture, seconds, pair, judge)
                for (picture, seconds), pair in zip(made, pairs, strict=True)
            ]
            print(f"{work}: {describe(figures)}", flush=True)
            if options.peer and work.start == "content":
                print_peer(options.peer, pairs, figures, edge, judge)


def make(
    pair: PicturePair, work: Work, shared: Path, options: argparse.Namespace
) -> tuple[Pixels, float]:
    """Return a pair's picture and its CPU seconds, from the folder if it is there."""
    override = {**OVERRIDES.get(work.recipe, {}), "start": work.start}
    if options.steps:
        override["steps"] = options.steps
    weights = options.weights or (str(shared / WEIGHTS) if options.arch == "vgg19" else None)
    path = None if options.out is None else options.out / f"{pair.name} {work} {options.arch}.png"
    made_with = "" if path is None else settings_id(work, override, options.arch, weights)
    if path is not None and path.exists():
        with Image.open(path) as kept:
            if kept.info.get("settings") == made_with:
                return np.asarray(kept), float(kept.info["seconds"])
    began = time.process_time()
    (image,) = stylize(
        Image.fromarray(pair.content),
        Image.fromarray(pair.style),
        work.recipe,
        arch=options.arch,
        weights=weights,
        strength=work.strength,
        size_px=work.edge,
        override=override,
    )
    seconds = time.process_time() - began
    if path is not None:
        save(image, path, seconds=json.dumps(seconds), settings=made_with)
    return np.asarray(image), seconds


def settings_id(work: Work, override: Mapping[str, Any], arch: str, weights: str | None) -> str:
    """Return what changes whenever a recipe or its weights would give another picture."""
    found = find_weights(arch, weights, Path.cwd())
    fields = {**recipe_fields(work.recipe), **override, "size_px": work.edge}
    recipe = recipe_on(arch, fields)
    return make_settings(recipe, found, layers_digest(found, recipe.layers), "auto").id


def save(image: Image.Image, path: Path, **facts: str) -> None:
    """Save a picture with what is known of it."""
    told = PngInfo()
    for name, text in facts.items():
        told.add_text(name, text)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, pnginfo=told)


def measure(picture: Pixels, seconds: float, pair: PicturePair, judge: Judge) -> Figures:
    """Return the figures of one picture."""
    style = pair.style_at_size
    score = judge.score(picture, pair.content, style)
    speckle, frame = chroma_ratio(picture, style), line_ratio(picture)
    return Figures(speckle, frame, score.style, score.content, seconds)


def describe(figures: Sequence[Figures]) -> str:
    """Return the medians and the worst."""
    parts = []
    for name in Figures._fields:
        values = [getattr(each, name) for each in figures]
        parts.append(f"{name} {median(values):.3g} ({max(values):.3g})")
    return ", ".join(parts)


def print_peer(
    folder: Path, pairs: Sequence[PicturePair], ours: Sequence[Figures], edge: int, judge: Judge
) -> None:
    """Print a peer's figures beside ours, pair by pair, and the medians of both."""
    times = json.loads((folder / "times.json").read_text(encoding="utf-8"))
    both = []
    for pair, own in zip(pairs, ours, strict=True):
        name = f"{pair.name} {edge}"
        path = folder / f"{name}.png"
        if path.exists():
            with Image.open(path) as image:
                peer = measure(np.asarray(image.convert("RGB")), times[name], pair, judge)
            both.append((own, peer))
            print(f"    {pair.name}: {describe([own])} | peer: {describe([peer])}")
    if both:
        shares = [own.seconds / peer.seconds for own, peer in both]
        print(f"    {len(both)} pairs, ours: {describe([own for own, _ in both])}")
        print(f"    {len(both)} pairs, peer: {describe([peer for _, peer in both])}")
        print(f"    CPU time, ours / peer's: median 1/{1 / median(shares):.1f}", flush=True)


if __name__ == "__main__":
    main()

"""`stylebatch judge`: what the images of an output are worth, by their files."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from stylebatch.cli.arguments import (
    DEFAULT_MANIFEST,
    Changes,
    OutputPath,
    WeightsOption,
    check_arch,
    check_writable,
    fetch_weights,
    find_output,
    is_output,
    one_of,
)
from stylebatch.cli.tables import print_table, say
from stylebatch.errors import UserError
from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.extractors.weights import WeightSet, find_weights
from stylebatch.manifest import Manifest, load_manifest
from stylebatch.output.acceptance import SCORES
from stylebatch.output.layout import Dataset
from stylebatch.run import JudgedFile, Judgement, judge_output, last_summary, prepare_weights
from stylebatch.system import files
from stylebatch.system.bars import passing_bar
from stylebatch.system.words import counted

# Which end of a score is the worse one; of the colour neither is.
_IS_LOW_BAD = {"closed": True, "ssim": True, "speckle": False}
_TENTH = 0.1
_FOUND = 3

NumWorst = Annotated[
    int, typer.Option("--worst", min=0, metavar="N", help="List the N that close least.")
]
OtherArch = Annotated[
    str | None,
    typer.Option(
        "--arch",
        help="Measure style on another network's own layers: " + ", ".join(ARCHITECTURES) + ".",
        autocompletion=one_of(ARCHITECTURES),
    ),
]
Table = Annotated[
    Path | None,
    typer.Option(
        "--scores", metavar="FILE", help="Where the table of all images goes; else OUT/scores.csv."
    ),
]


def judge(
    path: OutputPath = DEFAULT_MANIFEST,
    num_worst: NumWorst = 0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    table: Table = None,
    arch: OtherArch = None,
    weights: WeightsOption = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda:0, mps.")] = "auto",
    changes: Changes = None,
) -> None:
    """Measure every image from its file: how much style, structure, colour and speckle it has.

    With convolutions in float32, at the size at which it was made. Ends with 3 where images lie
    outside the manifest's `accept`; what another network calls closed is not compared with it.
    """
    dataset = find_output(path, changes or ())
    manifest = _manifest_of(path, dataset, changes or ())
    target = table or dataset.root / "scores.csv"
    check_writable(target)
    network = _network(manifest, arch, weights)
    with passing_bar() as tell:
        found = judge_output(
            dataset,
            manifest,
            network,
            device=device,
            tell=lambda done, total: tell("judging", done, total),
        )
    files.write_atomic(target, _csv(found.images).encode())
    _print(found, target, num_worst, as_json=as_json)
    raise typer.Exit(_FOUND if any(each.outside for each in found.images) else 0)


def _manifest_of(path: Path, dataset: Dataset, changes: Sequence[str]) -> Manifest:
    """Return the manifest that an output was made with: the one named, or that of its last run."""
    if not is_output(path):
        return load_manifest(path, changes=changes)
    summary = last_summary(dataset)
    told = [place for key in ("manifest_path", "manifest") if (place := summary.get(key))]
    there = next((place for place in map(Path, told) if place.is_file()), None)
    allowed = "photographs and styles are found by it"
    if there is None:
        found = f"its last run's manifest is not there ({told[0] if told else 'not told'})"
        raise UserError(str(path), found, allowed, "name the manifest instead of the output")
    manifest = load_manifest(there)
    if manifest.output.resolve() != dataset.root.resolve():
        other = manifest.dataset().place
        found = f"its last run's manifest, {there}, is of another output ({other})"
        todo = "name the manifest instead of the output, with `--set` if its run had that"
        raise UserError(str(path), found, allowed, todo)
    return manifest


def _network(manifest: Manifest, arch: str | None, weights: str | None) -> WeightSet | None:
    """Return another network to measure with, there and checked; None for the manifest's own."""
    if arch is None:
        if weights is not None:
            raise typer.BadParameter("is of another network: add --arch", param_hint="--weights")
        prepare_weights(manifest, lambda notice: typer.echo(notice.text, err=True))
        return None
    check_arch(arch)
    fetch_weights(arch, weights)
    return find_weights(arch, weights, Path.cwd())


def _csv(images: Sequence[JudgedFile]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    told = [f"{name}_recorded" for name in SCORES]
    writer.writerow(["file_name", "pair", "label", "style", "strength", *SCORES, *told, "outside"])
    for each in images:
        scores = [kind[name] for kind in (each.scores, each.told) for name in SCORES]
        facts = [f"images/{each.output}", each.pair, each.label, each.style, each.strength]
        writer.writerow([*facts, *scores, " ".join(each.outside)])
    return text.getvalue()


def _print(found: Judgement, target: Path, num_worst: int, *, as_json: bool) -> None:
    worst = sorted(found.images, key=_closed)[:num_worst]
    outside = sum(bool(each.outside) for each in found.images)
    if as_json:
        told = {
            "images": len(found.images),
            "outside": outside,
            "unjudged": dict(found.unjudged),
            "styles": [_summary(style, group) for style, group in _by_style(found.images)],
            "worst": [_plain(each) for each in worst],
            "scores": str(target),
        }
        typer.echo(json.dumps(told, ensure_ascii=False, indent=2))
        return
    console = Console(highlight=False)
    rows = [_row(_summary(style, group)) for style, group in _by_style(found.images)]
    header = [part for name in SCORES for part in _header(name)]
    if rows:
        print_table(console, ("images", *header, "style"), rows)
    for each in worst:
        scores = ", ".join(f"{name} {_text(each.scores[name])}" for name in SCORES)
        say(console, f"{each.output}: {scores}")
    for reason, count in found.unjudged.items():
        say(console, f"not judged: {counted(count, 'image')}: {reason}")
    line = f"{target}: {counted(len(found.images), 'image')} judged"
    if outside:
        line += f", {outside} outside `accept`"
    say(console, line)


def _closed(image: JudgedFile) -> tuple[bool, float, str]:
    closed = image.scores["closed"]
    return (closed is None, closed or 0.0, image.output)


def _by_style(images: Sequence[JudgedFile]) -> list[tuple[str, list[JudgedFile]]]:
    groups: dict[str, list[JudgedFile]] = {}
    for each in images:
        groups.setdefault(each.style, []).append(each)
    found = sorted(groups.items())
    return [*found, ("all", list(images))] if len(found) > 1 else found


def _summary(style: str, images: Sequence[JudgedFile]) -> dict[str, Any]:
    """Return a style's medians, and where the worst tenth of its images begins."""
    told: dict[str, Any] = {"style": style, "images": len(images)}
    for name in SCORES:
        values = [x for each in images if (x := each.scores[name]) is not None]
        told[name] = {"median": round(float(np.median(values)), 4) if values else None}
        if name in _IS_LOW_BAD:
            share = _TENTH if _IS_LOW_BAD[name] else 1 - _TENTH
            tenth = round(float(np.quantile(values, share)), 4) if values else None
            told[name]["worst_tenth"] = tenth
    return told


def _header(name: str) -> list[str]:
    return [name, "worst tenth"] if name in _IS_LOW_BAD else [name]


def _row(told: dict[str, Any]) -> list[str]:
    numbers = [_text(value) for name in SCORES for value in told[name].values()]
    return [str(told["images"]), *numbers, told["style"]]


def _text(score: float | None) -> str:
    return "-" if score is None else f"{score:.3f}"


def _plain(image: JudgedFile) -> dict[str, Any]:
    return {
        "file_name": f"images/{image.output}",
        "style": image.style,
        "strength": image.strength,
        **image.scores,
        "outside": list(image.outside),
    }

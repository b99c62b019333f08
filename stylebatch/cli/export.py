"""`stylebatch export`: an output as other programs read it."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from stylebatch.cli.arguments import OutputPath, check_in_folder, find_output, one_of
from stylebatch.export import KINDS, TASKS, Exported, Request, export, parse_shard_size
from stylebatch.system.bars import passing_bar
from stylebatch.system.words import counted

app = typer.Typer(
    help="Write an output as other programs read it: WebDataset, Parquet, YOLO, COCO.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Destination = Annotated[
    Path,
    typer.Argument(
        metavar="DEST", help="A new or empty folder, or one that the same export has written."
    ),
]
Splits = Annotated[
    list[str] | None,
    typer.Option("--split", metavar="NAME", help="Only this split; repeatable."),
]
Kind = Annotated[
    str | None,
    typer.Option(metavar="KIND", help=" or ".join(KINDS) + " only.", autocompletion=one_of(KINDS)),
]
ShardSizeText = Annotated[
    str,
    typer.Option(
        "--shard-size", metavar="SIZE", help="Of a file at most: images (1000) or bytes (256MB)."
    ),
]
Seed = Annotated[int, typer.Option(help="Decides the order, which mixes classes.")]
Task = Annotated[
    str | None,
    typer.Option(
        metavar="TASK",
        help="classify: folders of classes; detect: images with their labels, the default where "
        "the output has labels.",
        autocompletion=one_of(TASKS),
    ),
]
DEFAULT_SIZE = "256MB"
T = TypeVar("T")


@app.command()
def webdataset(
    path: OutputPath,
    destination: Destination,
    splits: Splits = None,
    kind: Kind = None,
    shard_size: ShardSizeText = DEFAULT_SIZE,
    seed: Seed = 0,
) -> None:
    """Tar files that WebDataset streams: SPLIT-000000.tar, each image with its class and line."""
    _export(path, destination, _sharded("webdataset", splits, kind, shard_size, seed))


@app.command()
def parquet(
    path: OutputPath,
    destination: Destination,
    splits: Splits = None,
    kind: Kind = None,
    shard_size: ShardSizeText = DEFAULT_SIZE,
    seed: Seed = 0,
) -> None:
    """Parquet with the images inside, as Hugging Face's `load_dataset` reads it."""
    _export(path, destination, _sharded("parquet", splits, kind, shard_size, seed))


@app.command()
def yolo(
    path: OutputPath,
    destination: Destination,
    splits: Splits = None,
    kind: Kind = None,
    task: Task = None,
) -> None:
    """The folders that ultralytics trains on: train/CLASS, or images, labels and data.yaml."""
    if task is not None:
        task = _checked(_one_of(TASKS), task, "--task")
    _export(path, destination, Request("yolo", _splits(splits), _kind(kind), task=task))


@app.command()
def coco(
    path: OutputPath, destination: Destination, splits: Splits = None, kind: Kind = None
) -> None:
    """Images, and a JSON file for each split: classes, or the boxes that the output has."""
    _export(path, destination, Request("coco", _splits(splits), _kind(kind)))


def _sharded(
    name: Literal["webdataset", "parquet"],
    splits: list[str] | None,
    kind: str | None,
    shard_size: str,
    seed: int,
) -> Request:
    size = _checked(parse_shard_size, shard_size, "--shard-size")
    return Request(name, _splits(splits), _kind(kind), size, seed)


def _splits(splits: list[str] | None) -> tuple[str, ...]:
    return tuple(sorted(set(splits or ())))


def _kind(kind: str | None) -> str | None:
    return kind if kind is None else _checked(_one_of(KINDS), kind, "--kind")


def _one_of(names: tuple[str, ...]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in names:
            raise ValueError(f"'{text}' is none; allowed are {', '.join(names)}")
        return text

    return check


def _checked(read: Callable[[str], T], text: str, option: str) -> T:
    try:
        return read(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _export(path: Path, destination: Path, request: Request) -> None:
    dataset = find_output(path)
    check_in_folder(dataset, "export")
    with passing_bar() as tell:
        done = export(
            dataset, destination, request, lambda what, done, total: tell(what, done, total or None)
        )
    for note in done.notes:
        typer.echo(f"note: {note}", err=True)
    if done.num_left:
        told = counted(done.num_left, "file", "is", "are")
        typer.echo(f"note: {told} no longer part of it, but changed since: left there", err=True)
    typer.echo(f"{destination}: {_line(done)}")


def _line(done: Exported) -> str:
    splits = ", ".join(f"{name} {count:,}" for name, count in done.splits.items())
    num_classes = len(done.classes)
    classes = f", {num_classes:,} class{'' if num_classes == 1 else 'es'}" if num_classes else ""
    parts = f"{counted(done.num_images, 'image')} ({splits}){classes}"
    return f"{parts}, in {counted(done.num_files, 'file')}; checked"

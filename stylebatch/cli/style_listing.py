"""`stylebatch styles list` and `show`: what the library and the cache hold."""

import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from stylebatch.cli.arguments import CacheOption
from stylebatch.cli.durations import age
from stylebatch.cli.tables import print_table, say
from stylebatch.cli.thumbnails import Kind, beside, choose_kind, cut
from stylebatch.library.overview import Entry, find_entry, list_entries
from stylebatch.library.style_file import Told, sizes_text
from stylebatch.system.files import default_cache_folder
from stylebatch.system.words import counted, size_text

LIST_CELLS, SHOW_CELLS = (16, 8), (40, 20)
_UNNAMED = "(of earlier versions)"
Thumbnails = Annotated[
    Kind,
    typer.Option(
        "--thumbnails",
        help="Pictures of the styles: as the terminal can, or one way, or a table without them.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs: one JSON document.")]


def list_styles(
    thumbnails: Thumbnails = Kind.AUTO, is_json: AsJson = False, cache: CacheOption = None
) -> None:
    """List the styles of the library, and those whose targets the cache has."""
    folder = cache or default_cache_folder()
    entries = list_entries(folder)
    if is_json:
        typer.echo(json.dumps([_described(each) for each in entries], ensure_ascii=False, indent=2))
        return
    console = Console(highlight=False)
    if not entries:
        say(console, f"{folder}: no styles: `stylebatch styles warm` or `import` puts some there")
        return
    kind, now_s = choose_kind(thumbnails), time.time()
    if kind is Kind.NONE:
        header = ("style", "name", "sets", "size", "used", "sizes and source")
        print_table(console, header, (_row(each, now_s) for each in entries))
    else:
        for entry in entries:
            _show_beside(entry, folder, kind, _lines(entry, now_s), LIST_CELLS)
    total = sum(each.size for each in entries)
    say(console, f"{folder}: {counted(len(entries), 'style')}, {size_text(total)}")


def _show_beside(
    entry: Entry, cache: Path, kind: Kind, lines: Sequence[str], cells: tuple[int, int]
) -> None:
    room = shutil.get_terminal_size().columns - cells[0] - 3
    texts = [cut(_printable(line), max(8, room)) for line in lines]
    # Escape sequences are not for rich, which would count them as text.
    sys.stdout.write(beside(entry.thumbnail(cache), texts, kind, *cells) + "\n")
    sys.stdout.flush()


def _printable(text: str) -> str:
    """Leave out what a terminal would obey: a file that others made may say anything."""
    return "".join(each if each.isprintable() else "�" for each in text)


def _row(entry: Entry, now_s: float) -> tuple[str, ...]:
    cells = (
        entry.reference or "-",
        entry.name or _UNNAMED,
        str(len(entry.requests) or len(entry.cached)),
        size_text(entry.size),
        _used(entry, now_s),
        _sizes_and_source(entry),
    )
    return tuple(map(_printable, cells))


def _lines(entry: Entry, now_s: float) -> list[str]:
    lines = [
        entry.name or _UNNAMED,
        entry.reference if entry.file or entry.problem else f"cached, {entry.reference or '-'}",
        f"{counted(len(entry.requests) or len(entry.cached), 'set')} of targets, "
        f"{size_text(entry.size)}",
        f"used {_used(entry, now_s)} ago",
    ]
    if entry.problem:
        return [*lines, entry.problem]
    # Of a path its end tells most.
    sizes, _, source = _sizes_and_source(entry).rpartition("; ")
    lines += [sizes, source if entry.file else Path(source).name]
    if entry.file and (said := "; ".join(filter(None, _said(entry.file.told)))):
        lines.append(said)
    return [line for line in lines if line]


def _used(entry: Entry, now_s: float) -> str:
    return age(max(1.0, now_s - entry.used_s))


def _said(told: Told) -> tuple[str, str]:
    return told.note, told.licence


def _sizes_and_source(entry: Entry) -> str:
    if entry.problem:
        return entry.problem
    sizes = sizes_text(entry.requests) if entry.requests else ""
    if entry.file is not None:
        told = entry.file.told
        image = told.file if told.has_image else f"{told.file}, not in it"
        return "; ".join(filter(None, (sizes, image)))
    source = entry.cached[-1].of.source if entry.digest else ""
    return "; ".join(filter(None, (sizes, source)))


def _described(entry: Entry) -> dict[str, Any]:
    told = entry.file.told if entry.file else None
    return {
        "style": entry.reference,
        "kind": entry.kind,
        "name": entry.name,
        "digest": entry.digest,
        "sets": len(entry.requests) or len(entry.cached),
        "sizes_px": entry.sizes_px,
        "bytes": entry.size,
        "used": datetime.fromtimestamp(entry.used_s, UTC).isoformat(timespec="seconds"),
        "has_image": told.has_image if told else None,
        "source": told.file if told else (entry.cached[-1].of.source if entry.cached else ""),
        "note": told.note if told else "",
        "licence": told.licence if told else "",
        "problem": entry.problem,
    }


def show(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="As `styles list` shows it, or part of a digest."),
    ],
    thumbnails: Thumbnails = Kind.AUTO,
    is_json: AsJson = False,
    cache: CacheOption = None,
) -> None:
    """Show where a style comes from, and which targets there are of it."""
    folder = cache or default_cache_folder()
    entry = find_entry(list_entries(folder), name)
    if is_json:
        whole = {**_described(entry), "requests": entry.requests, **_origin(entry)}
        typer.echo(json.dumps(whole, ensure_ascii=False, indent=2))
        return
    console, now_s = Console(highlight=False), time.time()
    facts = {
        "style": entry.reference,
        "name": entry.name or _UNNAMED,
        "digest": entry.digest,
        **{key: str(value) for key, value in _origin(entry).items()},
        "size": size_text(entry.size),
        "used": f"{_used(entry, now_s)} ago",
        "problem": entry.problem,
    }
    known = {key: value for key, value in facts.items() if value}
    width = max(map(len, known))
    lines = [_printable(f"{key.ljust(width)}  {value}") for key, value in known.items()]
    kind = choose_kind(thumbnails)
    if kind is not Kind.NONE and entry.thumbnail(folder) is not None:
        _show_beside(entry, folder, kind, [], SHOW_CELLS)
    for line in lines:
        say(console, line)
    if entry.requests:
        say(console, "")
        print_table(console, _HEADER, _request_rows(entry.requests))


def _origin(entry: Entry) -> dict[str, Any]:
    """Return where a style comes from, and by what its targets were made."""
    if entry.file is not None:
        told = entry.file.told
        found = {
            "file": str(entry.file.path),
            "source": told.file,
            "image": f"{told.width}×{told.height} px, {size_text(told.size)}"
            + ("" if told.has_image else ", not in the file"),
            "made": told.made,
            "by": _versions(told.versions),
            "note": told.note,
            "licence": told.licence,
        }
    elif entry.digest:
        of = entry.cached[-1].of
        every = dict.fromkeys(_versions(each.of.versions) for each in entry.cached)
        found = {"source": of.source, "by": " and ".join(every)}
    else:
        found = {}
    return found


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


_HEADER = ("sizes", "device", "weights", "statistic", "layers")


def _request_rows(requests: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return a row for all sizes of what is asked for in one way."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for each in requests:
        rest = {key: value for key, value in each.items() if key not in ("size_px", "halvings")}
        groups.setdefault(json.dumps(rest, sort_keys=True), []).append(each)
    return [
        (
            sizes_text(group),
            str(group[0]["device_kind"]),
            str(group[0]["layers_digest"])[:8],
            f"{group[0]['statistic']}, {group[0]['pooling']}, {group[0]['padding']}",
            " ".join(group[0]["layers"]),
        )
        for group in groups.values()
    ]

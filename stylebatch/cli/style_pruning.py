"""`stylebatch styles prune`: cached targets that nobody needs any more, and named styles."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from stylebatch.cli.arguments import CacheOption
from stylebatch.errors import RunError
from stylebatch.library.cached import Cached, PruneRule, list_cached, remove_cached
from stylebatch.library.overview import Entry, find_entry, list_entries
from stylebatch.library.shelf import Library
from stylebatch.manifest import Manifest, load_manifest, parse_duration
from stylebatch.run import needed_targets
from stylebatch.system.files import default_cache_folder
from stylebatch.system.words import counted, parse_size, size_text


def prune(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...", help="These only; the library's go only where they are named."
        ),
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="TIME", help="What was not used for so long: 30d, 12h.")
    ] = None,
    unused_by: Annotated[
        list[Path] | None,
        typer.Option(metavar="MANIFEST", help="What no image of it needs; repeatable."),
    ] = None,
    max_bytes: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Then what was unused longest, down to 2GB, 500MiB."),
    ] = None,
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    cache: CacheOption = None,
) -> None:
    """Remove cached targets, also while a run goes on: it computes again what it still needs."""
    if not (names or older_than or unused_by or max_bytes):
        hint = "NAME, --older-than, --unused-by or --max-bytes"
        raise typer.BadParameter("would remove all: say what", param_hint=hint)
    older_than_s = _parsed(parse_duration, older_than, "--older-than") if older_than else 0.0
    most = int(_parsed(parse_size, max_bytes, "--max-bytes")) if max_bytes else None
    manifests = [load_manifest(path) for path in unused_by or ()]
    folder = cache or _cache_of(manifests)
    chosen_by_name = [find_entry(list_entries(folder), name) for name in names or ()]
    kept = [needed_targets(manifest) for manifest in manifests]
    rule = PruneRule(
        digests=_digests(chosen_by_name) if names else None,
        older_than_s=older_than_s,
        needed=frozenset().union(*(keys for keys, _ in kept)) if manifests else None,
        max_bytes=most,
    )
    now_s = time.time()
    cached = rule.choose(list_cached(folder), now_s)
    named = {reference for _, references in kept for reference in references}
    styles = [
        entry
        for entry in chosen_by_name
        if entry.kind == "library"
        and entry.reference not in named
        and now_s - entry.used_s >= older_than_s
    ]
    if not is_dry:
        _remove(folder, cached, styles)
    _tell(folder, cached, styles, is_dry=is_dry)


def _parsed(parse: Callable[[str], float], text: str, option: str) -> float:
    try:
        return parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _cache_of(manifests: Sequence[Manifest]) -> Path:
    """Return the one cache of manifests; of none the usual one."""
    found = {manifest.cache.resolve(): manifest.cache for manifest in manifests}
    if len(found) > 1:
        told = "are of several caches: name one with --cache"
        raise typer.BadParameter(told, param_hint="--unused-by")
    return next(iter(found.values()), default_cache_folder())


def _digests(entries: Sequence[Entry]) -> frozenset[str]:
    return frozenset(entry.digest for entry in entries if entry.kind == "cached")


def _remove(folder: Path, cached: Sequence[Cached], styles: Sequence[Entry]) -> None:
    library = Library(folder)
    try:
        remove_cached(folder, cached)
        for entry in styles:
            library.remove(entry.name)
    except OSError as error:
        found = f"something can't be removed ({error.strerror})"
        todo = "let yourself write there, then once more"
        raise RunError(error.filename or str(folder), found, "", todo) from error


def _tell(folder: Path, cached: Sequence[Cached], styles: Sequence[Entry], *, is_dry: bool) -> None:
    size = sum(each.size for each in cached) + sum(each.size for each in styles)
    removed = "would be removed" if is_dry else "removed"
    told = f"{counted(len(cached), 'set')} of cached targets"
    if styles:
        told += f" and {', '.join(entry.reference for entry in styles)}"
    typer.echo(f"{folder}: {told} {removed}, {size_text(size)}")

"""`stylebatch run`."""

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from stylebatch import manifest
from stylebatch.cli.arguments import DEFAULT_MANIFEST, Changes, one_of
from stylebatch.cli.dry_run import dry_run
from stylebatch.cli.durations import duration
from stylebatch.cli.views import LineView, LiveView, QuietView, RunView
from stylebatch.manifest import Manifest
from stylebatch.output.shard import Shard
from stylebatch.preview.preview import preview
from stylebatch.run import EXECUTORS, RunRequest, RunSummary, StopRequest
from stylebatch.run import run as run_pipeline
from stylebatch.system.words import counted

ManifestPath = Annotated[Path, typer.Argument(metavar="MANIFEST", help="The manifest.")]
NumPreview = Annotated[
    int | None,
    typer.Option(
        "--preview",
        min=1,
        metavar="N",
        help="Make N images spread over pairs, styles and "
        "shapes, and one contact sheet of them; nothing is recorded as done.",
    ),
]
ShardText = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Make part I (from 0) of N only: N machines share one output; then "
        "`stylebatch merge`.",
    ),
]
ExecutorName = Annotated[
    str | None,
    typer.Option(
        "--executor",
        metavar="NAME",
        help=f"Instead of the manifest's run.executor: {', '.join(EXECUTORS)}.",
        autocompletion=one_of(EXECUTORS),
    ),
]
_STOPPING = (signal.SIGINT, signal.SIGTERM)
DEMO_NOTE = (
    "note: weights: random is a demonstration extractor (seeded random filters); "
    "for real results set `arch: slim`, or `weights: imagenet`, under `extractor`"
)


def run(
    path: ManifestPath = DEFAULT_MANIFEST,
    is_dry: Annotated[
        bool,
        typer.Option("--dry-run", help="Show what would be done and take; write nothing."),
    ] = False,
    num_preview: NumPreview = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Where --preview writes its sheet.", dir_okay=False)
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Make N images at most.")
    ] = None,
    deadline: Annotated[
        str | None, typer.Option(metavar="TIME", help="Start nothing after this time, as in 6h.")
    ] = None,
    shard: ShardText = None,
    max_failures: Annotated[
        str | None,
        typer.Option(metavar="N|P%", help="Begin nothing more after so many failed images."),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what has failed.")
    ] = False,
    keep_stale: Annotated[
        bool, typer.Option("--keep-stale", help="Leave outputs that the plan no longer has.")
    ] = False,
    executor: ExecutorName = None,
    devices: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Instead of run.devices: auto, or cuda:0,cuda:1 or cpu."),
    ] = None,
    changes: Changes = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing unless something goes wrong.")
    ] = False,
) -> None:
    """Make every image of a manifest that is not there yet.

    The same command again does nothing; after a change it redoes what the change affects.
    """
    whole_run = {"--limit": limit, "--deadline": deadline, "--max-failures": max_failures}
    whole_run |= {"--retry-failed": retry_failed, "--keep-stale": keep_stale}
    _check_preview(num_preview, sheet, {"--dry-run": is_dry, "--shard": shard, **whole_run})
    loaded = _with_options(manifest.load_manifest(path, changes=changes or ()), executor, devices)
    request = RunRequest(
        limit, retry_failed, keep_stale, _seconds(deadline), _failures(max_failures), _shard(shard)
    )
    if is_dry:
        dry_run(loaded, request)
        return
    view = _view(loaded, quiet)
    if num_preview is not None:
        _preview(loaded, num_preview, sheet, view)
        return
    with _signals() as stop, view:
        summary = run_pipeline(loaded, request, view, stop)
    _tell(loaded, summary, view)
    raise typer.Exit(summary.exit_code)


def _check_preview(count: int | None, sheet: Path | None, others: Mapping[str, object]) -> None:
    """Refuse what would be passed over: who asks for it means another command."""
    if count is None and sheet is not None:
        raise typer.BadParameter("is of a preview: add --preview N", param_hint="--sheet")
    for option, value in others.items():
        if count is not None and value:
            raise typer.BadParameter("not together with --preview", param_hint=option)


def _view(loaded: Manifest, quiet: bool) -> RunView:
    if quiet:
        return QuietView()
    if not sys.stdout.isatty():
        return LineView()
    return LiveView(loaded.most_evaluations())


def _with_options(loaded: Manifest, executor: str | None, devices: str | None) -> Manifest:
    options = loaded.run
    if executor is not None:
        if executor not in EXECUTORS:
            allowed = ", ".join(EXECUTORS)
            raise typer.BadParameter(
                f"'{executor}' is not one of {allowed}", param_hint="--executor"
            )
        options = replace(options, executor=executor)
    if devices is not None:
        names = tuple(name.strip() for name in devices.split(",") if name.strip())
        options = replace(options, devices="auto" if names == ("auto",) else names)
    return replace(loaded, run=options)


def _seconds(deadline: str | None) -> float | None:
    if deadline is None:
        return None
    try:
        return manifest.parse_duration(deadline)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--deadline") from error


def _shard(text: str | None) -> Shard | None:
    if text is None:
        return None
    try:
        return Shard.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--shard") from error


def _failures(limit: str | None) -> int | str | None:
    if limit is None:
        return None
    try:
        return manifest.parse_failures(limit)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--max-failures") from error


@contextmanager
def _signals() -> Iterator[StopRequest]:
    """Let SIGINT and SIGTERM finish what is in the slots; twice stops, three times at any cost.

    One that is ignored stays so: whoever put the run into the background has seen to that.
    """
    stop = StopRequest()

    def request(number: int, frame: FrameType | None) -> None:
        stop.count += 1
        if stop.count > 2:
            raise KeyboardInterrupt

    heard = [each for each in _STOPPING if signal.getsignal(each) is not signal.SIG_IGN]
    before = {number: signal.signal(number, request) for number in heard}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _preview(loaded: Manifest, count: int, sheet: Path | None, view: RunView) -> None:
    target = sheet or loaded.output.with_name(f"{loaded.output.name}-preview.png")
    with _signals() as stop, view:
        made, failures = preview(loaded, count, target, view, stop)
    for output, reason in failures:
        typer.echo(f"stylebatch: {output}: {reason}", err=True)
    if made:
        view.say(f"{counted(made, 'image')} on one sheet: {target} (nothing was recorded as done)")
    elif not failures and not stop.count:
        view.say("nothing to preview: the manifest has no images")
    raise typer.Exit(4 if stop.count else 3 if failures else 0)


def _tell(loaded: Manifest, summary: RunSummary, view: RunView) -> None:
    """Print the one line at the end, and what a user has to know beside it."""
    random = any(pair.settings.weights.source == "random" for pair in loaded.pairs)
    if random and summary.done:
        view.remark(DEMO_NOTE)
    line = _summary_line(loaded, summary)
    if summary.exit_code:
        if summary.failed:
            where = "`stylebatch status`" if summary.shard else loaded.output / "failures.jsonl"
            line += f"; see {where}, `--retry-failed` tries again"
        typer.echo(f"stylebatch: {line}", err=True)
    else:
        view.say(line)


def _summary_line(loaded: Manifest, summary: RunSummary) -> str:
    parts = []
    if summary.done or summary.exit_code == 4:
        parts.append(f"{counted(summary.done, 'image')} made in {duration(summary.seconds)}")
    elif not (summary.failed or summary.taken_back):
        parts.append("nothing to do")
    if summary.taken_back:
        parts.append(f"{counted(summary.taken_back, 'image')} taken back from .stylebatch/stale")
    there = summary.done_before + summary.done
    parts.append(f"{there} of {summary.planned} {'is' if summary.planned == 1 else 'are'} there")
    if summary.failed:
        parts.append(f"{summary.failed} failed")
    if summary.replaced:
        parts.append(f"{summary.replaced} replaced, the old in .stylebatch/stale")
    if summary.set_aside:
        parts.append(f"{summary.set_aside} no longer in the plan, moved to .stylebatch/stale")
    if summary.outdated:
        still = "is" if summary.outdated == 1 else "are"
        parts.append(f"{summary.outdated} {still} as earlier settings made them")
    if summary.exit_code == 4:
        parts.append(f"stopped by {summary.stopped_by}: run it again to go on")
    elif summary.stopped_by:
        parts.append(f"stopped by {summary.stopped_by} with {summary.remaining} left to make")
    if summary.warnings and summary.done:
        parts.append(f"{counted(len(summary.warnings), 'warning')} in run.json")
    part = f"shard {summary.shard}: " if summary.shard else ""
    return f"{loaded.output / 'images'}: {part}{', '.join(parts)}"

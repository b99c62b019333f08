"""`stylebatch run`."""

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

import typer

from stylebatch import manifest
from stylebatch.cli.annotations import annotation_parts
from stylebatch.cli.arguments import Changes, Rehash
from stylebatch.cli.dry_run import dry_run
from stylebatch.cli.durations import roughly
from stylebatch.cli.inputs import all_passed_over, staying
from stylebatch.cli.report import report_at_end
from stylebatch.cli.run_options import (
    AllowRemovals,
    DeadlineText,
    DeviceList,
    ExecutorName,
    IsDry,
    KeepStale,
    Limit,
    MaxFailures,
    NumPreview,
    Quiet,
    RetryFailed,
    ShardText,
    Sheet,
)
from stylebatch.cli.several import Manifests, WrittenPlan, load_all, most_serious
from stylebatch.cli.signals import hearing
from stylebatch.cli.streams import stand_all
from stylebatch.cli.views import LineView, LiveView, QuietView, RunView
from stylebatch.errors import UserError
from stylebatch.manifest import Manifest
from stylebatch.output.shard import Shard
from stylebatch.preview.preview import preview
from stylebatch.run import EXECUTORS, RunRequest, RunSummary, StopRequest
from stylebatch.run import run as run_pipeline
from stylebatch.system.words import counted, duration

# What is left of a deadline that is over.
LEAST_S = 0.001
DEMO_NOTE = (
    "note: weights: random is a demonstration extractor (seeded random filters); "
    "for real results set `arch: slim`, or `weights: imagenet`, under `extractor`"
)


def run(
    paths: Manifests = None,
    is_dry: IsDry = False,
    num_preview: NumPreview = None,
    sheet: Sheet = None,
    limit: Limit = None,
    deadline: DeadlineText = None,
    shard: ShardText = None,
    max_failures: MaxFailures = None,
    retry_failed: RetryFailed = False,
    keep_stale: KeepStale = False,
    allow_removals: AllowRemovals = False,
    rehash: Rehash = False,
    executor: ExecutorName = None,
    devices: DeviceList = None,
    written: WrittenPlan = None,
    changes: Changes = None,
    quiet: Quiet = False,
) -> None:
    """Make every image of a manifest that is not there yet.

    The same command again does nothing; after a change it redoes what the change affects.
    """
    whole_run = {"--limit": limit, "--deadline": deadline, "--max-failures": max_failures}
    whole_run |= {"--retry-failed": retry_failed, "--keep-stale": keep_stale}
    whole_run |= {"--allow-removals": allow_removals, "--rehash": rehash}
    whole_run["several manifests"] = len(paths or ()) > 1
    _check_preview(num_preview, sheet, {"--dry-run": is_dry, "--shard": shard, **whole_run})
    manifests = [
        _with_options(each, executor, devices) for each in load_all(paths, changes, written)
    ]
    request = RunRequest(
        limit=limit,
        retry_failed=retry_failed,
        keep_stale=keep_stale,
        allow_removals=allow_removals,
        rehash=rehash,
        deadline_s=_seconds(deadline),
        max_failures=_failures(max_failures),
        shard=_shard(shard),
    )
    if is_dry:
        for each in manifests:
            dry_run(each, request)
        return
    if num_preview is not None:
        _preview(manifests[0], num_preview, sheet, _view(manifests[0], quiet))
        return
    raise typer.Exit(_run_all(manifests, request, quiet))


def _run_all(manifests: Sequence[Manifest], request: RunRequest, quiet: bool) -> int:
    """Make what manifests say, one after another; what one is refused for leaves the others be."""
    started_s, codes = time.monotonic(), list[int]()
    with _signals() as stop:
        for number, loaded in enumerate(manifests):
            if stop.count:
                left = ", ".join(str(each.path) for each in manifests[number:])
                typer.echo(f"stylebatch: not begun: {left}", err=True)
                codes.append(4)
                break
            view = _view(loaded, quiet)
            try:
                with view:
                    if loaded.store:
                        view.say(f"{loaded.store.url}: its state is in {loaded.output}")
                    summary = run_pipeline(loaded, _from_now(request, started_s), view, stop)
            except UserError as error:
                if len(manifests) == 1:
                    raise
                for line in str(error).splitlines():
                    typer.echo(f"stylebatch: {line}", err=True)
                codes.append(error.exit_code)
                continue
            _tell(loaded, summary, view)
            if loaded.run.report and summary.shard is None:
                report_at_end(loaded.dataset(), is_quiet=quiet, check=_check_once_more(stop))
            codes.append(summary.exit_code)
    return most_serious(codes)


def _check_once_more(stop: StopRequest) -> Callable[[], None]:
    """Return what ends the report when Ctrl-C comes from now on: it is not what was asked for."""
    count = stop.count

    def check() -> None:
        if stop.count > count:
            raise KeyboardInterrupt

    return check


def _from_now(request: RunRequest, started_s: float) -> RunRequest:
    """Return a request with what is left of its deadline, which is for all manifests together."""
    if request.deadline_s is None:
        return request
    left_s = request.deadline_s - (time.monotonic() - started_s)
    return replace(request, deadline_s=max(LEAST_S, left_s))


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
    """Let SIGINT, SIGTERM, SIGHUP finish what is in slots; twice stops, three times at any cost.

    One that is ignored stays so: whoever put the run into the background has seen to that.
    """
    stand_all()  # what it makes is worth more than what it tells
    stop = StopRequest()

    def request(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP and stop.count:
            return  # a shell that ends passes it on, and then the system sends it as well
        stop.count += 1
        if stop.count > 2:
            raise KeyboardInterrupt

    with hearing(request):
        yield stop


def _preview(loaded: Manifest, count: int, sheet: Path | None, view: RunView) -> None:
    target = sheet or _beside(loaded)
    with _signals() as stop, view:
        made, failures = preview(loaded, count, target, view, stop)
    for output, reason in failures:
        typer.echo(f"stylebatch: {output}: {reason}", err=True)
    if made:
        view.say(f"{counted(made, 'image')} on one sheet: {target} (nothing was recorded as done)")
    elif not failures and not stop.count:
        view.say("nothing to preview: the manifest has no images")
    raise typer.Exit(4 if stop.count else 3 if failures else 0)


def _beside(loaded: Manifest) -> Path:
    """Return where the sheet of a preview is, where nobody says."""
    name = f"{loaded.dataset().name}-preview.png"
    return loaded.root / name if loaded.store else loaded.output.with_name(name)


def _tell(loaded: Manifest, summary: RunSummary, view: RunView) -> None:
    """Print the one line at the end, and what a user has to know beside it."""
    weights = [pair.settings.network for pair in loaded.pairs]
    random = any(each is not None and each.source == "random" for each in weights)
    if random and summary.done:
        view.remark(DEMO_NOTE)
    line = _summary_line(loaded, summary)
    if summary.exit_code:
        if summary.failed_annotations and not summary.failed:
            line += f"; see {_told(loaded, 'failures.jsonl')}"
        if summary.failed:
            where = "`stylebatch status`" if summary.shard else _told(loaded, "failures.jsonl")
            line += f"; see {where}, `--retry-failed` tries again"
        typer.echo(f"stylebatch: {line}", err=True)
    else:
        view.say(line)


def _summary_line(loaded: Manifest, summary: RunSummary) -> str:
    parts = []
    if summary.done or summary.exit_code == 4:
        parts.append(f"{counted(summary.done, 'image')} made in {duration(summary.seconds)}")
    elif not (summary.failed or summary.taken_back or summary.taken_out):
        parts.append("nothing to do")
    if summary.adopted:
        parts.append(f"{counted(summary.adopted, 'image')} known again by metadata.jsonl")
    if summary.taken_back:
        parts.append(f"{counted(summary.taken_back, 'image')} taken back from .stylebatch/stale")
    there = summary.done_before + summary.done
    parts.append(f"{there} of {summary.planned} {'is' if summary.planned == 1 else 'are'} there")
    if summary.failed:
        parts.append(f"{summary.failed} failed")
    if summary.rejected:
        parts.append(f"{summary.rejected} rejected by `accept`")
    if summary.replaced:
        parts.append(f"{summary.replaced} replaced, the old in .stylebatch/stale")
    if summary.set_aside:
        parts.append(f"{summary.set_aside} no longer in the plan, moved to .stylebatch/stale")
    if summary.taken_out:
        parts.append(f"{summary.taken_out} no longer accepted, moved to .stylebatch/stale")
    if summary.outdated:
        still = "is" if summary.outdated == 1 else "are"
        parts.append(f"{summary.outdated} {still} as earlier settings made them")
    most = loaded.run.max_removals
    parts += staying(summary.unreachable, summary.kept, summary.withheld, most)
    parts += all_passed_over(summary.passed_over)
    if summary.first_pages:
        parts.append(f"{summary.first_pages} of the first page or frame of several")
    parts += annotation_parts(summary)
    if summary.saved:
        parts.append(f"{summary.saved} saved half-made")
    if summary.exit_code == 4:
        parts.append(f"stopped by {_stop_reason(summary)}: run it again to go on")
    elif summary.stopped_by:
        parts.append(f"stopped by {summary.stopped_by} with {summary.remaining} left to make")
    if summary.warnings and summary.done:
        parts.append(f"{counted(len(summary.warnings), 'warning')} in run.json")
    part = f"shard {summary.shard}: " if summary.shard else ""
    return f"{_told(loaded, 'images')}: {part}{', '.join(parts)}"


def _told(loaded: Manifest, name: str) -> str:
    return loaded.dataset().tell(loaded.output / name)


def _stop_reason(summary: RunSummary) -> str:
    """Return what stopped a run, and of a deadline that is too short that it is."""
    if summary.shortest_s is not None:
        return (
            f"deadline, which is shorter than an image takes (about {roughly(summary.shortest_s)})"
        )
    if summary.stopped_by == "deadline" and not (summary.evaluations or summary.done):
        return "deadline, which was over before an image was begun"
    return str(summary.stopped_by)

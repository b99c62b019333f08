"""`stylebatch run --dry-run`: the plan, and what it will take."""

import os
from contextlib import nullcontext

from rich.console import Console
from rich.filesize import decimal

from stylebatch.cli.durations import roughly
from stylebatch.cli.plan import foresee, print_plan
from stylebatch.cli.tables import say
from stylebatch.manifest import Manifest
from stylebatch.preview.estimate import Estimate, estimate
from stylebatch.run import RunRequest, make_plan, open_to_plan
from stylebatch.system.words import counted

# Of `balanced`'s evaluations at most: docs/cron.md.
USUAL_SHARE = 0.55


def dry_run(manifest: Manifest, request: RunRequest) -> None:
    """Print what a run would do and take; nothing is written."""
    console = Console(highlight=False)
    with open_to_plan(manifest.dataset()) as ledger:
        retry, shard = request.retry_failed, request.shard
        planned, summary, styles = make_plan(
            manifest, ledger, retry_failed=retry, rehash=request.rehash, shard=shard
        )
        foreseen = foresee(manifest, planned, summary, ledger, styles, request)
        print_plan(console, manifest, foreseen)
        if not foreseen.waiting:
            return
        is_shown = console.is_terminal
        with console.status("planning …") if is_shown else nullcontext() as status:
            tell = status.update if status else str
            found = estimate(
                manifest,
                planned,
                ledger,
                styles,
                space=foreseen.space,
                waiting=foreseen.waiting,
                limit=request.limit,
                tell=tell,
            )
    deadline_s = request.deadline_s or manifest.run.deadline_s
    for line in lines(found, manifest, deadline_s):
        say(console, line)


def lines(found: Estimate, manifest: Manifest, deadline_s: float | None) -> list[str]:
    """Say what a run will take: evaluations, disk, time."""
    carried = counted(found.carried, "photograph")
    more = f", and {carried} to carry over" if found.carried else ""
    told = [f"images: {found.images:,}{more}", f"evaluations: {_evaluations(found)}"]
    free = f"{decimal(found.free_bytes)} are free at {manifest.output}"
    if manifest.store:
        size = "not known" if found.output_bytes is None else f"about {decimal(found.output_bytes)}"
        told.append(f"store: {size}")
    elif found.output_bytes is None:
        told.append(f"disk: not known; {free}")
    else:
        told.append(f"disk: about {decimal(found.output_bytes)}; {free}")
        if found.output_bytes > found.free_bytes:
            told.append("warning: it does not fit: free space, or choose another output")
    if found.seconds is None:
        return [*told, f"time: not known ({found.trouble})"]
    told.append(f"time: {_time(found)} on {_devices(found.devices)}, {_source(found)}")
    if found.num_probed and found.load > (cores := os.cpu_count() or 1):
        busy = f"the machine was busy (load {found.load:.1f}, {counted(cores, 'core')})"
        told.append(f"measured while {busy}: without other work it takes less")
    if deadline_s and found.seconds[1] > deadline_s:
        told.append(f"the deadline ({roughly(deadline_s)}) may come first: run it again to go on")
    return told


def _evaluations(found: Estimate) -> str:
    if found.evaluations == found.most_evaluations:
        return f"{'at most ' if found.is_at_most else ''}{found.evaluations:,}"
    return f"about {found.evaluations:,}, at most {found.most_evaluations:,}"


def _time(found: Estimate) -> str:
    assert found.seconds is not None
    low, high = map(roughly, found.seconds)
    if found.is_at_most:
        usual = roughly(USUAL_SHARE * found.seconds[1])
        return f"at most {high} (usually about {usual}: images end early)"
    return f"about {low}" if low == high else f"{low} to {high}"


def _devices(devices: tuple[str, ...]) -> str:
    counts = {device: devices.count(device) for device in devices}
    return ", ".join(
        device if count == 1 else f"{count} workers on {device}" for device, count in counts.items()
    )


def _source(found: Estimate) -> str:
    if not found.num_probed:
        return "from earlier runs"
    return f"measured now on {counted(found.num_probed, 'image')}"

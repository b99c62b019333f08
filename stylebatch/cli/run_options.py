"""The options of `stylebatch run`."""

from pathlib import Path
from typing import Annotated

import typer

from stylebatch.cli.arguments import one_of
from stylebatch.run import EXECUTORS

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
IsDry = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be done and take; write nothing.")
]
Sheet = Annotated[
    Path | None, typer.Option(help="Where --preview writes its sheet.", dir_okay=False)
]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Make N images at most.")]
DeadlineText = Annotated[
    str | None, typer.Option(metavar="TIME", help="Start nothing after this time, as in 6h.")
]
MaxFailures = Annotated[
    str | None,
    typer.Option(metavar="N|P%", help="Begin nothing more after so many failed images."),
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Try again what has failed.")]
KeepStale = Annotated[
    bool, typer.Option("--keep-stale", help="Leave outputs that the plan no longer has.")
]
AllowRemovals = Annotated[
    bool,
    typer.Option(
        "--allow-removals",
        help="Set aside what has lost its photograph or style, however much it is.",
    ),
]
DeviceList = Annotated[
    str | None,
    typer.Option(metavar="LIST", help="Instead of run.devices: auto, or cuda:0,cuda:1 or cpu."),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing unless something goes wrong.")
]

"""The `run:` section → options."""

import re
from pathlib import Path
from typing import Literal

from stylebatch.manifest.model import RayOptions, RunOptions
from stylebatch.manifest.problems import Findings
from stylebatch.manifest.run_fields import DURATION, SHARE, Run
from stylebatch.output.store import LEASE_S

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def read_run_options(run: Run, root: Path, findings: Findings) -> RunOptions:
    """Check what the schema can't, and look paths up from `root`."""
    return RunOptions(
        executor=run.executor,
        devices=_devices(run, findings),
        cpu_workers=run.cpu_workers,
        precision=run.precision,
        deadline_s=_seconds("deadline", run.deadline, findings),
        cache=root / run.cache if run.cache else None,
        state=root / run.state if run.state else None,
        lease_s=_seconds("lease", run.lease, findings) or LEASE_S,
        losses=run.losses,
        report=run.report,
        max_deaths=run.max_deaths,
        max_retries=run.max_retries,
        max_failures=run.max_failures,
        max_removals=run.max_removals,
        image_timeout_s=_seconds("image_timeout", run.image_timeout, findings) or 0.0,
        ray=RayOptions(**run.ray.model_dump()) if run.ray else RayOptions(),
    )


def parse_duration(text: str | float) -> float:
    """Return seconds from a number of them, or from text such as `8h`, `90m`, `1h30m`.

    Raises:
        ValueError: other text, or nothing above 0.
    """
    seconds = 0.0
    if isinstance(text, str):
        if not re.match(DURATION, text):
            raise ValueError(f"'{text}' is no duration such as 8h, 90m, 1h30m, 30d")
        for number, unit in re.findall(r"([0-9.]+)([wdhms])", text):
            seconds += float(number) * _SECONDS[unit]
    else:
        seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ValueError(f"a duration has to be above 0, not {text}")
    return seconds


def parse_failures(text: str) -> int | str:
    """Return a number of images, or a share of them such as `5%`.

    Raises:
        ValueError: other text, or a number below 1.
    """
    if re.match(SHARE, text):
        return text
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"'{text}' is neither a number from 1 nor a share such as 5%")
    return int(text)


def _devices(run: Run, findings: Findings) -> Literal["auto"] | tuple[str, ...]:
    if not isinstance(run.devices, list):
        return run.devices
    if len(set(run.devices)) < len(run.devices):
        found = f"found {', '.join(run.devices)}"
        findings.add(
            ("run", "devices"), found, "allowed is each device once", "remove the repeated ones"
        )
    return tuple(run.devices)


def _seconds(key: str, text: str | float | None, findings: Findings) -> float | None:
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        findings.add(("run", key), str(error), "allowed is any above 0", "change it")
        return None

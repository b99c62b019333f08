"""Numbers that the page draws: scores, styles, and how fast images came."""

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

from stylebatch.output.acceptance import SCORES
from stylebatch.records import REJECTED
from stylebatch.report.records import Row

NUM_BINS = 32
# Of the time axis all together, and where a pause begins that is left out.
NUM_BUCKETS, MOST_SESSIONS, PAUSE_S = 96, 12, 1800.0
# Widths of a bucket that people can read.
_WIDTHS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400)


def histograms(images: Sequence[Row]) -> list[dict[str, Any]]:
    """Return how the scores are spread: counts between two bounds, and the median.

    The bounds are those of all but the outermost half percent on either side: what lies beyond is
    counted in the first and the last bin.
    """
    found = []
    for score in SCORES:
        values = sorted(row[score] for row in images if row.get(score) is not None)
        if not values:
            continue
        edge = len(values) // 200
        low, high = values[edge], values[-1 - edge]
        width = (high - low) / NUM_BINS or 1.0
        counts = [0] * NUM_BINS
        for value in values:
            counts[min(NUM_BINS - 1, max(0, int((value - low) / width)))] += 1
        found.append(
            {"score": score, "low": low, "high": high, "counts": counts, "median": median(values)}
        )
    return found


def by_style(images: Sequence[Row]) -> list[dict[str, Any]]:
    """Return of each style its images, and medians of scores, loss and seconds."""
    groups: dict[str, list[Row]] = {}
    for row in images:
        if row.get("style") is not None:
            groups.setdefault(row["style"], []).append(row)
    return [
        {
            "style": style,
            "images": len(rows),
            "loss": _median((row.get("losses") or {}).get("total") for row in rows),
            "seconds": _median(row.get("seconds") for row in rows),
            **{score: _median(row.get(score) for row in rows) for score in SCORES},
        }
        for style, rows in sorted(groups.items())
    ]


def by_device(images: Sequence[Row]) -> list[dict[str, Any]]:
    """Return of each device how many images it has made, and how long one took."""
    groups: dict[str, list[float]] = {}
    for row in images:
        if row.get("device"):
            groups.setdefault(row["device"], []).append(row.get("seconds") or 0.0)
    return [
        {"device": device, "images": len(seconds), "seconds": median(seconds)}
        for device, seconds in sorted(groups.items())
    ]


def throughput(finished: Sequence[tuple[float, str]]) -> dict[str, Any]:
    """Return how many images came when, by device: in stretches without a longer pause.

    Args:
        finished: when each image was finished, in seconds since 1970, and on which device.

    Returns:
        `width_s` of a bucket, `devices`, and `sessions`, the last ones: of each its `start` and
        for each device a list of counts; `left_out` images before these.
    """
    stretches: list[list[tuple[float, str]]] = []
    for each in sorted(finished):
        if not stretches or each[0] - stretches[-1][-1][0] > PAUSE_S:
            stretches.append([])
        stretches[-1].append(each)
    shown = stretches[-MOST_SESSIONS:]
    total_s = sum(stretch[-1][0] - stretch[0][0] for stretch in shown)
    # Of few images each bar would be one or none.
    num_buckets = min(NUM_BUCKETS, max(20, sum(map(len, shown)) // 5))
    width_s = next((w for w in _WIDTHS_S if w * num_buckets >= total_s), total_s / num_buckets)
    devices = sorted({device for _, device in finished})
    sessions = []
    for stretch in shown:
        start = stretch[0][0] // width_s * width_s
        counts = Counter((int((at - start) // width_s), device) for at, device in stretch)
        length = int((stretch[-1][0] - start) // width_s) + 1
        per_device = [[counts[bucket, device] for bucket in range(length)] for device in devices]
        sessions.append({"start": start, "end": stretch[-1][0], "counts": per_device})
    left_out = sum(map(len, stretches[:-MOST_SESSIONS]))
    return {"width_s": width_s, "devices": devices, "sessions": sessions, "left_out": left_out}


def busy_shares(runs: Sequence[Row]) -> list[dict[str, Any]]:
    """Return of each worker of the last runs its device, seconds, and the share that was busy."""
    return [
        {
            "device": worker.get("device", ""),
            "seconds": worker["seconds"],
            "busy": worker.get("busy_seconds", 0.0) / worker["seconds"],
            "part": run.get("shard") or "",
        }
        for run in runs
        for worker in run.get("workers") or ()
        if worker.get("seconds")
    ]


def reasons(failures: Sequence[Row]) -> list[dict[str, Any]]:
    """Return why images failed, the most frequent reason first, each with its images.

    What a message begins with is the photograph or the image itself: it is left out, so that the
    same trouble with many of them is one. So are the scores of an image that was rejected: what
    was allowed is the reason, and `found` of its row has them.
    """
    groups: dict[str, list[Row]] = {}
    for row in failures:
        reason, found = str(row.get("reason") or "no reason was given"), ""
        for name in (row.get("content"), row.get("file_name")):
            if name:
                reason = reason.removeprefix(f"{name}: ")
        if reason.startswith(REJECTED):
            found, _, allowed = reason.removeprefix(REJECTED).strip(": ").rpartition("; ")
            reason = f"{REJECTED.strip(': ')}: {allowed}"
        groups.setdefault(reason, []).append({**row, "found": found})
    most_first = sorted(groups.items(), key=lambda group: -len(group[1]))
    return [{"reason": reason, "rows": rows} for reason, rows in most_first]


def _median(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None

"""What the page says in words and tables: how it stands, failures, settings, what was left out."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from stylebatch.output.layout import Dataset
from stylebatch.report.figures import reasons
from stylebatch.report.records import Records, Row
from stylebatch.system.words import counted, duration

# What of failures stands in the page: the files have all of it.
MOST_REASONS, MOST_NAMED = 100, 200
_ENDINGS = {
    0: ("good", "Complete"),
    1: ("bad", "Ended by an error of stylebatch’s own"),
    2: ("bad", "Refused"),
    3: ("warn", "Done, with failures"),
    4: ("warn", "Stopped, to be continued"),
    5: ("bad", "Ended by trouble with the output"),
    10: ("bad", "Refused: another run held the output"),
}
# What of settings is no setting.
_PROSE = {"recipe.notes", "recipe.source", "recipe.title"}
_STOPS = {
    "deadline": "its deadline",
    "signal": "a signal or Ctrl-C",
    "max_failures": "too many failures",
}


def page_context(dataset: Dataset, records: Records) -> dict[str, Any]:
    """Return what the template shows."""
    return {
        "title": "/".join(dataset.root.absolute().parts[-2:]).lstrip("/"),
        "root": str(dataset.root.absolute()),
        "version": _version(),
        "made_at": _time(records.made_at),
        "state": _state(records),
        "facts": list(_facts(records)),
        "pairs": records.pairs,
        "runs": list(map(_run, records.runs)),
        "num_images": len(records.images),
        "num_in_all": records.num_images,
        "reasons": _reasons(records.failures),
        "num_failures": len(records.failures),
        "annotation_failures": records.annotation_failures[:MOST_NAMED],
        "num_annotation_failures": len(records.annotation_failures),
        "settings": _settings(records),
        "notes": _notes(records),
        "annotations": _annotations(records),
        "is_running": records.is_running,
    }


def _state(records: Records) -> tuple[str, str, str]:
    """Return how it stands: a colour's name, few words, and a sentence more."""
    if records.is_running:
        return "live", "A run is going on", "; ".join(_activities(records))
    if not records.runs:
        return "warn", "No run has come to its end", ""
    run = records.runs[0]
    kind, words = _ENDINGS.get(run.get("exit_code", 0), ("warn", "Ended"))
    left = sum(pair["left"] for pair in records.pairs.values())
    if run.get("error"):
        return kind, words, str(run["error"])
    if stopped := run.get("stopped_by"):
        text = f"by {_STOPS.get(stopped, stopped)}, with {counted(left, 'image')} left to make"
        return kind, words, text
    if left and kind == "good":
        return "warn", "Not complete", f"{counted(left, 'image')} left to make"
    return kind, words, ""


def _activities(records: Records) -> Iterator[str]:
    for part, activity in records.activities.items():
        whose = f"part {part}: " if part else ""
        text = str(activity.get("doing") or "at work")
        if left_s := activity.get("left_s"):
            text += f", about {duration(left_s)} left"
        yield whose + text


def _facts(records: Records) -> Iterator[tuple[str, str, str]]:
    """Yield the figures at the top: a number, what it counts, and what of it."""
    kinds = Counter(row.get("kind") for row in records.images)
    styled = kinds.total() - kinds["original"]
    yield f"{records.num_images:,}", "images", _of_kinds(styled, kinds["original"])
    contents = {row.get("content") for row in records.images}
    labels = {row["label"] for row in records.images if row.get("label") is not None}
    classes = f"in {len(labels):,} class{'' if len(labels) == 1 else 'es'}"
    yield f"{len(contents):,}", "photographs", classes if labels else "without classes"
    styles = Counter(row["style"] for row in records.images if row.get("style"))
    each = f"about {counted(round(styles.total() / len(styles)), 'image')} each" if styles else ""
    yield f"{len(styles):,}", "styles", each
    if splits := Counter(row["split"] for row in records.images if row.get("split")):
        told = ", ".join(f"{count:,} in {split}" for split, count in splits.items())
        yield f"{len(splits):,}", "splits", told
    failed = sum(pair["failed"] for pair in records.pairs.values())
    rejected = sum(pair["rejected"] for pair in records.pairs.values())
    if not records.pairs:
        failed = len(records.failures)
    yield f"{failed + rejected:,}", "not made", f"{failed:,} failed, {rejected:,} rejected"
    left = sum(pair["left"] for pair in records.pairs.values())
    if left:
        yield f"{left:,}", "to make", "of the last plan"
    if records.runs and (seconds := records.runs[0].get("seconds")):
        done = records.runs[0].get("done", 0)
        yield duration(seconds), "the last run", f"made {counted(done, 'image')}"


def _of_kinds(styled: int, originals: int) -> str:
    return f"{styled:,} stylised, {originals:,} as they were" if originals else "all stylised"


def _run(run: Row) -> Row:
    """Return what the table of runs shows of one."""
    return {
        "part": run.get("shard") or "",
        "manifest": run.get("manifest") or "",
        "started": _iso(run.get("started")),
        "seconds": run.get("seconds") or 0.0,
        "done": run.get("done", 0),
        "exit": _ENDINGS.get(run.get("exit_code", 0), ("", "Ended"))[1],
        "code": run.get("exit_code", 0),
        "counts": [
            (words, run[key])
            for key, words in (
                ("planned", "planned"),
                ("done_before", "there before"),
                ("done", "made"),
                ("failed", "failed"),
                ("rejected", "rejected"),
                ("remaining", "left to make"),
                ("adopted", "known again"),
                ("taken_back", "taken back"),
                ("replaced", "replaced"),
                ("set_aside", "set aside"),
                ("taken_out", "no longer accepted"),
                ("kept", "kept, their input can’t be reached"),
                ("withheld", "kept, too many inputs are gone"),
                ("outdated", "as earlier settings made them"),
                ("evaluations", "evaluations"),
            )
            if run.get(key)
        ],
    }


def _reasons(failures: list[Row]) -> list[Row]:
    return [
        {
            "reason": each["reason"],
            "count": len(each["rows"]),
            "rows": each["rows"][:MOST_NAMED],
            "more": max(0, len(each["rows"]) - MOST_NAMED),
        }
        for each in reasons(failures)[:MOST_REASONS]
    ]


def _settings(records: Records) -> Row:
    """Return each of the settings that images have, and the fields in which they differ."""
    counts = Counter(row.get("settings_id") for row in records.images)
    pairs: dict[Any, dict[str, None]] = {}
    for row in records.images:
        pairs.setdefault(row.get("settings_id"), {})[row.get("pair") or ""] = None
    most_first = sorted(records.settings.items(), key=lambda item: -counts[item[0]])
    entries = [
        {
            "id": key,
            "images": counts[key],
            "pairs": list(pairs.get(key, ())),
            "title": _title(value) or key,
            "fields": dict(_flat(value)),
            "is_optimised": bool(value.get("extractor")),
        }
        for key, value in most_first
    ]
    optimised: list[Row] = [entry for entry in entries if entry["is_optimised"]]
    names = dict.fromkeys(name for entry in optimised for name in entry["fields"])
    differing = [
        name
        for name in names
        if name not in _PROSE and len({entry["fields"].get(name) for entry in optimised}) > 1
    ]
    return {"entries": entries, "optimised": optimised, "differing": differing}


def _title(value: Row) -> str:
    if "originals" in value:
        return f"photographs as they are ({value['originals']})"
    recipe, extractor = value.get("recipe") or {}, value.get("extractor") or {}
    parts = [recipe.get("title"), extractor.get("arch")]
    if extractor:
        steps = counted(int(recipe.get("steps") or 0), "evaluation")
        parts += [f"{recipe.get('size_px')} px", f"{steps} at most"]
    return "; ".join(str(part) for part in parts if part)


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the fields of settings with their values as text; what is inside others by a path."""
    if isinstance(value, Mapping) and value:
        for key, each in value.items():
            yield from _flat(each, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        yield name, ", ".join(map(str, value)) or "none"
    else:
        yield name, "none" if value is None or value == {} else str(value)


def _notes(records: Records) -> list[tuple[str, list[str]]]:
    """Return what the last runs warned of, passed over and could not reach."""
    warnings, passed, unreachable = dict[str, None](), list[str](), dict[str, None]()
    for run in records.runs:
        warnings |= dict.fromkeys(map(str, run.get("warnings") or ()))
        for pair, counts in (run.get("passed_over") or {}).items():
            told = ", ".join(
                f"{count:,} × {suffix or 'no suffix'}" for suffix, count in counts.items()
            )
            passed.append(f"{pair}: {told}")
        for path, reason in (run.get("unreachable") or {}).items():
            unreachable[f"{path}: {reason}"] = None
    found = [
        ("Warnings", list(warnings)),
        ("Files passed over: no images that are read", list(dict.fromkeys(passed))),
        ("Inputs that could not be reached", list(unreachable)),
    ]
    return [(title, lines) for title, lines in found if lines]


def _annotations(records: Records) -> list[Row]:
    """Return what was counted of annotations, by pair and kind."""
    return [
        {"pair": pair or "all pairs", "kind": kind, **counts}
        for run in records.runs
        for pair, kinds in (run.get("annotations") or {}).items()
        for kind, counts in kinds.items()
    ]


def _time(seconds: float) -> tuple[str, str]:
    """Return a moment for programs and for people."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="seconds"), f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _iso(text: Any) -> tuple[str, str]:
    try:
        return _time(datetime.fromisoformat(str(text)).timestamp())
    except ValueError:
        return "", "not known"


def _version() -> str:
    try:
        return version("stylebatch")
    except PackageNotFoundError:  # a folder that is on the path, and was not installed
        return ""

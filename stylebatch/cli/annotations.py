"""What commands say of annotations."""

from collections.abc import Iterator

from stylebatch.annotations.report import Report
from stylebatch.run import RunSummary
from stylebatch.system.words import counted

_MAX_FINDINGS = 10
_WITHOUT = {"yolo": "without labels (background)", "csv": "without rows"}


def annotation_lines(report: Report) -> Iterator[str]:
    """Say what annotations a plan has found, and what is wrong with them."""
    for kind, counts in report.counts.items():
        if not counts:
            continue
        parts = [counted(counts["results"], "image")]
        if kind.name != "files":
            parts.append(counted(counts["objects"], "object"))
        if counts["without"]:
            parts.append(f"{counts['without']:,} {_WITHOUT.get(kind.name, 'without')}")
        yield f"{kind.pair}: {kind.name}: {', '.join(parts)}"
    found = list(report.findings)
    for each in found[:_MAX_FINDINGS]:
        becomes = "fails" if each.is_failure else "left out"
        yield f"warning: {each.annotation}: {each.reason}: {becomes}"
    if len(found) > _MAX_FINDINGS:
        yield f"warning: and {len(found) - _MAX_FINDINGS:,} more of annotations"


def annotation_parts(summary: RunSummary) -> Iterator[str]:
    """Say in a run's last line what is wrong with annotations."""
    malformed = sum(
        kind.get("malformed", 0)
        for kinds in summary.annotations.values()
        for kind in kinds.values()
    )
    if summary.failed_annotations:
        yield counted(summary.failed_annotations, "annotation") + " failed"
    if left_out := malformed - summary.failed_annotations:
        yield counted(left_out, "malformed annotation") + " left out"

"""A session as one Markdown file that needs nothing beside it."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.session import Ended

ROOT = Path(__file__).parents[2]


def is_sound(ended: Sequence[Ended]) -> bool:
    """Whether every part came to its end and found nothing that must not be."""
    checks = [check for each in ended for check in each.found.checks]
    return all(each.how == "done" for each in ended) and all(check["is_met"] for check in checks)


def write_report(ended: Sequence[Ended], device: str, budget_s: float) -> str:
    """Return the report's text."""
    return "\n".join(_lines(ended, device, budget_s)) + "\n"


def _lines(ended: Sequence[Ended], device: str, budget_s: float) -> Iterator[str]:
    facts = {name: value for each in ended for name, value in each.found.facts.items()}
    seconds = sum(each.seconds for each in ended)
    yield f"# stylebatch on {facts.get('card', device)}"
    yield ""
    yield f"A session of {seconds:.0f} s (of {budget_s:.0f}), commit {_commit()}."
    yield from _summary(ended)
    for each in ended:
        yield from _section(each)


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.SubprocessError):
        # A copy without its history: who brought it may have written it down.
        told = ROOT / "COMMIT"
        return told.read_text(encoding="utf-8").strip() if told.exists() else "unknown"
    return done.stdout.strip()


def _summary(ended: Sequence[Ended]) -> Iterator[str]:
    aims = [aim for each in ended for aim in each.found.aims]
    checks = [check for each in ended for check in each.found.checks]
    unmet = [check for check in checks if not check["is_met"]]
    yield from ("", "## In short", "")
    for each in ended:
        if each.how != "done":
            took = f"{each.seconds:.0f} s of {each.limit_s:.0f}"
            yield f"- **{each.part.title}: {each.how}** ({took})."
    yield f"- {len(checks) - len(unmet)} of {len(checks)} checks are met."
    for check in unmet:
        yield f"- **Not met:** {check['what']}: {_on_a_line(check['found'])}."
    if aims:
        yield from ("", *_table([_aim(aim) for aim in aims]))
    else:
        yield "- First aims (25 images/s at 256 px, 40 % of the bf16 rate at 512 px): not measured."
    left_out = [told for each in ended for told in each.found.left_out]
    if left_out:
        yield from ("", "What this session left out:", "")
        yield from (f"- {told['what']}: {_on_a_line(told['why'])}." for told in left_out)


def _aim(aim: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "first aim": aim["what"],
        "wanted": f"{aim['wanted']:g} {aim['unit']}",
        "found": f"{aim['found']:.1f} {aim['unit']}",
        "reached": aim["found"] >= aim["wanted"],
    }


def _section(ended: Ended) -> Iterator[str]:
    found = ended.found
    yield from ("", f"## {ended.part.title}", "")
    yield f"{ended.how.capitalize()}: {ended.seconds:.1f} s of {ended.limit_s:.0f}."
    if ended.how == "over its time":
        yield "It was ended then; below stands what it had found."
    if ended.why:
        yield from ("", "```", ended.why, "```")
    if found.facts:
        facts = [{"": name, "is": value} for name, value in found.facts.items()]
        yield from ("", *_table(facts))
    for title, rows in found.tables.items():
        yield from ("", f"{title}:", "", *_table(rows))
    for text in found.said:
        yield from ("", text)
    if found.checks:
        checks = [
            {"met": check["is_met"], "check": check["what"], "found": check["found"]}
            for check in found.checks
        ]
        yield from ("", *_table(checks))
    if found.left_out:
        yield ""
        yield from (
            f"Left out: {told['what']}: {_on_a_line(told['why'])}." for told in found.left_out
        )


def _table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield "| " + " | ".join(_cell(row.get(name)) for name in columns) + " |"


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "**no**"
    return _on_a_line(str(value)).replace("|", "\\|")


def _on_a_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")

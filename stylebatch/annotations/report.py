"""What an output's annotations came to: counts, and what is wrong, by pair and kind."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Self

from stylebatch.annotations.findings import Problem
from stylebatch.system.words import counted

_MAX_EXAMPLES = 1


class Kind(NamedTuple):
    """One kind of annotations of a pair."""

    pair: str
    name: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong.

    Attributes:
        annotation: the file from the manifest's folder, and its line where one is known.
        content: the photograph, None where it is about none, or several.
        is_failure: whether the pair wants to fail of it.
    """

    annotation: str
    kind: str
    pair: str
    content: str | None
    reason: str
    is_failure: bool

    def row(self) -> dict[str, Any]:
        """Return what `failures.jsonl` says of it."""
        row = asdict(self)
        del row["is_failure"]
        return row


@dataclass(slots=True)
class Report:
    """What was found; of a sweep's points, and of several results, each finding once."""

    counts: dict[Kind, Counter[str]] = field(default_factory=dict)
    findings: dict[Finding, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)

    def note(self, text: str) -> None:
        """Note what a user may want to know, once."""
        self.notes.setdefault(text)

    def of(self, kind: Kind) -> Counter[str]:
        """Return the counts of a kind, to be changed."""
        return self.counts.setdefault(kind, Counter())

    def tell(
        self,
        kind: Kind,
        file: str,
        problems: Iterable[Problem],
        *,
        content: str | None = None,
        is_failure: bool,
    ) -> None:
        """Note what is wrong with a file."""
        for line, reason in problems:
            where = f"{file}:{line}" if line else file
            # Texts of JSON may hold what no file of ours can.
            reason = reason.encode(errors="backslashreplace").decode()
            found = Finding(where, kind.name, kind.pair, content, reason, is_failure)
            self.findings.setdefault(found)

    @property
    def failures(self) -> list[Finding]:
        """What is to be failed of."""
        return [each for each in self.findings if each.is_failure]

    def summary(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return the counts by pair and kind, with the number of findings as `malformed`."""
        found: dict[str, dict[str, dict[str, int]]] = {}
        for kind, counts in sorted(self.counts.items()):
            found.setdefault(kind.pair, {})[kind.name] = dict(counts)
        for each in self.findings:
            of_kind = found.setdefault(each.pair, {}).setdefault(each.kind, {})
            of_kind["malformed"] = of_kind.get("malformed", 0) + 1
        return found

    def warnings(self) -> list[str]:
        """Say what is wrong, a line for each pair and kind that does not fail of it."""
        lines = list(self.notes)
        by_kind: dict[Kind, list[Finding]] = {}
        for each in self.findings:
            if not each.is_failure:
                by_kind.setdefault(Kind(each.pair, each.kind), []).append(each)
        for kind, found in by_kind.items():
            first = f"{found[0].annotation}: {found[0].reason}"
            more = f" and {len(found) - _MAX_EXAMPLES:,} more" if len(found) > 1 else ""
            told = counted(len(found), "malformed annotation")
            lines.append(f"{kind.pair}: {told} of {kind.name} left out ({first}){more}")
        return lines

    def to_json(self) -> dict[str, Any]:
        """Return it as what `from_json` takes."""
        return {
            "notes": list(self.notes),
            "counts": [[*kind, counts] for kind, counts in self.counts.items()],
            "findings": [asdict(each) for each in self.findings],
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Make one again."""
        counts = {Kind(pair, name): Counter(each) for pair, name, each in told["counts"]}
        findings = {Finding(**each): None for each in told["findings"]}
        return cls(counts, findings, dict.fromkeys(told["notes"]))

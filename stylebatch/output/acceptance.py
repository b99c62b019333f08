"""What an image has to be worth to stay in an output, and what becomes of one that isn't."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

from stylebatch.records import REJECTED

# What is measured of each image, as the metadata call it; see docs/quality.md.
SCORES = ("closed", "ssim", "saturation", "speckle")
# So many decimals are kept: what is judged is what is recorded.
DECIMALS = 4
_SIGNIFICANT_DIGITS = 6

# None: not known.
Scores = Mapping[str, float | None]


class Try(NamedTuple):
    """An image as it came out once: at which strength, and what it was worth."""

    strength: float
    scores: Scores


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The thresholds of a pair.

    Attributes:
        bounds: (score, least, most) of each that is bounded; None: not on that side.
        otherwise: what becomes of an image outside: it is rejected, made again at other strengths
            and rejected if none of them does, or kept with a flag.
        retries: how often it is made again.
        factors: its own strength times these, one each time; () where they are drawn.
        drawn: the strengths are drawn between these.
    """

    bounds: tuple[tuple[str, float | None, float | None], ...]
    otherwise: Literal["reject", "retry", "keep"] = "reject"
    retries: int = 0
    factors: tuple[float, ...] = ()
    drawn: tuple[float, float] = (0.0, 0.0)

    def is_met(self, scores: Scores) -> bool:
        """Whether scores lie within the bounds; one that is not known does."""
        return not self.outside(scores)

    def outside(self, scores: Scores) -> list[str]:
        """Return the scores that lie outside the bounds."""
        found = []
        for name, least, most in self.bounds:
            score = scores.get(name)
            if score is None:
                continue
            if (least is not None and score < least) or (most is not None and score > most):
                found.append(name)
        return found

    def strengths(self, first: float, fingerprint: str) -> list[float]:
        """Return the strengths at which an image is tried, one after another; `first` the first.

        The same whatever the run, the worker and the order.

        Args:
            fingerprint: of the job: what is drawn is drawn by it.
        """
        if self.otherwise != "retry":
            return [first]
        if self.factors:
            return [first, *(_rounded(first * factor) for factor in self.factors)]
        low, high = self.drawn
        shares = (_share(fingerprint, number) for number in range(1, self.retries + 1))
        return [first, *(_rounded(low + (high - low) * share) for share in shares)]

    def next_strength(self, tries: Sequence[Try], fingerprint: str) -> float | None:
        """Return the strength of the next try after some; None where there is none."""
        strengths = self.strengths(tries[0].strength, fingerprint)
        return strengths[len(tries)] if len(tries) < len(strengths) else None

    def rejects(self, tries: Iterable[Try], first: float, fingerprint: str) -> bool:
        """Whether it is known that an image is rejected: each of its strengths was tried in vain.

        Args:
            tries: what is known of it, in any order, perhaps of other thresholds.
            first: the strength of the job.
        """
        if self.otherwise == "keep":
            return False
        in_vain = {each.strength for each in tries if not self.is_met(each.scores)}
        return in_vain.issuperset(self.strengths(first, fingerprint))

    def described(self) -> dict[str, Any]:
        """Return it as plain data, as JSON gives it back; `acceptance_of` reads it."""
        told: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return told


def acceptance_of(told: Mapping[str, Any] | None) -> Acceptance | None:
    """Return what `described` has told."""
    if told is None:
        return None
    bounds = tuple((name, least, most) for name, least, most in told["bounds"])
    rest = {key: tuple(told[key]) for key in ("factors", "drawn")}
    return Acceptance(bounds, told["otherwise"], told["retries"], **rest)


def tell_rejection(acceptance: Acceptance, tries: Sequence[Try]) -> str:
    """Return why an image is rejected: what every try was worth, and what is allowed."""
    told = "; ".join(
        f"at strength {_number(each.strength)} {_scores_text(each.scores)}" for each in tries
    )
    return f"{REJECTED}{told}; allowed is {_bounds_text(acceptance)}"


def tries_of(reason: str) -> list[Try]:
    """Return the tries that a reason tells of, as `tell_rejection` wrote it."""
    return [
        Try(float(strength), dict(map(_score_of, scores.split(", "))))
        for strength, scores in re.findall(r"at strength (\S+) ([^;]*);", reason)
    ]


def closed_share(before: float, after: float) -> float | None:
    """Return the share of a style distance that was closed; None where there was none to close.

    Args:
        before, after: style losses of the photograph and of its image.
    """
    return round_score(1 - after / before) if before > 0 else None


def round_score(score: float | None) -> float | None:
    """Return a score as it is recorded."""
    return None if score is None else round(score, DECIMALS)


def scores_in(facts: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the scores among an image's facts, None for those that are not known."""
    return {name: facts.get(name) for name in SCORES}


def _scores_text(scores: Scores) -> str:
    known = ((name, scores.get(name)) for name in SCORES)
    return ", ".join(f"{name} {'unknown' if x is None else repr(x)}" for name, x in known)


def _score_of(text: str) -> tuple[str, float | None]:
    name, _, number = text.partition(" ")
    return name, None if number == "unknown" else float(number)


def _bounds_text(acceptance: Acceptance) -> str:
    parts = []
    for name, least, most in acceptance.bounds:
        if least is None:
            parts.append(f"{name} up to {_number(most or 0.0)}")
        elif most is None:
            parts.append(f"{name} from {_number(least)}")
        else:
            parts.append(f"{name} {_number(least)} to {_number(most)}")
    return ", ".join(parts)


def _number(x: float) -> str:
    """Write a number so that it comes back, and whole ones without a point."""
    return f"{x:g}" if float(f"{x:g}") == x else repr(x)


def _share(fingerprint: str, number: int) -> float:
    text = f"retry\0{fingerprint}\0{number}"
    drawn = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
    return (drawn >> 11) / 2**53


def _rounded(strength: float) -> float:
    return float(f"{strength:.{_SIGNIFICANT_DIGITS}g}")

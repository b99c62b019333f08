"""What a pair's images have to be worth: its thresholds, checked."""

from stylebatch.manifest.acceptance_fields import AcceptFields
from stylebatch.manifest.problems import Findings
from stylebatch.manifest.yaml_lines import Loc
from stylebatch.output.acceptance import SCORES, Acceptance
from stylebatch.recipes import Recipe

DEFAULT_RETRIES = 2
# What no score can be above or below.
_RANGES = {"closed": (None, 1.0), "ssim": (-1.0, 1.0), "saturation": (0.0, 1.0)}
_RANGES_BELOW = {"speckle": 0.0}


def read_acceptance(
    written: AcceptFields | None,
    strength: tuple[float, float],
    recipe: Recipe,
    place: Loc,
    findings: Findings,
) -> Acceptance | None:
    """Return a pair's thresholds, None where it has none.

    Args:
        strength: the pair's, low and high.
    """
    if written is None:
        return None
    bounds = []
    for name in SCORES:
        if (told := getattr(written, name)) is not None:
            _check_bounds(name, told, (*place, name), findings)
            bounds.append((name, *told))
    if not bounds:
        found, allowed = "names no score", f"allowed are {', '.join(SCORES)}"
        findings.add(place, found, allowed, "write one, as in `closed: [0.5, null]`")
    factors, retries = _retries(written, place, findings)
    is_again = written.otherwise == "retry"
    if is_again and not factors and strength[0] == strength[1]:
        found = f"found retry, but the strength is {strength[0]:g} each time"
        allowed = "allowed is a retry_strength, or a pair's strength [LOW, HIGH]"
        findings.add((*place, "otherwise"), found, allowed, "write `retry_strength: [2, 0.5]`")
    if recipe.color_transfer:
        _check_color_transfer(written, factors, strength[1], place, findings)
    if not is_again:
        return Acceptance(tuple(bounds), written.otherwise)
    drawn = (0.0, 0.0) if factors else strength
    return Acceptance(tuple(bounds), "retry", retries, factors, drawn)


def _check_color_transfer(
    written: AcceptFields,
    factors: tuple[float, ...],
    strength: float,
    place: Loc,
    findings: Findings,
) -> None:
    """Refuse what a recipe without a network knows nothing of: a style distance, more than 1."""
    if written.closed is not None:
        found, allowed = "is of recipes with a network", "allowed are ssim, saturation, speckle"
        findings.add((*place, "closed"), found, allowed, "remove it")
    highest = strength * max(factors, default=1.0)
    if written.otherwise == "retry" and highest > 1:
        found = f"would make images again at strength {highest:g}"
        allowed = "allowed is up to 1, the colours of the style"
        findings.add((*place, "retry_strength"), found, allowed, "write lower factors")


def _check_bounds(
    name: str, told: tuple[float | None, float | None], place: Loc, findings: Findings
) -> None:
    least, most = told
    low, high = _RANGES.get(name, (_RANGES_BELOW.get(name), None))
    found = ""
    if least is None and most is None:
        found = "found no bound"
    elif least is not None and most is not None and least > most:
        found = f"found LEAST {least:g} above MOST {most:g}"
    elif least is not None and high is not None and least > high:
        found = f"found LEAST {least:g}, which no image reaches"
    elif most is not None and low is not None and most < low:
        found = f"found MOST {most:g}, below which no image is"
    if found:
        findings.add(place, found, "allowed is [LEAST, MOST], one of them null", "change it")


def _retries(
    written: AcceptFields, place: Loc, findings: Findings
) -> tuple[tuple[float, ...], int]:
    """Return the factors of strengths, () where these are drawn, and how many there are."""
    told, retries = written.retry_strength, written.retries
    for key in ("retries", "retry_strength"):
        if getattr(written, key) is not None and written.otherwise != "retry":
            found = f"is of `otherwise: retry`, and it is {written.otherwise}"
            findings.add((*place, key), found, "", "remove it, or write `otherwise: retry`")
    if isinstance(told, list):
        if retries is not None and retries != len(told):
            found = f"found {retries}, but retry_strength lists {len(told)}"
            findings.add((*place, "retries"), found, f"allowed is {len(told)}", "remove it")
        return tuple(told), len(told)
    retries = retries or DEFAULT_RETRIES
    if told is None:
        return (), retries
    return tuple(told**number for number in range(1, retries + 1)), retries

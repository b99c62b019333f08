"""What `benchmarks.solver.report` prints of ways made by hand."""

import pytest

from benchmarks.solver.report import print_report
from benchmarks.solver.ways import Way

EACH_S = {"textbook": 0.4, "SciPy L-BFGS-B": 0.5, "ours": 0.2, "ours, float32": 0.3}
EACH_S["ours, one level"] = 0.25


def made(pair: str, method: str, *judged: tuple[int, float], timed: bool = True) -> Way:
    seconds = [EACH_S[method] * n for n in range(1, judged[-1][0] + 1)] if timed else []
    return Way(256, "content", pair, method, "by hand", list(judged), seconds)


def printed(ways: list[Way], capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Return what stands behind each line's name, of equal names the first."""
    print_report(ways, None)
    lines = capsys.readouterr().out.splitlines()
    found: dict[str, str] = {}
    for line in lines:
        name, _, rest = line.strip().partition("  ")
        found.setdefault(name, " ".join(rest.split()))
    return found


def test_the_summary_splits_the_gain_and_counts_who_never_gets_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ways = [
        made("a", "textbook", (10, 4.0), (100, 1.0), (300, 2.0)),
        made("a", "ours", (10, 2.0), (50, 1.0)),
        made("a", "ours, float32", (10, 2.0), (25, 1.0), (50, 0.5)),
        made("b", "textbook", (10, 4.0), (150, 1.0), (300, 2.0), timed=False),
        made("b", "ours", (10, 2.0), (50, 1.5), timed=False),
        made("b", "ours, float32", (10, 2.0), (50, 1.0), timed=False),
    ]
    found = printed(ways, capsys)
    assert "(at 125, 100–150)" in " ".join(found)
    assert found["by hand: 6 ways, 3 timed"] == ""
    # a: 100 · .4 s over 50 · .2 s; 100 over 25 · .3 s in float32. b: never; 150 · .4 over 50 · .3.
    assert found["× less time"] == "2.00 (0.00–4.00) 4.67 (4.00–5.33)"
    assert found["× fewer evaluations"] == "1.00 (0.00–2.00) 3.50 (3.00–4.00)"
    assert found["× less time for each"] == "2.00 (2.00–2.00) of 1 1.33 (1.33–1.33)"
    assert found["bfloat16's part"] == "1.50 (1.50–1.50) of 1 1.00 (1.00–1.00)"
    assert found["the rest"] == "1.33 (1.33–1.33) of 1 1.33 (1.33–1.33)"
    assert found["pairs that get there"] == "1 of 2 2 of 2"


def test_coarser_levels_are_held_against_one_level_at_its_own_losses(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ways = [
        made("a", "ours", (10, 3.0), (20, 1.0)),
        made("a", "ours, one level", (10, 4.0), (20, 3.0), (50, 1.0)),
        made("b", "ours", (10, 4.0), (20, 4.0)),
        made("b", "ours, one level", (10, 4.0), (20, 3.0), (50, 1.0)),
        made("c", "ours, one level", (10, 4.0)),
    ]
    found = printed(ways, capsys)
    assert "of 2 pairs" in " ".join(found)
    # a: 10 · .25 s over 10 · .2, 20 · .25 over 10 · .2, 50 · .25 over 20 · .2. b: 1.25, then never.
    assert found["after 10"] == "1.25 (1.25–1.25)"
    assert found["after 20"] == "1.25 (0.00–2.50)"
    assert found["after 50"] == "1.56 (0.00–3.12)"
    assert "after 15" not in found
    assert "after 100" not in found


def test_losses_are_told_as_they_are_and_in_units_of_the_textbooks_best(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ways = [
        made("a", "textbook", (10, 4.0), (100, 2.0), (300, 3.0), timed=False),
        made("b", "textbook", (10, 80.0), (100, 20.0), (300, 900.0), timed=False),
        made("a", "SciPy L-BFGS-B", (10, 3.0), (100, 1.0), timed=False),
    ]
    print_report(ways, None)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[1:] for row in rows if row[:1] == ["textbook"]] == [
        ["2", "42.0", "11.0", "452"],
        ["2", "3.00", "1.00", "23.2"],
    ]
    assert [row[2:] for row in rows if row[:1] == ["SciPy"]] == [
        ["1", "3.00", "1.00"],
        ["1", "1.50", "0.500"],
    ]

"""What is printed of ways: losses after so many evaluations, and × less time than the others."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median

from benchmarks.solver.figures import (
    ONE_LEVEL,
    OURS,
    OURS_FLOAT32,
    SCIPY,
    TEXTBOOK,
    Gain,
    Goal,
    Spread,
    best_of,
    budget_of,
    end_of,
    gain_of,
    loss_at,
    quartiles_of,
    range_of,
    with_seconds,
)
from benchmarks.solver.methods import METHODS
from benchmarks.solver.ways import Way

AT = (10, 15, 25, 35, 50, 75, 100, 150, 200, 300)
# Where ours is held against itself on one level.
LEVELS_AT = (10, 15, 20, 30, 50, 75, 100)
STARTS = {"content": "from the content image", "noise": "from noise"}
PARTS: dict[str, Callable[[Gain], float | None]] = {
    "× less time": lambda gain: gain.time,
    "× fewer evaluations": lambda gain: gain.evaluations,
    "× less time for each": lambda gain: gain.per_evaluation,
    "  bfloat16's part": lambda gain: gain.bfloat16,
    "  the rest": lambda gain: gain.rest,
}

# A method's ways by pair, and those by method.
Pairs = dict[str, Way]
Ways = dict[str, Pairs]


def print_report(ways: list[Way], plots: Path | None) -> None:
    """Print tables for each size and start; write a plot of each into a folder."""
    for setting, of_setting in by_setting(with_seconds(ways)).items():
        print(f"\n# {setting[0]} px, {STARTS[setting[1]]}\n")
        print_machines([way for way in ways if (way.size, way.start) == setting])
        print_stops(of_setting)
        print_losses(of_setting)
        print_gains(of_setting)
        print_gains_of_levels(of_setting)
        if plots:
            # Only plots need matplotlib.
            from benchmarks.solver.plots import plot_setting

            print(f"\n{plot_setting(*setting, of_setting, plots)}")


def by_setting(ways: Iterable[Way]) -> dict[tuple[int, str], Ways]:
    """Return ways by size and start, then by method in the order of `METHODS`, then by pair."""
    found: dict[tuple[int, str], Ways] = {}
    for way in sorted(ways, key=lambda way: (way.size, way.start, list(METHODS).index(way.method))):
        methods = found.setdefault((way.size, way.start), {})
        methods.setdefault(way.method, {})[way.pair] = way
    return found


def print_machines(ways: Sequence[Way]) -> None:
    """Print where ways were run, and how many of them were timed there."""
    for machine in dict.fromkeys(way.machine for way in ways):
        of_machine = [way for way in ways if way.machine == machine]
        timed = sum(bool(way.seconds) for way in of_machine)
        print(f"{machine}: {len(of_machine)} ways, {timed} timed")


def print_stops(ways: Ways) -> None:
    """Print which ways stopped before others of their method, as a solver may."""
    for method, of_method in ways.items():
        budget = budget_of(list(of_method.values()))
        ends = sorted(way.judged[-1][0] for way in of_method.values())
        if ends[0] < budget:
            stopped = ", ".join(str(end) for end in ends if end < budget)
            print(f"{method}: keeps what it stopped with before {budget} evaluations: at {stopped}")


def print_losses(ways: Ways) -> None:
    """Print losses as they are, and beside the textbook's best of the same pair."""
    print("\nJudged loss, median of the pairs, below it the quartiles\n")
    print_table(ways, dict.fromkeys(pairs_of(ways), 1.0))
    if TEXTBOOK in ways:
        bests = {pair: best_of(way).loss for pair, way in ways[TEXTBOOK].items()}
        print("\nJudged loss / the textbook's best loss on that pair, likewise\n")
        print_table(ways, bests)


def pairs_of(ways: Ways) -> list[str]:
    """Return the names of all pairs."""
    return list(dict.fromkeys(pair for of_method in ways.values() for pair in of_method))


def print_table(ways: Ways, units: dict[str, float]) -> None:
    """Print two lines a method; a cell is empty unless all its pairs were judged there."""
    longest = max(budget_of(list(of_method.values())) for of_method in ways.values())
    columns = [evaluation for evaluation in AT if evaluation <= longest]
    print_row("evaluations", ["pairs", "ms each", *map(str, columns)])
    for method, of_method in ways.items():
        shown = {pair: way for pair, way in of_method.items() if pair in units}
        if not shown:
            continue
        spreads = [spread_at(shown, units, evaluation) for evaluation in columns]
        medians = [short(each.median) if each else "" for each in spreads]
        bounds = [f"{short(each.low)}–{short(each.high)}" if each else "" for each in spreads]
        print_row(method, [str(len(shown)), ms_each(list(shown.values())), *medians])
        print_row("", ["", "", *bounds])


def ms_each(ways: Sequence[Way]) -> str:
    """Return the median milliseconds of one evaluation, nothing where none was timed."""
    timed = [1000 * way.seconds[-1] / len(way.seconds) for way in ways if way.seconds]
    return f"{median(timed):.0f}" if timed else ""


def spread_at(ways: Pairs, units: dict[str, float], evaluation: int) -> Spread | None:
    """Return the quartiles of a method's losses in units of their pairs."""
    budget = budget_of(list(ways.values()))
    found = {pair: loss_at(way, evaluation, budget) for pair, way in ways.items()}
    values = [loss / units[pair] for pair, loss in found.items() if loss is not None]
    return quartiles_of(values) if len(values) == len(ways) else None


def print_row(name: str, cells: Sequence[str]) -> None:
    """Print one line of a table of losses."""
    narrow, wide = cells[:2], cells[2:]
    text = "".join(f"{cell:>8}" for cell in narrow) + "".join(f"{cell:>13}" for cell in wide)
    print(f"{name:<19}{text}".rstrip())


def short(value: float) -> str:
    """Return three significant digits, all of a large number's."""
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def print_gains(ways: Ways) -> None:
    """Print how much sooner ours is where the textbook loop and SciPy get."""
    textbook, scipy = ways.get(TEXTBOOK, {}), ways.get(SCIPY, {})
    if textbook:
        goals = {pair: best_of(way) for pair, way in textbook.items()}
        at = range_of([goal.evaluation for goal in goals.values()])
        title = f"the best loss of the textbook loop in {budget_of(list(textbook.values()))}"
        where = f"at {at.median:.0f}, {at.low:.0f}–{at.high:.0f}"
        print_goal(f"{title} evaluations ({where})", goals, textbook, ways)
    if scipy:
        goals = {pair: end_of(way) for pair, way in scipy.items()}
        at = range_of([goal.evaluation for goal in goals.values()])
        title = f"the loss of SciPy's L-BFGS-B after {at.median:.0f} evaluations"
        print_goal(title, goals, scipy, ways)


def print_goal(title: str, goals: dict[str, Goal], theirs: Pairs, ways: Ways) -> None:
    """Print the quotients of ours, in both precisions, until their losses."""
    exact = ways.get(OURS_FLOAT32, {})
    columns = {
        method: [
            gain_of(goals[pair], theirs[pair], way, exact.get(pair))
            for pair, way in ways[method].items()
            if pair in goals
        ]
        for method in (OURS, ONE_LEVEL, OURS_FLOAT32)
        if method in ways
    }
    columns = {method: gains for method, gains in columns.items() if gains}
    if not columns:
        return
    print(f"\nUntil {title}:\nmedian (lowest–highest); a pair that never gets there counts as 0,")
    print("and not among the times of one evaluation; medians of parts don't multiply\n")
    print_quotients("", list(columns))
    for part, value_of in PARTS.items():
        cells = [describe_part([value_of(gain) for gain in gains]) for gains in columns.values()]
        if any(cells):
            print_quotients(part, cells)
    reached = [sum(gain.evaluations > 0 for gain in gains) for gains in columns.values()]
    cells = [f"{n} of {len(each)}" for n, each in zip(reached, columns.values(), strict=True)]
    print_quotients("pairs that get there", cells)


def print_gains_of_levels(ways: Ways) -> None:
    """Print how much sooner ours is, with its coarser levels, where it gets without."""
    ours, without = ways.get(OURS, {}), ways.get(ONE_LEVEL, {})
    pairs = [pair for pair in without if pair in ours]
    if not pairs:
        return
    print(
        "\n× less time with coarser levels than on one, until its loss after so many evaluations:"
    )
    print(f"median (lowest–highest) of {len(pairs)} pairs; a pair that never gets there is 0\n")
    budget = budget_of(list(without.values()))
    for evaluation in LEVELS_AT:
        times = []
        for pair in pairs:
            loss = loss_at(without[pair], evaluation, budget)
            if loss is not None:
                goal = Goal(loss, evaluation)
                times.append(gain_of(goal, without[pair], ours[pair], None).time)
        if cell := describe_part(times):
            print_quotients(f"after {evaluation}", [cell])


def print_quotients(name: str, cells: Iterable[str]) -> None:
    """Print one line of a table of quotients."""
    print(f"{name:<24}" + "".join(f"{cell:<26}" for cell in cells).rstrip())


def describe_part(values: Sequence[float | None]) -> str:
    """Return a median with its range over the pairs that have one, and of how many if not all."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    spread = range_of(known)
    text = f"{spread.median:.2f} ({spread.low:.2f}–{spread.high:.2f})"
    return text if len(known) == len(values) else f"{text} of {len(known)}"

"""The plot of one size and start: loss against evaluations and against seconds, by method."""

from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from benchmarks.solver.figures import (
    OURS,
    OURS_FLOAT32,
    SCIPY,
    TEXTBOOK,
    best_of,
    budget_of,
    loss_at,
    quartiles_of,
    seconds_until,
)
from benchmarks.solver.ways import Way

# Colours that are told apart by those who see few: Okabe & Ito 2008. Ours and the textbook are
# what the eye is to find first.
COLOURS = {
    TEXTBOOK: "#000000",
    "textbook, no clamp": "#999999",
    "strong Wolfe": "#CC79A7",
    SCIPY: "#E69F00",
    "Adam": "#009E73",
    OURS: "#0072B2",
    OURS_FLOAT32: "#56B4E9",
}
WIDE = (TEXTBOOK, OURS)
INCHES, DOTS_PER_INCH = (9.0, 4.4), 100
# From where lines part; the textbook loop's worst excursions would leave no room for the rest.
FIRST_EVALUATION, HIGHEST = 5, 12.0
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#ECECEC",
    "grid.linewidth": 0.8,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    # So that the same figures give the same file.
    "svg.hashsalt": "stylebatch",
}


class Line(NamedTuple):
    """A method's median and quartiles over pairs, and the median seconds of each evaluation."""

    evaluations: list[int]
    losses: list[tuple[float, float, float]]
    seconds: list[float]


def plot_setting(
    size: int, start: str, ways: Mapping[str, Mapping[str, Way]], folder: Path
) -> Path:
    """Write the plot of a size and start, an SVG; return where it is.

    Args:
        ways: by method, then by pair; pairs without a way of the textbook loop are left out, and
            so are methods that don't have all of its pairs.
    """
    bests = {pair: best_of(way).loss for pair, way in ways.get(TEXTBOOK, {}).items()}
    # A median of fewer pairs beside those of all would compare other pictures.
    whole = {method: found for method, found in ways.items() if bests.keys() <= found.keys()}
    lines = {method: line_of(of_method, bests) for method, of_method in whole.items()}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"solver-{size}-{start}.svg"
    with mpl.rc_context(STYLE):
        figure = Figure(INCHES, dpi=DOTS_PER_INCH, layout="constrained")
        draw(figure, lines)
        figure.suptitle(title_of(size, start, len(bests)), fontsize=11)
        figure.savefig(path, metadata={"Date": None})
    return path


def title_of(size: int, start: str, num_pairs: int) -> str:
    """Say what is drawn."""
    origin = {"content": "the content image", "noise": "noise"}[start]
    return f"{size} px, from {origin}: median and quartiles of {num_pairs} pairs"


def line_of(ways: Mapping[str, Way], units: Mapping[str, float]) -> Line:
    """Return a method's line over the evaluations at which all its pairs were judged."""
    line = Line([], [], [])
    shown = {pair: way for pair, way in ways.items() if pair in units}
    budget = budget_of(list(shown.values())) if shown else 0
    for evaluation in range(FIRST_EVALUATION, budget + 1):
        found = {pair: loss_at(way, evaluation, budget) for pair, way in shown.items()}
        values = [loss / units[pair] for pair, loss in found.items() if loss is not None]
        if len(values) == len(shown):
            line.evaluations.append(evaluation)
            line.losses.append(quartiles_of(values))
            times = [seconds_until(way, evaluation) for way in shown.values()]
            known = [seconds for seconds in times if seconds is not None]
            line.seconds.append(median(known) if known else np.nan)
    return line


def draw(figure: Figure, lines: Mapping[str, Line]) -> None:
    """Draw the half against evaluations, where there are times the other, and a legend below."""
    is_timed = any(not np.isnan(line.seconds).all() for line in lines.values())
    left, *others = figure.subplots(1, 1 + is_timed, sharey=True, squeeze=False)[0]
    for method, line in lines.items():
        draw_line(left, method, line.evaluations, line)
        for right in others:
            draw_line(right, method, line.seconds, line)
    left.set_ylabel("loss / the textbook loop's best")
    finish_axes(left, "evaluations")
    for right in others:
        finish_axes(right, "seconds for one image")
    figure.legend(
        *left.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False
    )


def draw_line(axes: Axes, method: str, x: list[int] | list[float], line: Line) -> None:
    """Draw a method's median over its quartiles."""
    if not x:
        return
    middle, low, high = np.array(line.losses).T
    colour, is_wide = COLOURS.get(method, "#555555"), method in WIDE
    axes.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)
    axes.plot(
        x,
        middle,
        color=colour,
        linewidth=2.2 if is_wide else 1.4,
        label=method,
        zorder=4 if is_wide else 3,
    )


def finish_axes(axes: Axes, name: str) -> None:
    """Make both axes logarithmic with plain numbers, and mark the textbook loop's best."""
    axes.axhline(1.0, color="#555555", linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    axes.set(xscale="log", yscale="log", xlabel=name)
    axes.set_ylim(top=min(HIGHEST, axes.get_ylim()[1]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())

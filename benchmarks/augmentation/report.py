"""The tables of a trial: means over seeds, what an arm costs and gains."""

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.augmentation.trial import PHOTOGRAPHS, Arm
from stylebatch.output.acceptance import SCORES

Results = Mapping[tuple[str, str], Sequence[Mapping[str, float]]]
COLUMNS = ("domains", "corruptions", "noise", "others", PHOTOGRAPHS)


def line(network: str, arm: Arm, rows: Sequence[Mapping[str, float]]) -> str:
    """Return an arm's means and standard deviations, for who waits."""
    cells = [f"{name} {cell(rows, name)}" for name in COLUMNS]
    return f"{network} {arm.name}: {', '.join(cells)}"


def tables(
    results: Results,
    arms: Sequence[Arm],
    costs: Mapping[str, float],
    num_images: int,
    domains: Sequence[str],
    scores: Mapping[str, Mapping[str, float]],
) -> str:
    """Return a table for each network, and what sets cost and gain.

    Args:
        results: of each network and arm a summary for each seed.
        costs: CPU seconds of each set.
        scores: medians of each set that has some.
    """
    found = []
    for network in dict.fromkeys(network for network, _ in results):
        header = ["arm", *COLUMNS, *domains, "CPU min", "gain per CPU min"]
        rows = [header, ["---"] * len(header)]
        for arm in arms:
            seeds = results[network, arm.name]
            rows.append(
                [
                    *(arm.name, *(cell(seeds, name) for name in (*COLUMNS, *domains))),
                    *_worth(results, network, arm, costs),
                ]
            )
        table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
        found.append(f"{network}, %, mean ± standard deviation over seeds:\n\n{table}")
    rates = [
        f"| {name} | {seconds / 60:.2f} | {60 * num_images / seconds:.0f} | "
        + " | ".join(_score(scores.get(name, {}), score) for score in SCORES)
        + " |"
        for name, seconds in costs.items()
    ]
    names = ["set", "CPU minutes", "images per CPU minute", *SCORES]
    head = f"| {' | '.join(names)} |\n| {' | '.join(['---'] * len(names))} |"
    return "\n\n".join([*found, "\n".join([head, *rates])])


def cell(rows: Sequence[Mapping[str, float]], name: str) -> str:
    """Return mean ± standard deviation over seeds."""
    values = [row[name] for row in rows]
    spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{spread}"


def _score(medians: Mapping[str, float], name: str) -> str:
    return f"{medians[name]:.2f}" if name in medians else ""


def _worth(results: Results, network: str, arm: Arm, costs: Mapping[str, float]) -> tuple[str, str]:
    """Return an arm's CPU minutes, and its gain by each over the same arm without sets.

    The gain is of the mean of domains and corruptions, in percentage points.
    """
    minutes = sum(costs[name] for name in arm.sets) / 60
    base = results.get((network, arm._replace(sets=()).name))
    if not minutes or not base:
        return f"{minutes:.2f}", ""
    gain = _worth_of(results[network, arm.name]) - _worth_of(base)
    return f"{minutes:.2f}", f"{gain / minutes:+.1f}"


def _worth_of(rows: Sequence[Mapping[str, float]]) -> float:
    return float(np.mean([(row["domains"] + row["corruptions"]) / 2 for row in rows]))

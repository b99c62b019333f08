"""Tables of what was measured of peers."""

import statistics
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.peers.ways import Way
from benchmarks.setting.timing import describe_repeats

Ways = Mapping[tuple[str, int, str, str], Way]


def print_report(ways: Ways, peers: Iterable[str]) -> None:
    """Print both tables, of the peers that there is anything of."""
    for machine in sorted({way.machine for way in ways.values()}):
        print(machine)
    there = [peer for peer in peers if any(way.tool == peer for way in ways.values())]
    settings = sorted({(way.size, way.start) for way in ways.values()})
    print("\n| | pairs | times less to its best loss | to its last loss | missed |")
    print("|---|---|---|---|---|")
    for peer in there:
        for size, start in settings:
            if pairs := _pairs(ways, peer, size, start):
                print(_speed_row(peer, size, start, pairs))
    print("\n| | CPU s an image | images a CPU minute | style | content |")
    print("|---|---|---|---|---|")
    for size, start in settings:
        tools = [*there, *(f"ours for {peer}" for peer in there), "crowsonkb", "balanced"]
        for tool in tools:
            found = [way for way in ways.values() if way.key[:3] == (tool, size, start)]
            if found:
                print(_work_row(found))


def _pairs(ways: Ways, peer: str, size: int, start: str) -> list[tuple[Way, Way]]:
    """Return the peer's ways with ours on its objective."""
    found = []
    for key, way in ways.items():
        ours = ways.get((f"ours for {peer}", size, start, way.pair))
        if key[:3] == (peer, size, start) and ours is not None:
            found.append((way, ours))
    return found


def _speed_row(peer: str, size: int, start: str, pairs: Sequence[tuple[Way, Way]]) -> str:
    to_best, missed = _ratios(pairs, [min(theirs.losses) for theirs, _ in pairs])
    to_last, missed_last = _ratios(pairs, [theirs.losses[-1] for theirs, _ in pairs])
    cells = [f"{peer}, {size} px, from {start}", str(len(pairs))]
    cells += [describe_repeats(each, 1) if each else "–" for each in (to_best, to_last)]
    cells.append(f"{missed}, {missed_last}")
    return f"| {' | '.join(cells)} |"


def _ratios(pairs: Sequence[tuple[Way, Way]], losses: Sequence[float]) -> tuple[list[float], int]:
    """Return the peer's time to losses over ours, and how many of them ours never reaches."""
    ratios = []
    for (theirs, ours), loss in zip(pairs, losses, strict=True):
        wanted, needed = theirs.seconds_to(loss), ours.seconds_to(loss)
        if wanted is not None and needed is not None:
            ratios.append(wanted / needed)
    return ratios, len(pairs) - len(ratios)


def _work_row(ways: Sequence[Way]) -> str:
    seconds = statistics.median(way.seconds[-1] for way in ways)
    style, content = (statistics.median(each) for each in zip(*map(_distances, ways), strict=True))
    tool, size, start, _ = ways[0].key
    cells = [f"{tool}, {size} px, from {start}", f"{seconds:.1f}", f"{60 / seconds:.2f}"]
    return f"| {' | '.join([*cells, f'{style:.3f}', f'{content:.2f}'])} |"


def _distances(way: Way) -> tuple[float, float]:
    return way.style, way.content

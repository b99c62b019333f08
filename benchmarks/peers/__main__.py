"""stylebatch beside other people's tools on the same work, by the loss that they have themselves.

    git clone https://github.com/ProGamerGov/neural-style-pt /tmp/neural-style-pt
    git clone https://github.com/crowsonkb/style-transfer-pytorch /tmp/crowsonkb
    python -m benchmarks.peers --neural-style-pt /tmp/neural-style-pt --crowsonkb /tmp/crowsonkb \\
        --tutorial neural_style_tutorial.py --shared ../shared

The tutorial's file is advanced_source/neural_style_tutorial.py of github.com/pytorch/tutorials.

Each tool's own code runs from the file or clone that is named, at its defaults, on one thread,
on the same squares; stylebatch runs on the same objective, which is checked on each pair, with the
solver that the recipe of it ships with, on the same thread, in the precision that it chooses here.
They take turns in going first. Judged is what each would save after an evaluation: 8 bits, by the
tool's own loss. `times less`: the tool's CPU time to its best loss, or to its last, over ours to
the same; `missed`: pairs on which ours has not reached it at its end. Ways are appended to
`--ways`, and a way that is there is not run again.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.peers.ours import Ours, settings_for
from benchmarks.peers.report import print_report
from benchmarks.peers.tools import PEERS, NeuralStylePt, Peer
from benchmarks.peers.watch import Watch
from benchmarks.peers.ways import Way, append_way, read_ways
from benchmarks.setting.crowsonkb import run_crowsonkb
from benchmarks.setting.inputs import (
    STYLES,
    WEIGHTS,
    add_shared_option,
    check_shared,
    photograph_paths,
    settings_of,
    square,
)
from benchmarks.setting.judge import Judge
from benchmarks.setting.machine import describe_machine
from stylebatch.device.choice import choose_precision
from stylebatch.pictures.images import Pixels

# Every evaluation while losses fall fast, then every fifth: judging costs as much as an evaluation.
JUDGED = frozenset([*range(20), *range(24, 2000, 5)])
# What losses in other orders of summation may differ by.
SAME = 2e-3


def main() -> None:
    """Run what is missing, then print the tables."""
    options = _parse_options()
    if not options.report:
        torch.set_num_threads(1)
        with tempfile.TemporaryDirectory() as folder:
            Session(options, Path(folder)).run_missing()
    print_report(read_ways(options.ways), PEERS)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__.splitlines()[0]
    )
    add_shared_option(parser)
    parser.add_argument("--tutorial", type=Path, metavar="FILE", help="of the PyTorch tutorial")
    parser.add_argument("--neural-style-pt", type=Path, metavar="CLONE")
    parser.add_argument("--crowsonkb", type=Path, metavar="CLONE", help="style-transfer-pytorch")
    parser.add_argument("--size", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--start", nargs="+", choices=("content", "noise"), default=["content"])
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--ways", type=Path, default=Path("build/peers.jsonl"))
    parser.add_argument("--report", action="store_true", help="no runs: only the tables")
    parser.add_argument("--quick", action="store_true", help="one pair at 64 px, few evaluations")
    options = parser.parse_args()
    if options.quick:
        options.size, options.pairs, options.crowsonkb = [64], 1, None
        options.ways = Path(tempfile.mkdtemp()) / "peers.jsonl"
    return options


class Session:
    """The tools that were named, and what is known of them."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._options, self._shared = options, check_shared(options.shared)
        self._judge = Judge(self._shared / WEIGHTS)
        self._machine = describe_machine(choose_precision("auto", "cpu"))
        self._known = read_ways(options.ways)
        options.ways.parent.mkdir(parents=True, exist_ok=True)
        self._peers = self._make_peers(folder)

    def _make_peers(self, folder: Path) -> list[tuple[Peer, Ours]]:
        made = []
        for name, kind in PEERS.items():
            if code := getattr(self._options, name.replace("-", "_")):
                peer = kind(code.resolve(), self._shared, folder / name)
                steps = 20 if self._options.quick else None
                if isinstance(peer, NeuralStylePt) and steps:
                    peer.iterations = steps
                made.append((peer, Ours(settings_for(peer, steps))))
        return made

    def run_missing(self) -> None:
        """Run each tool, and ours, on each pair that there is nothing of."""
        styles = sorted((self._shared / STYLES).iterdir())
        for size in self._options.size:
            for start in self._options.start:
                photographs = photograph_paths(self._shared, self._options.pairs)
                for turn, photograph in enumerate(photographs):
                    style = styles[turn % len(styles)]
                    name = f"{photograph.stem} × {style.stem}"
                    pair = square(photograph, size), square(style, size)
                    self._run_pair(turn, name, pair, start)

    def _run_pair(self, turn: int, name: str, pair: tuple[Pixels, Pixels], start: str) -> None:
        where = len(pair[0]), start, name
        for peer, ours in self._peers:
            if (peer.name, *where) not in self._known:
                self._run_both(turn, peer, ours, pair, where)
        if start == "content" and ("balanced", *where) not in self._known:
            watch = Ours(settings_of(self._shared)).run(*pair, start)
            self._note("balanced", where, pair, watch.images[-1], watch.seconds[-1:], [])
        is_asked = self._options.crowsonkb is not None and start == "content"
        if is_asked and ("crowsonkb", *where) not in self._known:
            clone = self._options.crowsonkb.resolve()
            made = run_crowsonkb(clone, self._shared / WEIGHTS, *pair, where[0])
            seconds, picture = made[where[0]]
            self._note("crowsonkb", where, pair, np.asarray(picture), [seconds], [])

    def _run_both(
        self,
        turn: int,
        peer: Peer,
        ours: Ours,
        pair: tuple[Pixels, Pixels],
        where: tuple[int, str, str],
    ) -> None:
        start = where[1]
        if turn % 2:
            of_ours, of_peer = ours.run(*pair, start), peer.run(*pair, start)
        else:
            of_peer, of_ours = peer.run(*pair, start), ours.run(*pair, start)
        _check_same(peer, ours, pair)
        for tool, watch in ((peer.name, of_peer), (f"ours for {peer.name}", of_ours)):
            seconds, losses = _judged(peer, watch)
            self._note(tool, where, pair, watch.images[-1], seconds, losses)

    def _note(
        self,
        tool: str,
        where: tuple[int, str, str],
        pair: tuple[Pixels, Pixels],
        image: Pixels,
        seconds: list[float],
        losses: list[float],
    ) -> None:
        size, start, name = where
        score = self._judge.score(image, *pair)
        way = Way(
            tool, size, start, name, self._machine, seconds, losses, score.style, score.content
        )
        append_way(self._options.ways, way)
        lowest = f", lowest loss {min(losses):.6g}" if losses else ""
        print(f"{tool}, {size} px, {name}: {seconds[-1]:.1f} s{lowest}", file=sys.stderr)


def _check_same(peer: Peer, ours: Ours, pair: tuple[Pixels, Pixels]) -> None:
    """Leave where the tool and stylebatch do not have one objective."""
    content, style = pair
    half = (content // 2 + style // 2).astype(content.dtype)
    for image in (content, half):
        theirs, found = peer.loss(image), ours.loss(image, content, style)
        if abs(theirs - found) > SAME * abs(theirs):
            sys.exit(f"{peer.name} has a loss of {theirs:.6g}, stylebatch's objective {found:.6g}")


def _judged(peer: Peer, watch: Watch) -> tuple[list[float], list[float]]:
    last = len(watch.images) - 1
    chosen = [number for number in range(last + 1) if number in JUDGED or number == last]
    losses = [peer.loss(watch.images[number]) for number in chosen]
    return [watch.seconds[number] for number in chosen], losses


if __name__ == "__main__":
    main()

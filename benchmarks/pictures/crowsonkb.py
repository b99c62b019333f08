"""Results of style-transfer-pytorch (Katherine Crowson, 2022) at its defaults, pair by pair.

    git clone https://github.com/crowsonkb/style-transfer-pytorch /tmp/crowsonkb
    python -m benchmarks.pictures.crowsonkb /tmp/crowsonkb OUT --edge 256 --pairs 4   # an hour

Its own code on one thread, from the content, on the same work size as stylebatch: 1,000 evaluations
at 128 px, 500 at each size up to the edge, each √2 the last; sizes on the way are kept as well, as
they are what a run up to there gives. Layers and weights: `benchmarks.setting.crowsonkb`.
"""

import argparse
import json
from pathlib import Path

import torch

from benchmarks.pictures.pairs import load_pairs
from benchmarks.setting.crowsonkb import run_crowsonkb
from benchmarks.setting.inputs import WEIGHTS, add_shared_option, check_shared


def main() -> None:
    """Make the pictures of every pair that is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_shared_option(parser)
    parser.add_argument("clone", type=Path, help="a clone of style-transfer-pytorch")
    parser.add_argument("out", type=Path, help="folder of its pictures and times.json")
    parser.add_argument("--edge", type=int, default=256, help="of the last size")
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--which", choices=("report", "development"), default="report")
    options = parser.parse_args()
    shared = check_shared(options.shared)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    times_path = options.out / "times.json"
    for pair in load_pairs(shared, options.which, options.edge, options.pairs):
        if (options.out / f"{pair.name} {options.edge}.png").exists():
            continue
        times = json.loads(times_path.read_text()) if times_path.exists() else {}
        made = run_crowsonkb(
            options.clone, shared / WEIGHTS, pair.content, pair.style, options.edge
        )
        for size, (seconds, picture) in made.items():
            picture.save(options.out / f"{pair.name} {size}.png")
            times[f"{pair.name} {size}"] = seconds
            print(f"{pair.name} {size} px: {seconds:.0f} s of CPU time", flush=True)
        times_path.write_text(json.dumps(times, indent=1) + "\n")


if __name__ == "__main__":
    main()

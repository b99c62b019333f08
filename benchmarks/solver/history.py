"""What L-BFGS gives up with fewer curvature pairs, which are half of what a huge image keeps.

    python -m benchmarks.solver.history --shared ../shared

The lowest loss of `balanced` on VGG-19 after so many evaluations, by pairs kept: three photographs,
each with a style of its own.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.setting.inputs import (
    MIXED_STYLES,
    add_shared_option,
    check_shared,
    photograph_paths,
    problems_of,
    settings_of,
    square,
    style_of,
)
from benchmarks.setting.machine import describe_machine
from stylebatch.device.choice import PRECISIONS, choose_precision
from stylebatch.device.device import Device
from stylebatch.pictures.images import Pixels
from stylebatch.recipes import Settings
from stylebatch.records import Style


def main() -> None:
    """Print a line for each photograph and number of pairs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_shared_option(parser)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--evaluations", type=int, nargs="+", default=[10, 20, 40, 60])
    parser.add_argument("--history", type=int, nargs="+", default=[10, 5, 3])
    parser.add_argument("--precision", default="auto", choices=["auto", *PRECISIONS])
    options = parser.parse_args()
    shared = check_shared(options.shared)
    print(describe_machine(choose_precision(options.precision, "cpu")))
    print(f"lowest loss after {', '.join(map(str, options.evaluations))} evaluations")
    steps = max(options.evaluations)
    with TemporaryDirectory(prefix="stylebatch-history-") as cache:
        device = Device("cpu", shared, Path(cache))
        photographs = photograph_paths(shared, len(MIXED_STYLES))
        for path, name in zip(photographs, MIXED_STYLES, strict=True):
            pixels, style = square(path, options.size), style_of(shared, name)
            for history in options.history:
                settings = settings_of(
                    shared,
                    size_px=options.size,
                    steps=steps,
                    tolerance=0,
                    levels=1,
                    history=history,
                )
                settings = replace(settings, precision=options.precision)
                losses = descend(device, settings, pixels, style)
                lowest = (f"{min(losses[:count]):.5f}" for count in options.evaluations)
                print(f"{path.stem} × {name}, {history} pairs: {' '.join(lowest)}", flush=True)


def descend(device: Device, settings: Settings, pixels: Pixels, style: Style) -> Sequence[float]:
    """Return the loss of each evaluation of one image."""
    height, width = pixels.shape[:2]
    engine = device.engine(settings, 1, width, height)
    (problem,) = problems_of(device, settings, engine, [pixels], style)
    engine.admit(problem)
    losses: list[float] = []
    while engine.running:
        losses += [row.total for _, row in engine.step().rows]
    return losses


if __name__ == "__main__":
    main()

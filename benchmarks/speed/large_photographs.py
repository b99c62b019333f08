"""How much memory a run takes that stylises photographs of many megapixels, small.

    python -m benchmarks.speed.large_photographs
    python -m benchmarks.speed.large_photographs --quick    # a smoke test

Ten of them with one style by `slim` at 128 px, each file as large as its photograph: the largest
resident memory of the one process, with the result's colours and with `color: content`.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from benchmarks.setting.machine import describe_machine
from stylebatch.device.choice import choose_precision

MANIFEST = """
version: 1
output: out-{color}
extractor: {{arch: slim}}
pairs:
  - {{name: all, content: photos, styles: [style.png], size_px: 128, steps: 2,
     format: jpeg, override: {{color: {color}}}}}
run: {{executor: inline, cache: cache}}
"""
CHILD = "import sys; from stylebatch.cli import main; sys.argv[1:] = ['run', '-q', {!r}]; main()"


def main() -> None:
    """Print the peak of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=int, default=10)
    parser.add_argument("--megapixels", type=float, default=24)
    parser.add_argument("--quick", action="store_true", help="two of half a megapixel")
    options = parser.parse_args()
    if options.quick:
        options.photographs, options.megapixels = 2, 0.5
    print(describe_machine(choose_precision("auto", "cpu")))
    with TemporaryDirectory(prefix="stylebatch-large-") as folder:
        draw_project(Path(folder), options.photographs, options.megapixels)
        for color in ("style", "content"):
            print(f"color: {color:<8} {peak_mb(Path(folder), color):6,.0f} MB", flush=True)


def draw_project(root: Path, count: int, megapixels: float) -> None:
    """Write photographs of 3:2 in soft random colours, and a style."""
    (root / "photos").mkdir()
    edge = round((megapixels * 1e6 / 6) ** 0.5)
    draw = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(draw.integers(0, 256, (8, 12, 3), dtype=np.uint8))
        coarse.resize((3 * edge, 2 * edge)).save(root / f"photos/{number}.jpg")
    Image.fromarray(draw.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(root / "style.png")


def peak_mb(root: Path, color: str) -> float:
    """Return the largest resident memory of a run's process in MB."""
    manifest = root / f"{color}.yaml"
    manifest.write_text(MANIFEST.format(color=color), encoding="utf-8")
    # In a process between, whose children are only this one.
    code = (
        "import resource, subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], "
        "check=True); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, CHILD.format(str(manifest))],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    unit = 1 if sys.platform == "darwin" else 1024
    return int(told) * unit / 1e6


if __name__ == "__main__":
    main()

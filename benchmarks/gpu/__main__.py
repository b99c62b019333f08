"""A session on a GPU: what it does, at what speed, with which numbers, as one report.

    python -m benchmarks.gpu --device cuda:0 --budget-s 600 --out gpu-report.md
    python -m benchmarks.gpu --device cpu --budget-s 120 --out cpu-report.md   # a smoke test
    python -m benchmarks.gpu --only rate throughput

Each part runs in a process of its own and is ended when its share of the time is over; what it has
found until then stands in the report, and the others go on. Beside the report its numbers lie as
JSON. Weights and images are random unless `--shared` names some. On the CPU sizes are small: that
shows that the session works, and measures nothing.

Exit code 1 where a part has failed, was ended, or has found what must not be; 2 without a GPU.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.gpu.report import is_sound, write_report
from benchmarks.gpu.session import PARTS, part_command, run_parts
from stylebatch.system.cores import let_threads_sleep


def main() -> None:
    """Run the parts and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0", help="default: %(default)s")
    parser.add_argument("--budget-s", type=float, default=600.0, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("gpu-report.md"))
    parser.add_argument("--only", nargs="+", choices=[part.name for part in PARTS], metavar="PART")
    parser.add_argument("--shared", type=Path, help="photographs, styles, weights; default: random")
    parser.add_argument("--small", action="store_true", help="sizes as for a CPU")
    options = parser.parse_args()
    parts = [part for part in PARTS if not options.only or part.name in options.only]
    is_cuda = options.device.startswith("cuda")
    is_small = options.small or not is_cuda
    if is_cuda and not _finds_cuda():
        print(
            f"{options.device}: torch finds no CUDA device here; try --device cpu", file=sys.stderr
        )
        sys.exit(2)
    out = options.out.resolve()
    with tempfile.TemporaryDirectory(prefix="stylebatch-gpu-") as folder:
        # Nothing of the user's, and nothing that an earlier session has left.
        os.environ["STYLEBATCH_CACHE"] = str(Path(folder) / "cache")
        let_threads_sleep()
        ended = run_parts(
            parts,
            options.budget_s,
            Path(folder),
            part_command(options.device, options.shared, is_small=is_small),
            lambda text: print(text, flush=True),
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(write_report(ended, options.device, options.budget_s), encoding="utf-8")
    numbers = out.with_suffix(".json")
    told = [each.as_json() for each in ended]
    numbers.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(f"{out}\n{numbers}")
    sys.exit(0 if is_sound(ended) else 1)


def _finds_cuda() -> bool:
    """Ask another process, which lets go of the card again."""
    code = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


if __name__ == "__main__":
    main()

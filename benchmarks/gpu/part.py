"""One part of a session, as `benchmarks.gpu` starts it.

python -m benchmarks.gpu.part bits --device cpu --small --folder /tmp/bits
"""

import argparse
import time
from pathlib import Path

import torch

from benchmarks.gpu.notes import Notes
from benchmarks.gpu.parts import MEASURES
from benchmarks.gpu.task import Task
from stylebatch.system.processes import end_with_parent


def main() -> None:
    """Do a part and note down what it finds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=sorted(MEASURES))
    parser.add_argument("--device", required=True)
    parser.add_argument("--folder", type=Path, required=True, help="for notes and all else")
    parser.add_argument("--budget-s", type=float, default=600.0)
    parser.add_argument("--shared", type=Path)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    # It is in a session of its own: Ctrl-C reaches only whoever has started it.
    end_with_parent()
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = options.folder.resolve()
    until_s = time.monotonic() + options.budget_s
    notes = Notes(folder / "notes.jsonl")
    shared = options.shared.resolve() if options.shared else None
    task = Task(options.device, shared, folder, options.small, until_s, notes)
    if task.is_cuda and not torch.cuda.is_available():
        raise SystemExit(f"{options.device}: torch {torch.__version__} finds no CUDA device")
    MEASURES[options.part](task)


if __name__ == "__main__":
    main()

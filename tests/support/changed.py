"""Runs whose workers are changed before they start: spawned processes read that file again."""

import os
import subprocess
import sys

from support.runs import PATIENCE_S, Small

CHANGED = """
import os, signal, sys
import torch
from stylebatch.cli import main
from stylebatch.transfer.engine import Engine

def once(name):
    try:
        os.close(os.open(os.environ["MARKERS"] + "/" + name, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True

{change}

if __name__ == "__main__":
    main()
"""


def run_changed(small: Small, change: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    small.document["run"]["executor"] = "local"
    script = small.root / "changed.py"
    script.write_text(CHANGED.replace("{change}", change.replace("\\\\n", "\\n")))
    markers = small.root / "markers"
    markers.mkdir()
    return subprocess.run(
        [sys.executable, str(script), "run", str(small.write()), *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={**os.environ, "MARKERS": str(markers)},
    )

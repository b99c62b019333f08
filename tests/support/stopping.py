"""Runs in processes of their own that save sooner than a user's would."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping

from support.runs import Small, end, one_core, wait_until

# Images are worth a file after so many seconds, and the rest of a night an image; how far the run
# is is written at once.
CODE = """
import sys
from stylebatch.run import activity, limits, specs
activity.EVERY_S = 0.0
specs.SAVE_AFTER_S = limits.WORTH_BEGINNING_S = float(sys.argv.pop(1))
from stylebatch.cli import main
main()
"""


def begin(
    small: Small, save_after_s: float, environment: Mapping[str, str] | None = None
) -> "subprocess.Popen[str]":
    """Start a run, in a process group of its own, and wait until images are being made."""
    asked = [sys.executable, "-c", CODE, str(save_after_s), "run", str(small.write())]
    with one_core():
        process = subprocess.Popen(
            asked,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )

    def has_begun() -> bool:
        if process.poll() is not None:
            return True
        try:
            told = json.loads((small.out / ".stylebatch/activity.json").read_bytes())
        except (OSError, ValueError):
            return False
        return bool(told.get("furthest"))

    wait_until(has_begun, "images in slots")
    assert process.poll() is None, end(process)
    return process

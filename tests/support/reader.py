"""Somebody who follows a page of the documents, command by command."""

import os
import subprocess
import sys
from pathlib import Path

from support.paths import ROOT
from support.runs import PATIENCE_S, one_core

COMMAND = f"""#!/bin/sh
exec {sys.executable} -m stylebatch "$@"
"""


class Reader:
    """Somebody who follows the page in a folder, with `stylebatch` on the path."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "work"
        self.folder.mkdir()
        programs = root / "bin"
        programs.mkdir()
        (programs / "stylebatch").write_text(COMMAND)
        (programs / "stylebatch").chmod(0o755)
        path = f"{programs}:{os.environ['PATH']}"
        own = {"PATH": path, "PYTHONPATH": str(ROOT), "STYLEBATCH_CACHE": str(root / "cache")}
        self.environment = {**os.environ, **own}

    def run(self, *arguments: str) -> str:
        """Run something to its end, without an error or a word on stderr."""
        with one_core():
            done = subprocess.run(
                arguments,
                cwd=self.folder,
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
            )
        assert (done.returncode, done.stderr) == (0, ""), (arguments, done)
        return done.stdout

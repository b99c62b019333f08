"""The benchmark of whole folders: it runs, and its columns agree with each other."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT


@pytest.mark.slow
def test_a_few_images_are_made_and_their_rates_told(shared: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.speed.folder", "--quick", "--shared", str(shared)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    _, _, row = done.stdout.splitlines()
    size, images, startup, each, rate, whole = map(float, row.split())
    assert (size, images) == (32, 4)
    assert startup > 0
    # Told to few digits.
    assert rate == pytest.approx(60 / each, rel=0.1)
    assert whole == pytest.approx(60 * images / (startup + 3 * each), rel=0.1)

"""A decoder that ends its process, or never ends: its image fails, all others are made."""

import os
import subprocess
from pathlib import Path

import pytest
from support.runs import COMMAND, PATIENCE_S, Small, color_project, lines, small_project

# Python runs it before anything else in each process: decoding two sizes ends badly there, as a
# fault of libjpeg would end it, or a loop in it. Planning reads headers only.
SITE = """
import os, time
from PIL import ImageFile
load = ImageFile.ImageFile.load
def trapped(self):
    if self.size == (33, 16):
        os.abort()
    if self.size == (34, 16):
        time.sleep(100000)
    return load(self)
ImageFile.ImageFile.load = trapped
"""


def run_trapped(small: Small) -> subprocess.CompletedProcess[str]:
    site = small.root / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE)
    path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [*COMMAND, "run", str(small.write())],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


@pytest.mark.slow
@pytest.mark.parametrize("needs_network", [False, True])
def test_a_decoder_that_ends_its_process_costs_its_image(
    tmp_path: Path, needs_network: bool
) -> None:
    small = small_project(tmp_path) if needs_network else color_project(tmp_path)
    small.document["run"] |= {"executor": "local"}
    small.photo("cats/dies.png", 8, 33, 16)
    ended = run_trapped(small)
    assert ended.returncode == 3, ended
    failures = lines(small.out / "failures.jsonl")
    assert {row["content"] for row in failures} == {"photos/cats/dies.png"}
    assert {row["deaths"] for row in failures} == {2}
    assert len(small.metadata()) == 4


@pytest.mark.slow
def test_a_decoder_that_never_ends_is_ended_by_the_time_limit(tmp_path: Path) -> None:
    small = color_project(tmp_path)
    (small.root / "styles/t.png").unlink()
    small.document["run"] |= {"executor": "local", "image_timeout": "6s", "max_deaths": 1}
    small.photo("cats/hangs.png", 8, 34, 16)
    ended = run_trapped(small)
    assert ended.returncode == 3, ended
    (failure,) = lines(small.out / "failures.jsonl")
    assert failure["content"] == "photos/cats/hangs.png"
    assert "no answer for 6 s: killed (run.image_timeout)" in small.log()
    assert len(small.metadata()) == 2

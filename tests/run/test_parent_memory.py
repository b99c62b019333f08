"""A run's own process feeds those that compute: it loads no torch, whatever it has to find out."""

from pathlib import Path

import pytest
import torch
from support.runs import Small, needs_proc, run_process, small_project
from support.weights import draw_weights

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("on_one_core")]

WITHOUT_TORCH = """
import sys
from stylebatch.cli import main
try:
    main()
except SystemExit as ending:
    code = ending.code or 0
maps = open("/proc/self/maps").read()
print("torch" in sys.modules, "libtorch" in maps, code)
"""


@pytest.fixture
def small(tmp_path: Path) -> Small:
    small = small_project(tmp_path)
    small.document["run"] |= {"executor": "local", "cpu_workers": 1}
    return small


@needs_proc
@pytest.mark.parametrize("devices", ["auto", ["cpu"], ["cuda:63"]])
@pytest.mark.parametrize("weights", ["random", "w.pth", "damaged.pth"])
def test_a_run_with_workers_of_its_own_loads_no_torch(
    small: Small, devices: object, weights: str
) -> None:
    if weights.endswith(".pth"):
        torch.save(draw_weights("conv2_1"), small.root / weights)
        small.document["extractor"] = {"weights": weights, "normalisation": "imagenet"}
    if weights.startswith("damaged"):
        (small.root / weights).write_bytes((small.root / weights).read_bytes()[:1000])
    small.document["run"]["devices"] = devices
    ended = run_process(WITHOUT_TORCH, "run", str(small.write()))
    is_refused = devices == ["cuda:63"] or weights == "damaged.pth"
    last = ended.out.splitlines()[-1]
    assert last == f"False False {2 if is_refused else 0}", ended
    assert len(small.images()) == (0 if is_refused else 4)
    if devices == ["cuda:63"]:
        assert "no device 'cuda:63'; this machine has" in ended.err
    if weights == "damaged.pth":
        assert "damaged.pth: is no weights file that can be read safely (it is cut)" in ended.err

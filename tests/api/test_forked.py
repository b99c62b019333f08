"""`stylize()` in processes that are forked after it was used: it works, with the same bits."""

import subprocess
import sys

import pytest
from support.runs import PATIENCE_S

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

COMMON = """
import os, sys, signal, warnings
import numpy as np, torch
from stylebatch import stylize
warnings.simplefilter("ignore")
torch.set_num_threads(2)
draw = np.random.default_rng(0)
photo, style = (draw.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(2))
def made():
    return np.asarray(stylize(photo, style, weights="random", size_px=64, steps=3)[0])
"""
FORK = """
here = made() if sys.argv[1] == "after" else None
read, write = os.pipe()
if os.fork() == 0:
    signal.alarm(60)  # ends what hangs
    os.write(write, made().tobytes())
    os._exit(0)
os.close(write)
with os.fdopen(read, "rb") as pipe:
    there = pipe.read()
assert there == (made() if here is None else here).tobytes(), len(there)
print("the same")
"""
LOADER = """
from torch.utils.data import DataLoader, Dataset
class Made(Dataset):
    def __len__(self):
        return 2
    def __getitem__(self, index):
        return made().copy()
here = made()
loader = DataLoader(Made(), batch_size=None, num_workers=1, timeout=60,
                    multiprocessing_context="fork")
assert all((each.numpy() == here).all() for each in loader)
print("the same")
"""


def output_of(code: str, *arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", COMMON + code, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_S,
    )
    assert ended.returncode == 0
    return ended.stdout.splitlines()[-1]


@pytest.mark.parametrize("when", ["after", "before"])
def test_a_forked_child_works(when: str) -> None:
    assert output_of(FORK, when) == "the same"


def test_a_worker_of_a_data_loader_works() -> None:
    assert output_of(LOADER) == "the same"

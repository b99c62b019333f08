"""Weights and style targets are what their digests say, whenever they are loaded."""

import os
import signal
from pathlib import Path

import pytest
from safetensors.torch import save_file
from support.runs import (
    Small,
    children_of,
    contents,
    end,
    needs_proc,
    small_project,
    start,
    wait_until,
)
from support.weights import draw_weights

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("on_one_core")]

NORMALISED = {"mean": "0.485,0.456,0.406", "std": "0.229,0.224,0.225"}


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """Six photographs with two styles, made with a file of weights by one worker."""
    small = small_project(tmp_path)
    for number in range(4):
        small.photo(f"cats/{number}.png", 30 + number)
    small.document["extractor"] = {"arch": "vgg19", "weights": "w.safetensors"}
    small.document["run"] |= {"executor": "local", "cpu_workers": 1}
    write_weights(tmp_path / "w.safetensors", 1.0)
    return small


def write_weights(path: Path, times: float) -> None:
    tensors = {name: tensor * times for name, tensor in draw_weights("conv2_1").items()}
    save_file(tensors, path, NORMALISED)


def caches(small: Small) -> list[Path]:
    return sorted((small.root / "cache/grams").glob("*.safetensors"))


def kill_worker(pid: int) -> None:
    for child in children_of(pid):
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
            os.kill(child, signal.SIGKILL)


@needs_proc
@pytest.mark.parametrize("how", ["replaced", "removed", "of another network"])
def test_a_worker_does_not_go_on_with_other_weights_than_the_one_before(
    small: Small, how: str
) -> None:
    weights = small.root / "w.safetensors"
    assert small.run().code == 0
    reference, cached = small.images(), [path.read_bytes() for path in caches(small)]
    small.out.rename(small.root / "before")
    for path in caches(small):
        path.unlink()
    kept = weights.read_bytes()
    small.pair["override"]["progress_at"] = [2]
    small.pair["steps"] = 400
    process = start("run", str(small.write()))
    wait_until(lambda: contents(small.out / "progress"), "a worker is at an image")
    if how == "replaced":
        write_weights(small.root / "new", 1.5)
        os.replace(small.root / "new", weights)
    elif how == "of another network":
        save_file({"features.0.weight": draw_weights("conv1_1")["features.0.weight"]}, weights)
    else:
        weights.unlink()
    kill_worker(process.pid)
    ended = end(process)
    assert ended.code == 5, ended
    assert "w.safetensors" in ended.err
    if how == "replaced":
        assert "these weights have changed since planning; put them back, or run again" in ended.err
    assert "Traceback" not in ended.err

    weights.write_bytes(kept)
    small.out.rename(small.root / "stopped")
    del small.pair["override"]["progress_at"]
    small.pair["steps"] = 3
    assert small.run().code == 0
    assert small.images() == reference
    assert [path.read_bytes() for path in caches(small)] == cached, "the cache is as it was"


def test_cached_targets_with_a_bit_that_flipped_are_made_again_and_told_of_once(
    small: Small,
) -> None:
    assert small.run().code == 0
    reference = small.images()
    for path in caches(small):
        data = bytearray(path.read_bytes())
        data[-100] ^= 0x40
        path.write_bytes(data)
    damaged = [path.read_bytes() for path in caches(small)]
    small.out.rename(small.root / "before")
    ended = small.run()
    assert ended.code == 0
    assert small.images() == reference
    for path, before in zip(caches(small), damaged, strict=True):
        assert path.read_bytes() != before
        assert small.log().count(f"{path}: cached style targets are damaged") == 1
    small.out.rename(small.root / "once")
    assert small.run().code == 0
    assert "damaged" not in small.log()


def test_a_cache_that_can_not_be_written_stops_nothing_and_is_told_of_once(small: Small) -> None:
    small.document["run"]["cpu_workers"] = 2
    (small.root / "cache").write_text("a file where the folder should be")
    ended = small.run()
    assert ended.code == 0, ended
    assert len(small.images()) == 12
    assert small.log().count("style targets can't be cached there") == 1

"""The benchmark beside other tools: that watching changes nothing, and what its tables say."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.peers.report import print_report
from benchmarks.peers.tools import IMAGENET_MEAN, IMAGENET_STD, Tutorial
from benchmarks.peers.watch import Watch, watched_by
from benchmarks.peers.ways import Way, append_way, read_ways
from benchmarks.setting.inputs import WEIGHTS
from benchmarks.setting.judge import STD, vgg19_features


def descend(kind: type[torch.optim.LBFGS]) -> tuple[list[float], Tensor]:
    """Minimise a function of four numbers; return the losses and where it ends."""
    image = torch.tensor([1.0, -2.0, 3.0, 0.5]).view(1, 1, 2, 2).requires_grad_()
    optimizer, losses = kind([image], max_iter=6), list[float]()

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = ((image - 0.25) ** 4).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(float(loss.detach()))
        return loss

    for _ in range(3):
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    return losses, image.detach()


def test_an_optimiser_that_is_watched_goes_the_same_way() -> None:
    watch, seen = Watch(), list[Tensor]()

    def make_pixels(image: Tensor) -> np.ndarray:
        seen.append(image.clone())
        return np.zeros((1, 1, 3), np.uint8)

    watched = watched_by(watch, make_pixels)
    losses, end = descend(watched)
    expected, expected_end = descend(torch.optim.LBFGS)
    assert losses == expected
    assert torch.equal(end, expected_end)
    assert len(watch.seconds) == len(watch.images) == len(losses)
    assert watch.seconds == sorted(watch.seconds)
    assert [float(((image - 0.25) ** 4).sum()) for image in seen] == losses


def test_the_tutorials_weights_have_the_features_of_ours(shared: Path, tmp_path: Path) -> None:
    peer = Tutorial(Path("none"), shared, tmp_path / "tutorial")
    pixels = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))

    def features(weights: Path, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
        centred = pixels - torch.tensor(mean).view(1, 3, 1, 1)
        network = vgg19_features(weights, 15)
        found: Tensor = network(centred / torch.tensor(std).view(1, 3, 1, 1))
        return found

    own = features(peer.weights, IMAGENET_MEAN, IMAGENET_STD)
    # With the means that its own preprocessing subtracts.
    ours = features(shared / WEIGHTS, IMAGENET_MEAN, (STD,) * 3)
    scale = 255 * sum(IMAGENET_STD) / 3
    assert torch.allclose(own * scale, ours, rtol=1e-4, atol=1e-3 * float(ours.abs().max()))


def test_the_table_has_the_times_to_a_tools_best_and_last_loss(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ways.jsonl"

    def note(tool: str, pair: str, seconds: list[float], losses: list[float]) -> None:
        append_way(path, Way(tool, 128, "content", pair, "a machine", seconds, losses, 0.5, 0.25))

    note("tutorial", "a", [1, 2, 30, 40], [9, 4, 2, 3])
    note("ours for tutorial", "a", [1, 5, 6], [9, 3, 2])
    note("tutorial", "b", [1, 20], [9, 4])
    note("ours for tutorial", "b", [1, 10], [9, 4])
    note("tutorial", "c", [1, 20], [9, 4])
    note("ours for tutorial", "c", [1, 10], [9, 5])
    print_report(read_ways(path), ["tutorial", "neural-style-pt"])
    text = capsys.readouterr().out
    # a: 30 / 6 to its best, 40 / 5 to its last by the first time that it is reached: 30 / 5.
    row = "| tutorial, 128 px, from content | 3 | 3.5 (2.0–5.0) | 4.0 (2.0–6.0) | 1, 1 |"
    assert row in text.splitlines()
    assert "| tutorial, 128 px, from content | 20.0 | 3.00 | 0.500 | 0.25 |" in text.splitlines()
    assert "neural-style-pt" not in text

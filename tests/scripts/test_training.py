"""`training.train_slim`, as a user runs it, for a few steps on drawn images."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file
from safetensors.torch import save_file
from support.paths import ROOT
from torch import Tensor

from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.extractors.weights import find_weights, load_tensors
from training.crops import load_images
from training.holdout import read_names

pytestmark = pytest.mark.slow
SMALL = [
    "--steps",
    "4",
    "--batch",
    "2",
    "--crop",
    "32",
    "--replay-every",
    "3",
    "--replay-images",
    "1",
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VGG-19 with random filters and two folders of images."""
    root = tmp_path_factory.mktemp("training")
    vgg = ARCHITECTURES["vgg19"]
    drawn = load_tensors(find_weights("vgg19", "random", root), ["conv3_3"])
    tensors: dict[str, Tensor] = {}
    for part in vgg.convolutions(["conv3_3"]):
        weight, bias = drawn[part.name]
        tensors |= {f"{part.parameters}.weight": weight, f"{part.parameters}.bias": bias}
    save_file(tensors, root / "vgg.safetensors", {"mean": "0.5", "std": "0.25"})
    rng = np.random.default_rng(0)
    for name in ("photos/a.png", "photos/left-out.png", "paintings/b.png"):
        (root / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (150, 160, 3), np.uint8)).save(root / name)
    (root / "left-out.txt").write_text("# a comment\nphotos/left-out.png\n")
    return root


def train(inputs: Path, name: str, *options: str) -> Path:
    output = inputs / f"{name}.safetensors"
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "training.train_slim",
        inputs / "vgg.safetensors",
        inputs / "photos",
    ]
    command += [inputs / "paintings", "-o", output, "--left-out", inputs / "left-out.txt"]
    subprocess.run([*command, *SMALL, *options], check=True, cwd=ROOT, capture_output=True)
    return output


def test_it_makes_a_file_that_is_read_the_same_twice_and_another_for_another_seed(
    inputs: Path,
) -> None:
    first, second = train(inputs, "first"), train(inputs, "second")
    other = train(inputs, "other", "--seed", "1")
    found = find_weights("slim", str(first), inputs)
    assert found.layers == frozenset(part.name for part in ARCHITECTURES["slim"].convolutions())
    assert found.normalisation.mean == (0.5, 0.5, 0.5)
    with safe_open(first, framework="np") as file:
        assert "distilled from VGG-19" in file.metadata()["source"]
        assert '"seed": 0' in file.metadata()["training"]
    numbers = [load_file(path) for path in (first, second, other)]
    assert all(np.array_equal(numbers[0][key], numbers[1][key]) for key in numbers[0])
    key = "features.2.weight"
    assert not np.array_equal(numbers[0][key], numbers[2][key])
    # Its first filters are the teacher's own, of inputs of another size.
    ours = numbers[0]["features.0.weight"].reshape(-1, 27)
    teacher = load_file(inputs / "vgg.safetensors")["features.0.weight"].reshape(-1, 27)
    cosines = ours @ teacher.T / np.outer(*(np.linalg.norm(x, axis=1) for x in (ours, teacher)))
    assert len({*cosines.argmax(1)}) == len(ours)
    assert np.allclose(cosines.max(1), 1, atol=1e-5)


def test_what_is_left_out_is_not_loaded(inputs: Path) -> None:
    names = read_names(inputs / "left-out.txt")
    assert names == ["photos/left-out.png"]
    assert len(load_images(inputs / "photos", names)) == 1
    with pytest.raises(SystemExit, match="no images to train on"):
        load_images(inputs / "photos", {"photos/left-out.png", "photos/a.png"})

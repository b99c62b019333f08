"""`slim` and the one before it: heads against wide maps, the shipped files, what they imitate."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from support import naive
from support.extractors import MEAN, STD, of, relative_error
from support.paths import ROOT
from torch import Tensor, nn

from stylebatch import stylize
from stylebatch.extractors.architectures import ARCHITECTURES, UnknownLayerError
from stylebatch.extractors.weights import WeightsError, find_weights, layers_digest, load_tensors
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.objective import Objective, ObjectiveSpec

NAMES = ("slim", "slim-2026-11")
SLIM = ARCHITECTURES["slim"]
LAYERS = {arch: tuple(ARCHITECTURES[arch].heads) for arch in NAMES}
MAX_FILE_BYTES = 4_000_000
SPEC = ObjectiveSpec(
    content_layers={"conv3_3": 1.0},
    content_loss="relative",
    content_weight=1.0,
    style_layers=dict.fromkeys(SLIM.style_layers, 1.0),
    style_loss="relative",
    gram_divisor="n",
    style_weight=10.0,
    layer_reduction="mean",
    tv_weight=0.0,
)


def wide_maps(images: Tensor, arch: str = "slim") -> dict[str, Tensor]:
    """Torchvision's own layers, then a branch where there is one, and a head each.

    In float64, nothing of stylebatch.
    """
    before = {layer: layer.replace("relu", "conv") for layer in LAYERS[arch]}
    places = list({*before.values(), *LAYERS[arch]})
    narrow = naive.read_off(arch, ((images - MEAN) / STD).double(), places)
    heads, branches = naive.random_heads(arch), naive.random_branches(arch)
    maps = {}
    for layer in LAYERS[arch]:
        found = narrow[layer]
        if layer in branches:
            found = one_by_one(branches[layer], narrow[before[layer]]).relu()
        maps[layer] = one_by_one(heads[layer], found)
    return maps


def one_by_one(part: nn.Conv2d, maps: Tensor) -> Tensor:
    assert part.bias is not None
    weight = part.weight[:, :, 0, 0].double()
    return torch.einsum("oc,bchw->bohw", weight, maps) + part.bias.double().view(1, -1, 1, 1)


def gram(maps: Tensor, mask: Tensor | None = None) -> Tensor:
    weights = torch.ones_like(maps[:, :1]) if mask is None else mask.double()
    return torch.einsum("bchw,bdhw,bhw->bcd", maps, maps, weights[:, 0])


@pytest.mark.parametrize("arch", NAMES)
def test_a_head_gives_the_wide_maps_and_their_gram_matrices(arch: str) -> None:
    images, network = naive.draw(2, 3, 37, 42), of(arch, LAYERS[arch])
    narrow, wanted = network(images), wide_maps(images, arch)
    for layer in LAYERS[arch]:
        assert relative_error(network.feature_maps(layer, narrow[layer]), wanted[layer]) < 1e-5
        assert relative_error(network.gram_matrix(layer, narrow[layer]), gram(wanted[layer])) < 1e-5
        mask = naive.draw(2, 1, *wanted[layer].shape[-2:], seed=3)
        found = network.gram_matrix(layer, narrow[layer], mask)
        assert relative_error(found, gram(wanted[layer], mask)) < 1e-5
        assert network.num_channels(layer) == wanted[layer].shape[1]


@pytest.mark.parametrize("arch", NAMES)
def test_content_maps_are_as_far_apart_as_the_wide_maps(arch: str) -> None:
    images, network = naive.draw(2, 3, 37, 42), of(arch, LAYERS[arch])
    found, wanted = network(images), wide_maps(images, arch)
    for layer in LAYERS[arch]:
        maps = network.content_maps(layer, found[layer])
        far = (wanted[layer][0] - wanted[layer][1]).square().sum()
        assert maps.shape[1] == found[layer].shape[1]
        assert float((maps[0] - maps[1]).square().sum() / far) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("arch", NAMES)
def test_narrow_gram_matrices_are_as_far_apart_as_those_of_the_wide_maps(
    arch: str, is_masked: bool
) -> None:
    images, network = naive.draw(2, 3, 37, 42), of(arch, LAYERS[arch])
    maps, wide = network(images), wide_maps(images, arch)
    for layer in LAYERS[arch]:
        size = wide[layer].shape[-2:]
        mask = naive.draw(2, 1, *size, seed=3) if is_masked else None
        wanted = gram(wide[layer], mask)
        found = network.gram_matrix(layer, maps[layer], mask, is_narrow=True)
        assert found.shape[1] < wanted.shape[1]
        assert relative_error(network.narrow_gram(layer, wanted.float()), found) < 1e-5
        assert relative_error(found.norm(dim=(1, 2)), wanted.norm(dim=(1, 2))) < 1e-5
        assert relative_error((found[0] - found[1]).norm(), (wanted[0] - wanted[1]).norm()) < 1e-4


# Of fourth powers the entries themselves count.
@pytest.mark.parametrize(("style_loss", "power"), [("relative", 2), ("mean", 2), ("mean", 4)])
def test_an_objective_on_heads_is_the_formula_on_wide_maps(style_loss: str, power: int) -> None:
    image, content, style = naive.draw(3, 3, 24, 40).unsqueeze(1)
    network = of("slim", LAYERS["slim"])
    objective = Objective(replace(SPEC, style_loss=style_loss, style_powers=(power,)), network)
    targets = {layer: gram(wide_maps(style)[layer])[0] / (24 * 40) for layer in SLIM.style_layers}
    # For each position of its layer.
    for layer, scale in zip(SLIM.style_layers, (1, 4, 16), strict=True):
        targets[layer] = (targets[layer] * scale).float()
    losses, gradient = objective.evaluate(image, objective.targets(content, targets, 1.0))

    x = image.double().requires_grad_()
    found, wanted = wide_maps(x), wide_maps(content)["conv3_3"]
    expected = (found["conv3_3"] - wanted).square().sum() / wanted.square().sum()
    assert float(losses.content) == pytest.approx(float(expected.detach()), rel=1e-4)
    for layer in SLIM.style_layers:
        target = targets[layer].double()
        positions = found[layer][0, 0].numel()
        distance = (gram(found[layer])[0] / positions - target).pow(power).sum()
        # A fourth power times the square of what the matrices are divided by.
        distance = distance * float(positions) ** (power - 2)
        size = target.square().sum() if style_loss == "relative" else target.numel()
        expected = expected + 10 / 3 * distance / size
    assert float(losses.total) == pytest.approx(float(expected.detach()), rel=1e-4)
    assert relative_error(gradient, torch.autograd.grad(expected, x)[0]) < 1e-4


def test_only_layers_with_a_head_can_be_named() -> None:
    with pytest.raises(UnknownLayerError) as caught:
        SLIM.up_to(["relu2_2"])
    assert (
        "slim has conv1_1, conv2_1, conv3_1, conv3_3 (and relu1_1, relu2_1, relu3_1); "
        "it is one of vgg19, vgg16" in str(caught.value)
    )


# --- the files that are shipped --------------------------------------------------------------


@pytest.mark.parametrize("arch", NAMES)
def test_a_shipped_file_is_small_vouches_for_itself_and_says_where_it_is_from(arch: str) -> None:
    weights = find_weights(arch, None, Path("nowhere"))
    assert weights == find_weights(arch, "shipped", Path("elsewhere"))
    assert weights.path is not None
    assert weights.path.stat().st_size <= MAX_FILE_BYTES
    with safe_open(weights.path, framework="np") as file:
        told = file.metadata()
    assert re.search("distilled from VGG-19 .*CC BY 4.0.*CC0.*public-domain", told["source"])
    assert told["tensors_sha256"]
    own = ARCHITECTURES[arch].convolutions()
    assert weights.layers == frozenset(part.name for part in own)


# sha256 of the files' tensors, of the network that has kept its file.
TENSORS_BEFORE = "169def7204b00b7fc5c5ec06f20942ce2bfe499d7da3904855eb3aa098ed9de4"


def test_the_network_from_before_has_the_tensors_that_it_had() -> None:
    path = find_weights("slim-2026-11", None, Path()).path
    assert path is not None
    with safe_open(path, framework="np") as file:
        assert file.metadata()["tensors_sha256"] == TENSORS_BEFORE


@pytest.mark.parametrize(("arch", "other"), [NAMES, NAMES[::-1]])
def test_a_file_of_the_one_is_refused_for_the_other(arch: str, other: str, tmp_path: Path) -> None:
    path = find_weights(other, None, tmp_path).path
    with pytest.raises(
        WeightsError,
        match=f"is of arch '{other}' by its own metadata; asked for is '{arch}'; correct",
    ):
        find_weights(arch, str(path), tmp_path)


def test_a_damaged_copy_is_refused(tmp_path: Path) -> None:
    path = find_weights("slim", None, tmp_path).path
    assert path is not None
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    (tmp_path / "slim.safetensors").write_bytes(data)
    with pytest.raises(WeightsError, match="is damaged: its tensors are not those"):
        find_weights("slim", "slim.safetensors", tmp_path)


def test_a_layers_digest_needs_its_own_head_only(tmp_path: Path) -> None:
    weights = find_weights("slim", None, tmp_path)
    assert [part.name for part in SLIM.convolutions(["conv2_1"])] == [
        "conv1_1", "conv1_2", "conv2_1", "conv2_1.head",
    ]  # fmt: skip
    digests = {
        layers_digest(weights, layers) for layers in (["conv2_1"], ["conv3_1"], LAYERS["slim"])
    }
    assert len(digests) == 3


@pytest.mark.parametrize("arch", NAMES)
def test_it_stylises_without_a_download(arch: str) -> None:
    rng = np.random.default_rng(0)
    content, style = (Image.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8)) for _ in "ab")
    totals: list[float] = []
    (image,) = stylize(
        content, style, arch=arch, size_px=64, steps=8,
        on_step=lambda _, row: totals.append(row.total),
    )  # fmt: skip
    assert image.size == (64, 48)
    assert min(totals) < 0.5 * totals[0]


# --- what it imitates ------------------------------------------------------------------------


# As its own `balanced` pads, which is how it was trained.
PADDING = {"slim": "replicate_shallow", "slim-2026-11": "zeros"}


def shipped(arch: str) -> Extractor:
    weights = find_weights(arch, None, Path())
    told, tensors = weights.normalisation, load_tensors(weights, LAYERS[arch])
    constants: dict[str, Any] = {"mean": told.mean, "std": told.std, "padding": PADDING[arch]}
    return Extractor(ARCHITECTURES[arch], tensors, LAYERS[arch], **constants)


def photograph(shared: Path, edge: int) -> Tensor:
    """One of those that it was not trained on."""
    name = "images/photos/herons/ardea-alba.jpg"
    assert name.removeprefix("images/") in (
        (ROOT / "training/holdout.txt").read_text().splitlines()
    )
    with Image.open(shared / name) as opened:
        square = opened.convert("RGB").resize((edge, edge), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)[None].float() / 255


# Squared error over the spread of the channels; the first layer before the activation is exact.
MAX_ERROR = {
    "slim": {
        **{"conv1_1": 1e-9, "conv2_1": 0.13, "conv3_1": 0.14, "conv3_3": 0.15},
        **{"relu1_1": 0.01, "relu2_1": 0.33, "relu3_1": 0.39},
    },
    "slim-2026-11": {"conv1_1": 1e-9, "conv2_1": 0.06, "conv3_1": 0.12, "conv3_3": 0.14},
}


@pytest.mark.parametrize("edge", [64, 160])
@pytest.mark.parametrize("arch", NAMES)
def test_its_maps_are_near_those_of_the_real_vgg(shared: Path, arch: str, edge: int) -> None:
    tensors = load_file(shared / "weights" / "vgg19_conv3_4.safetensors")
    x = (photograph(shared, edge) - torch.tensor((0.48235, 0.45882, 0.40784)).view(3, 1, 1)) * 255
    ours, found = shipped(arch), shipped(arch)(photograph(shared, edge))
    shallow = ("conv1_1", "conv1_2", "conv2_1") if arch == "slim" else ()
    for name, index in {"conv1_1": 0, "conv1_2": 2, "conv2_1": 5, "conv2_2": 7, "conv3_1": 10,
                        "conv3_2": 12, "conv3_3": 14}.items():  # fmt: skip
        x = F.pad(x, (1,) * 4, mode="replicate" if name in shallow else "constant")
        x = F.conv2d(x, tensors[f"features.{index}.weight"], tensors[f"features.{index}.bias"])
        for layer, maps in ((name, x), (name.replace("conv", "relu"), x.relu())):
            if layer in LAYERS[arch]:
                spread = (maps - maps.mean((2, 3), keepdim=True)).square().mean()
                error = (ours.feature_maps(layer, found[layer]) - maps).square().mean() / spread
                assert float(error) < MAX_ERROR[arch][layer], layer
        x = x.relu()
        if name in ("conv1_2", "conv2_2"):
            x = F.max_pool2d(x, 2)

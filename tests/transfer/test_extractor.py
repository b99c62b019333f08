"""Extractors against torchvision's own networks read off with hooks, same random filters."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support import naive
from support.extractors import MEAN, STD, of, relative_error, tensors_of
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision.models import get_weight
from torchvision.transforms.functional import normalize

from stylebatch.extractors.architectures import ARCHITECTURES, Layer
from stylebatch.extractors.weights import NAMED_WEIGHTS, NORMALISATIONS, find_weights, load_tensors
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.frozen import convolve_back

LAYERS = ("conv1_1", "relu1_1", "relu1_2", "pool1", "conv2_2", "relu2_2", "conv3_3")


def extractor(layers: tuple[str, ...] = LAYERS, **options: Any) -> Extractor:
    constants: dict[str, Any] = {"mean": naive.MEAN, "std": naive.STD}
    return Extractor(ARCHITECTURES["vgg19"], naive.weights(), layers, **constants, **options)


@pytest.mark.parametrize("padding", ["zeros", "reflect", "replicate", "replicate_shallow"])
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_feature_maps_are_those_of_torchvision(pooling: str, padding: str) -> None:
    images = naive.draw(2, 3, 33, 18)  # odd: what pooling does with the last row shows
    found = extractor(pooling=pooling, padding=padding)(images)
    wanted = naive.feature_maps(images, LAYERS, pooling, padding)
    assert set(found) == set(LAYERS)
    for layer in LAYERS:
        assert relative_error(found[layer], wanted[layer]) < 1e-5, layer


def test_shallow_replication_is_of_the_first_three_convolutions_and_of_no_other() -> None:
    """From zeros it differs at the border from the first on, from replication from the fourth."""
    images = naive.draw(1, 3, 40, 36)
    layers = ("conv1_1", "conv1_2", "conv2_1", "conv2_2")
    found, zeros, replicated = (
        extractor(layers, padding=padding)(images)
        for padding in ("replicate_shallow", "zeros", "replicate")
    )
    for layer in layers[:3]:
        assert torch.equal(found[layer], replicated[layer])
        assert not torch.allclose(found[layer][..., 0], zeros[layer][..., 0], rtol=0.01)
    border = found["conv2_2"][..., 0], replicated["conv2_2"][..., 0]
    assert not torch.allclose(*border, rtol=0.01)
    inside = (..., slice(1, -1), slice(1, -1))
    assert torch.equal(found["conv2_2"][inside], replicated["conv2_2"][inside])
    wanted = naive.feature_maps(images, layers, padding="replicate_shallow")
    for layer in layers:
        assert relative_error(found[layer], wanted[layer]) < 1e-5


def test_the_deepest_convolutions_are_those_of_torchvision() -> None:
    images, layers = naive.draw(1, 3, 16, 16), ("relu4_2", "conv5_1", "relu5_4")
    found, wanted = extractor(layers)(images), naive.feature_maps(images, layers)
    for layer in layers:
        assert relative_error(found[layer], wanted[layer]) < 1e-5, layer


def test_a_tapped_layer_is_not_overwritten_by_the_activation_after_it() -> None:
    images = naive.draw(2, 3, 20, 20)
    before = images.clone()
    found = extractor(("conv1_1", "relu1_1"))(images)
    assert float(found["conv1_1"].min()) < 0
    assert torch.equal(found["relu1_1"], found["conv1_1"].clamp(min=0))
    assert torch.equal(images, before)


def test_what_is_tapped_changes_no_feature_map() -> None:
    images = naive.draw(2, 3, 20, 20)
    few, many = extractor(("relu2_1",))(images), extractor()(images)
    assert torch.equal(extractor(("conv3_3",))(images)["conv3_3"], many["conv3_3"])
    assert torch.equal(few["relu2_1"], extractor(("conv2_1", "relu2_1"))(images)["relu2_1"])


def test_a_shallow_extractor_needs_no_deeper_weights_and_gives_the_same_maps() -> None:
    images = naive.draw(2, 3, 20, 20)
    few = {name: naive.weights()[name] for name in ("conv1_1", "conv1_2", "conv2_1")}
    shallow = Extractor(
        ARCHITECTURES["vgg19"], few, ["conv2_1"], mean=naive.MEAN, std=naive.STD
    )  # fmt: skip
    deep = extractor(("conv2_1", "conv4_1"))
    assert torch.equal(shallow(images)["conv2_1"], deep(images)["conv2_1"])


def test_bfloat16_convolutions_give_maps_close_to_the_true_ones() -> None:
    images = naive.draw(2, 3, 24, 24)
    found = extractor(dtype=torch.bfloat16)(images)
    wanted = naive.feature_maps(images, LAYERS)
    for layer in LAYERS:
        assert found[layer].dtype == torch.bfloat16
        # bfloat16 has 8 bits: each layer rounds by up to 1/256.
        assert relative_error(found[layer], wanted[layer]) < 0.02, layer


def test_the_gradient_of_the_feature_maps_is_that_of_torchvision() -> None:
    images, layers = naive.draw(1, 3, 17, 22), ("conv1_2", "relu2_2", "conv3_1")
    gradients = []
    for source, dtype in ((extractor(layers), torch.float32), (naive_maps, torch.float64)):
        x = images.to(dtype).requires_grad_()
        maps = source(x)
        total = sum((maps[layer].square().sum() for layer in layers), torch.zeros(()))
        gradients.append(torch.autograd.grad(total, x)[0])
    assert relative_error(*gradients) < 1e-4


def naive_maps(images: Tensor) -> dict[str, Tensor]:
    return naive.feature_maps(images, ("conv1_2", "relu2_2", "conv3_1"))


# --- every architecture ----------------------------------------------------------------------

# Of each kind of operation one, shallow and deep.
TAPPED = {
    "vgg19": ("conv1_1", "relu3_1", "conv5_4", "pool5"),
    "vgg16": ("conv1_1", "relu1_2", "pool2", "conv3_3", "conv4_1", "relu5_3", "pool5"),
    "alexnet": ("conv1", "relu1", "pool1", "conv2", "relu3", "conv4", "conv5", "pool5"),
    "squeezenet1_1": (
        "conv1", "relu1", "pool1", "fire2_squeeze", "fire2_squeeze_relu", "fire2_expand", "fire2",
        "fire3_expand", "pool3", "fire4", "pool5", "fire9_expand", "fire9",
    ),
    "slim": ("conv1_1", "conv2_1", "conv3_1", "conv3_3"),
    "slim-2026-11": ("conv1_1", "conv2_1", "conv3_1", "conv3_3"),
}  # fmt: skip
# (height, width): odd edges show what strides and windows do with the last rows.
SIZES = [(63, 71), (64, 96), (90, 65)]


def assert_close(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], error: float) -> None:
    assert found.keys() == wanted.keys()
    for layer in wanted:
        assert relative_error(found[layer], wanted[layer]) < error, layer


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture_gives_the_maps_of_torchvisions_forward_pass(
    arch: str, size: tuple[int, int]
) -> None:
    images, layers = naive.draw(2, 3, *size), TAPPED[arch]
    found = of(arch, layers)(images)
    assert_close(found, naive.read_off(arch, (images - MEAN) / STD, layers), 2e-6)
    exact = naive.read_off(arch, ((images - MEAN) / STD).double(), layers)
    assert_close(found, exact, 1e-5)


@pytest.mark.parametrize("padding", ["zeros", "reflect", "replicate", "replicate_shallow"])
@pytest.mark.parametrize("pooling", ["max", "average", "average_scaled"])
@pytest.mark.parametrize("arch", ["alexnet", "squeezenet1_1"])
def test_pooling_and_padding_keep_each_layers_own_window(
    arch: str, pooling: str, padding: str
) -> None:
    images, layers = naive.draw(1, 3, 71, 66), TAPPED[arch]
    found = of(arch, layers, pooling=pooling, padding=padding)(images)
    x = ((images - MEAN) / STD).double()
    assert_close(found, naive.read_off(arch, x, layers, pooling, padding), 1e-5)


@pytest.mark.parametrize("arch", ["vgg16", "alexnet", "squeezenet1_1"])
def test_the_gradient_through_every_architecture_is_that_of_torchvision(arch: str) -> None:
    images, own = naive.draw(2, 3, 65, 70), ARCHITECTURES[arch]
    layers = (*own.style_layers, *own.content_layers)

    def exact(x: Tensor) -> dict[str, Tensor]:
        return naive.read_off(arch, (x - MEAN) / STD, layers)

    gradients = []
    for source, dtype in ((of(arch, layers), torch.float32), (exact, torch.float64)):
        x = images.to(dtype).requires_grad_()
        total = sum((each.square().mean() for each in source(x).values()), torch.zeros(()))
        gradients.append(torch.autograd.grad(total, x)[0])
    assert relative_error(*gradients) < 1e-4


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_an_image_of_the_smallest_edge_is_seen_and_a_smaller_one_is_not(arch: str) -> None:
    for padding in ("zeros", "reflect"):
        network = of(arch, TAPPED[arch], padding=padding)
        edge = network.smallest_edge_px
        assert network(naive.draw(1, 3, edge, edge)).keys() == set(TAPPED[arch])
        with pytest.raises(RuntimeError):
            network(naive.draw(1, 3, edge - 1, edge))


# --- what is kept for the gradient -----------------------------------------------------------


class PlainExtractor(Extractor):
    """The same network by torch's own operations, which keep whole feature maps."""

    def _is_put_off(self, layer: Layer, following: Layer | None) -> bool:
        return False

    def _apply(self, layer: Layer, x: Tensor, is_kept: bool) -> Tensor:
        if layer.convolutions:
            # A 1×1 kernel has no dilation, but torch would leave oneDNN for it on one thread.
            maps = [
                F.conv2d(
                    x,
                    *self._weights[part.name],
                    part.stride,
                    part.padding,
                    2 if part.kernel == 1 else 1,
                )
                for part in layer.convolutions
            ]
            return torch.cat(maps, 1)
        if layer.pooling:
            window = layer.pooling
            return F.max_pool2d(x, window.kernel, window.stride, ceil_mode=window.ceil_mode)
        return F.relu(x)


def gradient_and_bytes(network: Extractor, images: Tensor) -> tuple[Tensor, int]:
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    x = images.clone().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        total = sum((maps.square().mean() for maps in network(x).values()), torch.zeros(()))
    return torch.autograd.grad(total, x)[0], sum(kept.values())


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("is_before", [False, True], ids=["own", "before"])
def test_what_is_not_kept_changes_no_bit_of_the_gradient(
    is_before: bool, arch: str, dtype: torch.dtype
) -> None:
    own = ARCHITECTURES[arch]
    layers = (*own.style_layers, *own.content_layers)
    if is_before:
        layers = tuple(map(own.before_activation, layers))
    # Large enough that no convolution leaves oneDNN.
    images = naive.draw(2, 3, 131, 150)
    found, kept = gradient_and_bytes(of(arch, layers, dtype=dtype), images)
    plain = PlainExtractor(
        own, tensors_of(arch), layers, mean=naive.MEAN, std=naive.STD, dtype=dtype
    )
    wanted, kept_plainly = gradient_and_bytes(plain, images)
    assert torch.equal(found, wanted)
    # What is tapped is kept by both, and after the activation that is a larger part of it all.
    assert kept < (0.9 if is_before else 0.95) * kept_plainly


# Kernel, stride, padding, dilation; sizes of which the last positions are reached, and are not.
@pytest.mark.parametrize(
    "numbers", [(3, 1, 1, 1), (11, 4, 2, 1), (3, 2, 0, 1), (1, 1, 0, 1), (3, 1, 0, 2)], ids=str
)
@pytest.mark.parametrize("size", [(15, 15), (16, 17), (18, 22)], ids=str)
def test_a_gradient_as_a_gpu_makes_it_is_that_of_the_convolution(
    numbers: tuple[int, ...], size: tuple[int, int]
) -> None:
    kernel, *rest = numbers
    x = naive.draw(2, 3, *size).requires_grad_()
    weight = naive.draw(4, 3, kernel, kernel, seed=2) - 0.5
    maps = F.conv2d(x, weight, None, rest[0], rest[1], rest[2])
    slope = naive.draw(*maps.shape, seed=3) - 0.5
    (wanted,) = torch.autograd.grad(maps, x, slope)
    found = convolve_back(slope, weight, x.shape, *rest)
    assert torch.allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("arch", ["vgg19", "slim"])
def test_on_a_cpu_maps_in_bfloat16_have_their_channels_side_by_side(arch: str) -> None:
    """It is what poolings there are quick in: a copy in another layout would go unnoticed."""
    layers = ARCHITECTURES[arch].style_layers
    for dtype, layout in (
        (torch.float32, torch.contiguous_format),
        (torch.bfloat16, torch.channels_last),
    ):
        for maps in of(arch, layers, dtype=dtype)(naive.draw(2, 3, 32, 48)).values():
            assert maps.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("arch", ["vgg19", "squeezenet1_1", "slim"])
def test_on_a_gpu_maps_keep_the_convolutions_dtype_and_their_channels_side_by_side(
    arch: str, dtype: torch.dtype
) -> None:
    """On tensors without numbers: no GPU is needed."""
    own = ARCHITECTURES[arch]
    layers = (*own.style_layers, *own.content_layers)
    with FakeTensorMode():
        tensors = {
            part.name: (torch.empty(part.shape), torch.empty(part.channels_out))
            for part in own.convolutions(layers)
        }
        network = Extractor(
            own, tensors, layers, mean=naive.MEAN, std=naive.STD, device="cuda", dtype=dtype
        )
        maps = network(torch.empty(2, 3, 64, 96, device="cuda"))
        for layer, found in maps.items():
            assert (found.dtype, found.device.type) == (dtype, "cuda")
            # Which convolution takes bfloat16, and so its layout, torch asks the GPU.
            if dtype == torch.float32:
                assert found.is_contiguous(memory_format=torch.channels_last)
            assert network.feature_maps(layer, found).dtype == torch.float32
            assert network.gram_matrix(layer, found).dtype == torch.float32


# --- what weights expect of their input ------------------------------------------------------


def save_shallow(arch: str, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Write the weights of a network's first layers; return the file, and layers that it reaches.

    The first convolution's filters differ by colour, so that an order that is wrong shows.
    """
    layers = ARCHITECTURES[arch].style_layers[:2]
    needed = {part.parameters for part in ARCHITECTURES[arch].convolutions(layers)}
    state = naive.random_network(arch).state_dict(prefix="features.")
    kept = {key: value for key, value in state.items() if key.rpartition(".")[0] in needed}
    torch.save(kept, folder / "weights.pth")
    return folder / "weights.pth", layers


@pytest.mark.parametrize(("arch", "name"), NAMED_WEIGHTS)
def test_named_weights_see_what_torchvisions_preprocessing_gives(
    arch: str, name: str, tmp_path: Path
) -> None:
    path, layers = save_shallow(arch, tmp_path)
    named = find_weights(arch, name, tmp_path)
    told = named.normalisation
    tensors = load_tensors(replace(named, path=path), layers)
    network = Extractor(ARCHITECTURES[arch], tensors, layers, mean=told.mean, std=told.std)
    theirs = get_weight(NAMED_WEIGHTS[arch, name].identifier).transforms()
    images = naive.draw(2, 3, 43, 38)
    x = normalize(images, theirs.mean, theirs.std)
    assert_close(network(images), naive.read_off(arch, x, layers), 1e-6)


@pytest.mark.parametrize("arch", ["vgg19", "vgg16"])
def test_caffe_weights_see_bgr_bytes_less_the_mean_pixel(arch: str, tmp_path: Path) -> None:
    path, layers = save_shallow(arch, tmp_path)
    told = NORMALISATIONS["caffe"]
    tensors = load_tensors(find_weights(arch, path.name, tmp_path, told), layers)
    network = Extractor(ARCHITECTURES[arch], tensors, layers, mean=told.mean, std=told.std)
    images = naive.draw(2, 3, 43, 38)
    red, green, blue = (255 * images).unbind(1)
    x = torch.stack([blue - 103.939, green - 116.779, red - 123.68], 1)
    assert_close(network(images), naive.read_off(arch, x, layers), 1e-5)

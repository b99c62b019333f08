"""Layer tables against torchvision's networks and the figures of the literature."""

import pytest
from support import naive
from torch import nn

from stylebatch.extractors.architectures import (
    ARCHITECTURES,
    Architecture,
    Convolution,
    Layer,
    Pooling,
    UnknownLayerError,
)

VGG19 = ARCHITECTURES["vgg19"]

# Multiply-adds of the forward pass per pixel of the input.
PER_PIXEL = (
    {"conv1_1": 1728, "conv1_2": 36_864, "conv2_1": 18_432, "conv2_2": 36_864, "conv3_1": 18_432}
    | dict.fromkeys(("conv3_2", "conv3_3", "conv3_4"), 36_864)
    | {"conv4_1": 18_432}
    | dict.fromkeys(("conv4_2", "conv4_3", "conv4_4"), 36_864)
    | {"conv5_1": 9216}
)
# GFLOP forward and backward for 256² and 512² pixels; backward costs as much as forward.
GFLOP = {
    "conv3_1": (29.4, 117.8),
    "conv3_4": (58.4, 233.7),
    "conv4_2": (72.9, 291.7),
    "conv5_1": (94.7, 378.7),
}


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_table_is_torchvisions_network_under_paper_names(arch: str) -> None:
    network, places = naive.random_network(arch), naive.modules_by_layer(arch)
    layers = ARCHITECTURES[arch].layers
    assert [layer.name for layer in layers] == list(places)
    for layer in layers:
        modules = [network.get_submodule(place) for place in places[layer.name]]
        if layer.convolutions:
            prefixes = [f"features.{place}" for place in places[layer.name]]
            assert [part.parameters for part in layer.convolutions] == prefixes
            for part, module in zip(layer.convolutions, modules, strict=True):
                check_convolution(part, module)
            continue
        (module,) = modules
        if layer.pooling:
            assert isinstance(module, nn.MaxPool2d)
            kernel, stride = module.kernel_size, module.stride
            assert isinstance(kernel, int)
            assert isinstance(stride, int)
            found = Pooling(kernel, stride, module.ceil_mode)
            assert (found, module.padding, module.dilation) == (layer.pooling, 0, 1)
        else:
            # The output of a fire module is its expansion, rectified.
            is_fire = type(module).__name__ == "Fire"
            assert is_fire or isinstance(module, nn.ReLU), layer.name


def check_convolution(part: Convolution, module: nn.Module) -> None:
    assert isinstance(module, nn.Conv2d)
    assert module.weight.shape == part.shape
    assert part.fan_in == module.weight[0].numel()
    assert module.stride == (part.stride, part.stride)
    assert module.padding == (part.padding, part.padding)
    assert (module.dilation, module.groups) == ((1, 1), 1)
    assert module.bias is not None


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_channels_and_scale_follow_from_the_layer_before(arch: str) -> None:
    channels, downscale = 3, 1
    for layer in ARCHITECTURES[arch].layers:
        assert layer.channels_in == channels, layer.name
        assert {part.channels_in for part in layer.convolutions} <= {channels}
        channels = sum(part.channels_out for part in layer.convolutions) or channels
        downscale *= layer.pooling.stride if layer.pooling else 1
        downscale *= layer.convolutions[0].stride if layer.convolutions else 1
        assert (layer.channels_out, layer.downscale) == (channels, downscale), layer.name
    smaller = {"squeezenet1_1": 16, "slim": 4, "slim-2026-11": 4}
    assert downscale == smaller.get(arch, 32)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_convolutions_have_names_of_their_own(arch: str) -> None:
    architecture = ARCHITECTURES[arch]
    every = architecture.convolutions()
    assert every == architecture.convolutions(architecture.tappable)
    assert len({part.name for part in every}) == len({part.parameters for part in every})
    assert len({part.name for part in every}) == len(every)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_its_own_layers_are_there_content_s_before_the_activation_and_not_the_deepest(
    arch: str,
) -> None:
    architecture = ARCHITECTURES[arch]
    own = [*architecture.style_layers, *architecture.content_layers]
    layers = architecture.up_to(own)
    found = {layer.name: layer for layer in layers if layer.name in own}
    assert all(found[name].convolutions for name in architecture.content_layers)
    for name in architecture.style_layers:
        # What an activation gives; of the first of ours, what a head makes of a convolution's maps.
        assert bool(found[name].convolutions) == (arch == "slim-2026-11")
        assert found[name].pooling is None
    assert layers[-1].name == architecture.content_layers[-1]
    assert len(layers) < len(architecture.layers)


@pytest.mark.slow
@pytest.mark.parametrize("padding", ["zeros", "reflect", "replicate", "replicate_shallow"])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_smallest_edge_of_every_layer_is_torchvisions(arch: str, padding: str) -> None:
    architecture = ARCHITECTURES[arch]
    names = list(architecture.tappable)
    smallest: dict[str, int] = {}
    for edge in range(1, 100):
        # Wide enough for all: only the height decides.
        seen = naive.read_off(arch, naive.draw(1, 3, edge, 100), names, padding=padding)
        smallest |= dict.fromkeys(seen.keys() - smallest.keys(), edge)
        if len(smallest) == len(names):
            break
    assert {name: architecture.smallest_edge_px([name], padding) for name in names} == smallest


def test_multiply_adds_are_those_that_were_counted() -> None:
    found = {layer.name: layer.multiply_adds_per_pixel for layer in VGG19.layers}
    assert {name: found[name] for name in PER_PIXEL} == PER_PIXEL
    assert all(found[layer.name] == 0 for layer in VGG19.layers if not layer.convolutions)


@pytest.mark.parametrize(
    ("arch", "name", "wanted"),
    [
        ("alexnet", "conv1", 3 * 64 * 121 / 16),
        ("alexnet", "conv2", 64 * 192 * 25 / 64),
        ("squeezenet1_1", "fire2_squeeze", 64 * 16 / 16),
        ("squeezenet1_1", "fire2_expand", 16 * 64 * (1 + 9) / 16),
    ],
)
def test_multiply_adds_count_the_real_kernels(arch: str, name: str, wanted: float) -> None:
    (layer,) = [layer for layer in ARCHITECTURES[arch].layers if layer.name == name]
    assert layer.multiply_adds_per_pixel == wanted


@pytest.mark.parametrize("name", GFLOP)
def test_the_cost_of_an_evaluation_is_that_of_the_table(name: str) -> None:
    per_pixel = 2 * 2 * VGG19.multiply_adds_per_pixel([name]) / 1e9
    assert (round(per_pixel * 256**2, 1), round(per_pixel * 512**2, 1)) == GFLOP[name]


@pytest.mark.parametrize(
    ("arch", "wanted"),
    [
        ("vgg19", ["conv1_1", "conv1_2", "conv2_1"]),
        ("slim", ["conv1_1", "conv1_2", "conv2_1"]),
        ("alexnet", ["conv1", "conv2", "conv3"]),
    ],
)
def test_shallow_convolutions_are_the_first_three(arch: str, wanted: list[str]) -> None:
    own = ARCHITECTURES[arch]
    assert own.padded("replicate_shallow") == set(wanted)
    assert own.padded("zeros") == set()
    for padding in ("reflect", "replicate"):
        convolving = {part.name for layer in own.layers for part in layer.convolutions}
        assert own.padded(padding) == convolving


def test_the_deepest_of_several_layers_decides_how_far_to_go() -> None:
    layers = VGG19.up_to(["conv1_2", "relu2_1", "conv1_1"])
    assert [layer.name for layer in layers][-3:] == ["pool1", "conv2_1", "relu2_1"]
    names = [layer.name for layer in VGG19.convolutions(["relu2_1"])]
    assert names == ["conv1_1", "conv1_2", "conv2_1"]
    assert VGG19.up_to([]) == ()


@pytest.mark.parametrize(
    ("name", "near"), [("conv3_5", "conv3_4"), ("relu_3_1", "relu3_1"), ("Conv1_1", "conv1_1")]
)
def test_an_unknown_layer_is_told_with_the_nearest_and_all_there_are(name: str, near: str) -> None:
    with pytest.raises(UnknownLayerError) as caught:
        VGG19.up_to(["conv1_1", name])
    assert f"'{name}' is no layer of vgg19; vgg19 has conv1_1, conv1_2, " in str(caught.value)
    assert f"did you mean '{near}'?" in str(caught.value)


def test_an_unknown_layer_that_is_near_to_nothing_gets_no_guess() -> None:
    with pytest.raises(UnknownLayerError, match="name one of these"):
        VGG19.up_to(["17"])


@pytest.mark.parametrize(
    ("arch", "name", "owners"),
    [
        ("alexnet", "relu4_2", "vgg19, vgg16"),
        ("vgg16", "conv3_4", "vgg19"),
        ("vgg19", "fire2", "squeezenet1_1"),
    ],
)
def test_a_layer_of_another_architecture_is_told_with_the_ways_out(
    arch: str, name: str, owners: str
) -> None:
    with pytest.raises(UnknownLayerError) as caught:
        ARCHITECTURES[arch].up_to([name])
    text = str(caught.value)
    assert f"'{name}' is no layer of {arch}; {arch} has conv1" in text
    assert f"it is one of {owners}: use `recipe: balanced`" in text
    assert f"override content_layers and style_layers (`default`: {arch}'s own)" in text


@pytest.mark.parametrize(
    ("layers", "padding", "wanted"),
    [
        ([], "zeros", 1),
        (["conv1_2"], "zeros", 1),
        (["conv3_3", "relu1_1"], "zeros", 4),
        (["relu5_2"], "replicate", 16),
        (["relu5_2"], "replicate_shallow", 16),
        (["pool5"], "zeros", 32),
        (["relu5_2"], "reflect", 32),
    ],
)
def test_the_smallest_edge_is_one_that_the_deepest_layer_still_sees(
    layers: list[str], padding: str, wanted: int
) -> None:
    assert VGG19.smallest_edge_px(layers, padding) == wanted


@pytest.mark.parametrize("window", [Pooling(3), Pooling(3, ceil_mode=True), Pooling(2, 3, True)])
def test_the_smallest_edge_before_a_pooling_is_torchs(window: Pooling) -> None:
    pool = nn.MaxPool2d(window.kernel, window.stride, ceil_mode=window.ceil_mode)
    layer = Layer("pool1", 3, 3, window.stride, pooling=window)
    architecture = Architecture("one", (layer,), (), ())
    edges = range(architecture.smallest_edge_px(["pool1"], "zeros"), 40)
    made = [pool(naive.draw(1, 1, edge, edge)).shape[-1] for edge in edges]
    for wanted in range(1, made[-1]):
        assert window.edge_before(wanted) == edges[made.index(wanted)]

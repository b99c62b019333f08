"""Layer tables against torchvision's networks and the figures of the literature."""

import naive
import pytest
from torch import nn

from stylebatch.architectures import ARCHITECTURES, UnknownLayerError

VGG19 = ARCHITECTURES["vgg19"]
KINDS = {nn.Conv2d: "conv", nn.ReLU: "relu", nn.MaxPool2d: "pool"}

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


def test_the_table_is_torchvisions_vgg19_under_paper_names() -> None:
    network = naive.random_vgg19()
    assert [layer.kind for layer in VGG19.layers] == [KINDS[type(module)] for module in network]
    assert [layer.name for layer in VGG19.layers] == naive.layer_names()
    for index, (layer, module) in enumerate(zip(VGG19.layers, network, strict=True)):
        if isinstance(module, nn.Conv2d):
            assert (module.in_channels, module.out_channels) == (
                layer.channels_in,
                layer.channels_out,
            )
            assert layer.parameters == f"features.{index}"
        else:
            assert (layer.parameters, layer.channels_in) == ("", layer.channels_out)


def test_channels_follow_from_the_layer_before() -> None:
    before = (3, *(layer.channels_out for layer in VGG19.layers))
    assert [layer.channels_in for layer in VGG19.layers] == list(before[:-1])


def test_each_pooling_halves_the_edges() -> None:
    downscale = 1
    for layer in VGG19.layers:
        downscale *= 2 if layer.kind == "pool" else 1
        assert layer.downscale == downscale, layer.name
    assert downscale == 32


def test_multiply_adds_are_those_that_were_counted() -> None:
    found = {layer.name: layer.multiply_adds_per_pixel for layer in VGG19.layers}
    assert {name: found[name] for name in PER_PIXEL} == PER_PIXEL
    assert all(found[layer.name] == 0 for layer in VGG19.layers if layer.kind != "conv")


@pytest.mark.parametrize("name", GFLOP)
def test_the_cost_of_an_evaluation_is_that_of_the_table(name: str) -> None:
    per_pixel = 2 * 2 * VGG19.multiply_adds_per_pixel([name]) / 1e9
    assert (round(per_pixel * 256**2, 1), round(per_pixel * 512**2, 1)) == GFLOP[name]


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
    ("layers", "padding", "wanted"),
    [
        (["conv1_2"], "zeros", 1),
        (["conv3_3", "relu1_1"], "zeros", 4),
        (["relu5_2"], "replicate", 16),
        (["pool5"], "zeros", 32),
        (["relu5_2"], "reflect", 32),
    ],
)
def test_the_smallest_edge_is_one_that_the_deepest_layer_still_sees(
    layers: list[str], padding: str, wanted: int
) -> None:
    assert ARCHITECTURES["vgg19"].smallest_edge_px(layers, padding) == wanted

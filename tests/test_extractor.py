"""The extractor against torchvision's own VGG-19 read off with hooks, same random filters."""

from typing import Any

import naive
import pytest
import torch
from torch import Tensor

from stylebatch.architectures import ARCHITECTURES
from stylebatch.transfer.extractor import Extractor

LAYERS = ("conv1_1", "relu1_1", "relu1_2", "pool1", "conv2_2", "relu2_2", "conv3_3")


def extractor(layers: tuple[str, ...] = LAYERS, **options: Any) -> Extractor:
    constants = {"mean": naive.MEAN, "std": naive.STD}
    return Extractor(ARCHITECTURES["vgg19"], naive.weights(), layers, **constants, **options)


def relative_error(found: Tensor, wanted: Tensor) -> float:
    assert found.shape == wanted.shape
    return float((found.double() - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("padding", ["zeros", "reflect", "replicate"])
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_feature_maps_are_those_of_torchvision(pooling: str, padding: str) -> None:
    images = naive.draw(2, 3, 33, 18)  # odd: what pooling does with the last row shows
    found = extractor(pooling=pooling, padding=padding)(images)
    wanted = naive.feature_maps(images, LAYERS, pooling, padding)
    assert set(found) == set(LAYERS)
    for layer in LAYERS:
        assert relative_error(found[layer], wanted[layer]) < 1e-5, layer


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


def test_bfloat16_convolutions_give_float32_maps_close_to_the_true_ones() -> None:
    images = naive.draw(2, 3, 24, 24)
    found = extractor(dtype=torch.bfloat16)(images)
    wanted = naive.feature_maps(images, LAYERS)
    for layer in LAYERS:
        assert found[layer].dtype == torch.float32
        # bfloat16 has 8 bits: each layer rounds by up to 1/256.
        assert relative_error(found[layer], wanted[layer]) < 0.02, layer


def test_the_gradient_of_the_feature_maps_is_that_of_torchvision() -> None:
    images, layers = naive.draw(1, 3, 17, 22), ("conv1_2", "relu2_2", "conv3_1")
    gradients = []
    for source, dtype in ((extractor(layers), torch.float32), (naive_maps, torch.float64)):
        x = images.to(dtype).requires_grad_()
        maps = source(x)
        total = sum(maps[layer].square().sum() for layer in layers)
        gradients.append(torch.autograd.grad(total, x)[0])
    assert relative_error(*gradients) < 1e-4


def naive_maps(images: Tensor) -> dict[str, Tensor]:
    return naive.feature_maps(images, ("conv1_2", "relu2_2", "conv3_1"))

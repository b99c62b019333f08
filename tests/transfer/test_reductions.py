"""The same bits for an image in any batch and with any threads: operation by operation."""

import math
from collections.abc import Callable, Iterable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stylebatch.extractors.architectures import ARCHITECTURES, Architecture, Convolution, Layer
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.losses import gram_matrix, squared_distance, total_variation
from stylebatch.transfer.optimizers.curvature import CurvaturePairs, add_by_product
from stylebatch.transfer.optimizers.preconditioner import precondition
from stylebatch.transfer.pyramid import enlarge, shrink
from stylebatch.transfer.reductions import (
    ROW,
    dot_pixels,
    dots_by_product,
    dots_pixels,
    max_abs_pixels,
    qr,
    sum_pixels,
)

pytestmark = pytest.mark.slow

BATCHES = range(1, 17)
THREADS = (1, 2)
SIZES = {"28": 3 * 28 * 28, "224": 3 * 224 * 224, "row": ROW, "row+1": ROW + 1}

Operation = Callable[[Tensor], tuple[Tensor, ...]]


def draw(batch: int, *shape: int) -> Tensor:
    """Draw (batch, *shape), always the same."""
    return torch.randn((batch, *shape), generator=torch.Generator().manual_seed(5))


def assert_same_bits(
    operation: Operation, images: Tensor, batches: Iterable[int] = BATCHES
) -> None:
    """Compare each image alone on one thread with itself in batches, on 1 and 2 threads."""
    torch.set_num_threads(1)
    alone = [operation(images[i : i + 1].clone()) for i in range(len(images))]
    for threads in THREADS:
        torch.set_num_threads(threads)
        for batch in batches:
            # From the end as well: another place in the batch, other neighbours.
            for first in {0, len(images) - batch}:
                results = operation(images[first : first + batch].clone())
                for k in range(batch):
                    for result, wanted in zip(results, alone[first + k], strict=True):
                        where = f"{batch} images on {threads} threads, image {first + k}"
                        assert torch.equal(result[k], wanted[0]), where


def with_gradient(function: Callable[[Tensor], Tensor]) -> Operation:
    """Return a function's value and its gradient for weights that don't depend on the value."""

    def both(images: Tensor) -> tuple[Tensor, Tensor]:
        images = images.detach().requires_grad_()
        value = function(images)
        weights = torch.linspace(-1, 1, value[0].numel()).view(value[0].shape).expand_as(value)
        (gradient,) = torch.autograd.grad(value, images, weights)
        return value.detach(), gradient

    return both


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_a_sum_over_pixels_has_the_same_bits_in_any_batch_and_with_any_threads(size: int) -> None:
    assert_same_bits(lambda values: (sum_pixels(values),), draw(16, size))


def test_dot_products_and_maxima_have_the_same_bits_in_any_batch() -> None:
    def both(values: Tensor) -> tuple[Tensor, Tensor]:
        return dot_pixels(values, values.flip(1)), max_abs_pixels(values)

    assert_same_bits(both, draw(16, 3, 97, 101))


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_a_sum_over_pixels_is_the_sum(size: int) -> None:
    values = draw(2, size).abs()
    for total, row in zip(sum_pixels(values), values, strict=True):
        assert float(total) == pytest.approx(math.fsum(row.tolist()), rel=1e-6)


def test_a_sum_of_one_number_and_of_other_shapes_is_the_sum() -> None:
    assert sum_pixels(torch.tensor([[3.0], [4.0]])).tolist() == [3.0, 4.0]
    assert sum_pixels(torch.ones(2, 3, 40, 50)).tolist() == [6000.0, 6000.0]


@pytest.mark.parametrize("size", [(32, 32), (97, 101)], ids=["32x32", "97x101"])
def test_dot_products_with_a_stack_have_the_same_bits_in_any_batch(size: tuple[int, int]) -> None:
    def all_at_once(values: Tensor) -> tuple[Tensor]:
        stack = torch.stack([values.flip(1), values.square(), values.roll(1, -1)])
        return (dots_pixels(stack, values).T,)

    assert_same_bits(all_at_once, draw(16, 3, *size))


@pytest.mark.parametrize("numbers", [ROW, 3 * ROW, 1000], ids=str)
@pytest.mark.parametrize("dots", [dots_pixels, dots_by_product])
def test_dot_products_with_a_stack_are_those_of_its_rows(
    dots: Callable[[Tensor, Tensor], Tensor], numbers: int
) -> None:
    # Slots in use come first: of a larger buffer, and so not contiguous.
    stack, vectors = draw(4, 7, numbers)[:, :5], draw(5, numbers)
    found = dots(stack, vectors)
    assert found.shape == (4, 5)
    for row in range(4):
        for image in range(5):
            wanted = float(stack[row, image].double() @ vectors[image].double())
            assert float(found[row, image]) == pytest.approx(wanted, abs=1e-3)


def test_a_weighted_sum_by_product_is_the_sum() -> None:
    start, stack, weights = draw(5, 3, 8, 9), draw(4, 7, 3, 8, 9)[:, :5], draw(5, 4)
    found = add_by_product(start, stack, weights)
    for image in range(5):
        parts = [float(weights[image, j]) * stack[j, image].double() for j in range(4)]
        wanted = start[image].double() + sum(parts)
        assert torch.allclose(found[image].double(), wanted, atol=1e-5)


@pytest.mark.parametrize("size", [(16, 16), (41, 50)], ids=["16x16", "41x50"])
def test_an_inverse_hessian_has_the_same_bits_in_any_batch(size: tuple[int, int]) -> None:
    def apply(values: Tensor) -> tuple[Tensor]:
        pairs = CurvaturePairs(3, tuple(values.shape), values)
        for shift in range(1, 6):
            s = values.roll(shift, -1)
            y = s * (1.5 + values.roll(1, 1).sin())
            curvature = dot_pixels(s, y)
            pairs.store(s, y, curvature, curvature > 0)
        return (pairs.apply_inverse_hessian(values, lambda q: 0.5 * q),)

    assert_same_bits(apply, draw(16, 3, *size), batches=(1, 2, 3, 8, 16))


# Layers of each kind of convolution, as shallow as they come.
NETWORKS = {
    "vgg19": ("conv1_1", "conv3_1"),
    "alexnet": ("conv1", "conv3"),
    "squeezenet1_1": ("conv1", "fire2_squeeze", "fire4_expand"),
    "slim": ("relu1_1", "relu2_1", "conv3_1", "relu3_1"),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("padding", ["zeros", "reflect", "replicate_shallow"])
@pytest.mark.parametrize("size", [(28, 28), (32, 64)], ids=["28x28", "32x64"])
@pytest.mark.parametrize("arch", NETWORKS)
def test_features_and_their_gradient_have_the_same_bits_in_any_batch(
    arch: str, size: tuple[int, int], padding: str, dtype: torch.dtype
) -> None:
    size = (size[0] + 32, size[1] + 32) if arch == "alexnet" else size
    extractor = shallow(arch, padding, "max" if padding == "zeros" else "average", dtype)
    operation = with_gradient(
        lambda images: torch.cat([value.flatten(1) for value in extractor(images).values()], 1)
    )
    assert_same_bits(operation, draw(5, 3, *size), batches=(1, 2, 5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_what_comes_through_heads_has_the_same_bits_in_any_batch(dtype: torch.dtype) -> None:
    extractor = shallow("slim", "zeros", "max", dtype)

    def grams(images: Tensor) -> Tensor:
        maps = extractor(images)
        return torch.cat([extractor.gram_matrix(each, maps[each]).flatten(1) for each in maps], 1)

    def narrow_grams(images: Tensor) -> Tensor:
        maps = extractor(images)
        found = [extractor.gram_matrix(each, maps[each], is_narrow=True) for each in maps]
        return torch.cat([gram.flatten(1) for gram in found], 1)

    def contents(images: Tensor) -> Tensor:
        maps = extractor(images)
        return torch.cat([extractor.content_maps(each, maps[each]).flatten(1) for each in maps], 1)

    for operation in (grams, narrow_grams, contents):
        assert_same_bits(with_gradient(operation), draw(5, 3, 32, 64), batches=(1, 2, 5))


def shallow(arch: str, padding: str, pooling: str, dtype: torch.dtype) -> Extractor:
    architecture = ARCHITECTURES[arch]
    tensors = {
        part.name: (draw(*part.shape) * (2 / part.fan_in) ** 0.5, draw(part.channels_out))
        for part in architecture.convolutions(NETWORKS[arch])
    }
    return Extractor(
        architecture, tensors, NETWORKS[arch], mean=(0.5,) * 3, std=(0.25,) * 3,
        pooling=pooling, padding=padding, dtype=dtype,
    )  # fmt: skip


# Channels in and out, kernel, stride, padding: VGG's, AlexNet's, SqueezeNet's.
CONVOLUTIONS = [
    (64, 64, 3, 1, 1), (256, 256, 3, 1, 1), (512, 512, 3, 1, 1),
    (3, 64, 11, 4, 2), (64, 192, 5, 1, 2), (192, 384, 3, 1, 1),
    (3, 64, 3, 2, 0), (64, 16, 1, 1, 0), (16, 64, 1, 1, 0), (384, 64, 1, 1, 0),
]  # fmt: skip


@pytest.mark.parametrize("numbers", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("batch", [1, 2, 16])
def test_a_small_convolution_of_every_kind_has_the_same_bits_alone(
    numbers: tuple[int, ...], batch: int
) -> None:
    """Where torch would leave oneDNN: a lone image of up to 20,480 numbers; 1×1 on one thread."""
    part = Convolution("conv1", "", *numbers)
    tensors = {"conv1": (draw(*part.shape), draw(part.channels_out))}
    layer = Layer("conv1", part.channels_in, part.channels_out, part.stride, (part,))
    architecture = Architecture("one", (layer,), (), ())
    extractor = Extractor(architecture, tensors, ["conv1"], mean=(0.0,) * 3, std=(1.0,) * 3)
    operation = with_gradient(lambda x: extractor._convolve(part, x))
    edge, smallest = math.isqrt(20480 // part.channels_in), max(2, part.kernel - 2 * part.padding)
    for size in ((edge, edge), (edge + 1, edge + 1), (smallest, smallest + 1)):
        images = draw(16, part.channels_in, *size)
        assert_same_bits(operation, images, batches=(batch,))


def test_a_dilation_changes_nothing_of_a_1x1_convolution() -> None:
    """It is there only so that torch keeps to one way of convolving."""
    x, weight, bias = draw(3, 64, 9, 7), draw(16, 64, 1, 1), draw(16)
    wanted = torch.einsum("oi,bihw->bohw", weight[:, :, 0, 0].double(), x.double())
    found = F.conv2d(x, weight, bias, dilation=2)
    assert torch.allclose(found.double(), wanted + bias.double().view(1, 16, 1, 1), atol=1e-4)


@pytest.mark.parametrize("with_ones", [False, True], ids=["", "ones"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("shape", [(64, 28, 28), (64, 64, 96), (128, 33, 50), (256, 7, 7)], ids=str)
def test_gram_matrices_and_their_gradient_have_the_same_bits_in_any_batch(
    shape: tuple[int, int, int], layout: torch.memory_format, with_ones: bool
) -> None:
    def gram(maps: Tensor) -> Tensor:
        return gram_matrix(maps.contiguous(memory_format=layout), with_ones)

    assert_same_bits(with_gradient(gram), draw(8, *shape), batches=(1, 2, 3, 5, 8))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_a_squared_distance_and_its_gradient_have_the_same_bits_in_any_batch(
    layout: torch.memory_format,
) -> None:
    wanted = draw(1, 48, 33, 50).flip(3).contiguous(memory_format=layout)

    def distance(maps: Tensor) -> Tensor:
        return squared_distance(maps.contiguous(memory_format=layout), wanted)

    assert_same_bits(with_gradient(distance), draw(8, 48, 33, 50), batches=(1, 2, 3, 5, 8))


@pytest.mark.parametrize("shape", [(256, 96), (64, 97)], ids=str)
def test_q_and_r_have_the_same_bits_with_any_threads(shape: tuple[int, int]) -> None:
    matrix, found = draw(*shape), []
    for threads in THREADS:
        torch.set_num_threads(threads)
        found.append(qr(matrix))
        assert torch.get_num_threads() == threads
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
    columns, right = (each.double() for each in found[0])
    assert right.shape == (min(shape), shape[1])
    assert torch.allclose(columns @ right, matrix.double(), atol=1e-6)
    assert torch.allclose(columns.T @ columns, torch.eye(min(shape)).double(), atol=1e-6)


def test_total_variation_and_its_gradient_have_the_same_bits_in_any_batch() -> None:
    assert_same_bits(with_gradient(total_variation), draw(16, 3, 97, 65), (1, 2, 3, 8, 16))


@pytest.mark.parametrize("size", [(28, 28), (75, 101)], ids=["28x28", "75x101"])
def test_the_preconditioner_has_the_same_bits_in_any_batch(size: tuple[int, int]) -> None:
    assert_same_bits(lambda v: (precondition(v, 6),), draw(16, 3, *size), (1, 2, 3, 8, 16))


@pytest.mark.parametrize(
    "size", [(28, 28), (96, 64), (150, 201)], ids=["28x28", "96x64", "150x201"]
)
def test_a_pyramid_level_has_the_same_bits_with_any_threads(size: tuple[int, int]) -> None:
    height, width = size

    def both(image: Tensor) -> tuple[Tensor, Tensor]:
        return shrink(image, (height // 2, width // 2)), enlarge(image, (2 * height, 2 * width))

    assert_same_bits(both, draw(2, 3, *size), batches=(1,))

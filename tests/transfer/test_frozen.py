"""Operations of a frozen network beside torch's own."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from support import naive
from torch import Tensor

from stylebatch.transfer import frozen

LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("padding", [1, 2, 5])
@pytest.mark.parametrize("size", [(5, 7), (1, 3), (6, 1)], ids=str)
def test_a_border_as_a_gpu_continues_it_is_torch_s_with_its_gradient_and_keeps_its_layout(
    size: tuple[int, int], padding: int, layout: torch.memory_format
) -> None:
    maps = (naive.draw(2, 3, *size) - 0.5).contiguous(memory_format=layout)
    slope = naive.draw(2, 3, *(edge + 2 * padding for edge in size), seed=1) - 0.5
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "ours": lambda x: frozen.replicate(x, padding),
        "torch's": lambda x: F.pad(x, (padding,) * 4, mode="replicate"),
    }
    found = {}
    for way, pad in ways.items():
        x = maps.clone().requires_grad_()
        padded = pad(x)
        # The slope comes laid out as the next operation has it.
        found[way] = padded.detach(), *torch.autograd.grad(padded, x, slope.clone())
    assert torch.equal(found["ours"][0], found["torch's"][0])
    assert torch.allclose(found["ours"][1], found["torch's"][1], atol=1e-6)
    assert frozen.format_of(found["ours"][0]) == frozen.format_of(maps)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_a_border_s_gradient_is_laid_out_as_its_slope_is(dtype: torch.dtype) -> None:
    x = naive.draw(2, 3, 8, 8).to(dtype, memory_format=torch.channels_last).requires_grad_()
    padded = frozen.replicate(x, 1)
    assert padded.is_contiguous(memory_format=torch.channels_last)
    (found,) = torch.autograd.grad(padded, x, torch.ones_like(padded))
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert found.dtype == dtype
    # A pixel counts itself, and each copy of it beyond the border.
    wanted = torch.tensor([2, *[1] * 6, 2])
    assert torch.equal(found[0, 0].float(), (wanted[:, None] * wanted).float())

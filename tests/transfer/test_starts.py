"""Initial images: each kind, and mixes of them around the mean pixel."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from support import naive
from torch import Tensor

from stylebatch.transfer.starts import StartSpec, draw_noise, make_start

SIZE = (16, 20)
CONTENT, STYLE = naive.draw(1, 3, *SIZE, seed=1), naive.draw(1, 3, *SIZE, seed=2)
MEAN = (0.485, 0.456, 0.406)


def start(shares: Mapping[str, float], seed: int | None = 3, **fields: Any) -> Tensor:
    spec = StartSpec(shares, **{"mean": MEAN, **fields})
    images = {"content": CONTENT, "style": STYLE}
    return make_start(spec, SIZE, images, seed, torch.device("cpu"))


def test_content_and_style_are_taken_as_they_are() -> None:
    assert torch.equal(start({"content": 1.0}, None), CONTENT)
    assert torch.equal(start({"style": 1.0}, None), STYLE)


def test_uniform_noise_fills_the_range_whatever_the_mean() -> None:
    assert torch.equal(start({"noise": 1.0}), draw_noise(3, SIZE))


def test_a_mix_is_that_of_the_differences_from_the_mean_pixel() -> None:
    found = start({"content": 0.3, "style": 0.2}, None)
    for channel, mean in enumerate(MEAN):
        content, style = CONTENT[0, channel].double(), STYLE[0, channel].double()
        wanted = mean + 0.3 * (content - mean) + 0.2 * (style - mean)
        assert torch.allclose(found[0, channel].double(), wanted, atol=1e-6)


def test_normal_noise_spreads_around_the_mean_pixel_in_the_variable_s_units() -> None:
    scale = (1 / 0.229, 1 / 0.224, 1 / 0.225)
    found = start({"noise": 1.0}, noise="normal", noise_scale=0.1, pixel_scale=scale, clamp=False)
    again = start({"noise": 1.0}, noise="normal", noise_scale=0.1, pixel_scale=scale, clamp=False)
    assert torch.equal(found, again)
    for channel, (mean, std) in enumerate(zip(MEAN, (0.229, 0.224, 0.225), strict=True)):
        values = found[0, channel]
        # Of 320 draws: within four standard errors.
        assert float(values.mean()) == pytest.approx(mean, abs=4 * 0.1 * std / 320**0.5)
        assert float(values.std()) == pytest.approx(0.1 * std, rel=0.2)


def test_integer_noise_takes_every_whole_number_up_to_its_scale() -> None:
    spec: dict[str, Any] = {"noise": "integers", "noise_scale": 2, "pixel_scale": (255.0,) * 3}
    found = start({"noise": 1.0}, **spec) - torch.tensor(MEAN).view(1, 3, 1, 1)
    assert sorted({round(value, 3) for value in (255 * found).flatten().tolist()}) == [
        -2, -1, 0, 1, 2
    ]  # fmt: skip


def test_a_start_is_brought_into_range_only_where_the_optimiser_keeps_it_there() -> None:
    wide: dict[str, Any] = {"noise": "normal", "noise_scale": 1.0}
    clamped, free = start({"noise": 1.0}, **wide), start({"noise": 1.0}, **wide, clamp=False)
    assert torch.equal(clamped, free.clamp(0, 1))
    assert not torch.equal(clamped, free)


def test_only_a_whole_share_of_the_content_counts_as_the_content() -> None:
    assert StartSpec({"content": 1.0}).is_content
    assert not StartSpec({"content": 0.9}).is_content
    assert not StartSpec({"content": 1.0, "noise": 0.1}).is_content


def test_noise_is_decided_by_its_seed_alone() -> None:
    first = draw_noise(3, (16, 20))
    torch.rand(5)  # the global generator has no part in it
    assert torch.equal(first, draw_noise(3, (16, 20)))
    assert not torch.equal(first, draw_noise(4, (16, 20)))
    assert first.shape == (1, 3, 16, 20)
    assert 0 <= float(first.min()) < 0.05
    assert 0.95 < float(first.max()) <= 1

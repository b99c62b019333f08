"""Devices: which there are, what is asked of them, and how many cores are ours."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from support import naive_scales
from support.projects import Project
from support.runs import picture, run_process
from torch import Tensor

from stylebatch.device.choice import (
    DeviceError,
    available_devices,
    choose_devices,
    choose_precision,
)
from stylebatch.device.cpu_memory import CPU_PIXEL_BUDGET
from stylebatch.device.device import Device
from stylebatch.device.requests import TargetRequest
from stylebatch.pictures.images import Pixels
from stylebatch.recipes import Settings
from stylebatch.records import Style, StyleImage
from stylebatch.system.cores import usable_cores
from stylebatch.system.files import digest_bytes
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.problem import Problem


def test_the_cpu_is_always_there_and_last() -> None:
    assert available_devices()[-1] == "cpu"


def test_auto_means_every_gpu_or_else_one_device() -> None:
    found = choose_devices("auto")
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    assert found == (gpus or available_devices()[:1])


def test_devices_that_are_named_are_used_in_that_order() -> None:
    assert choose_devices(["cpu"]) == choose_devices("cpu") == ["cpu"]


@pytest.mark.parametrize("asked", [["cuda:99"], ["cpu", "cuda:99"], "cuda:99"])
def test_a_device_that_is_not_there_is_told_with_those_that_are(asked: list[str] | str) -> None:
    with pytest.raises(DeviceError) as caught:
        choose_devices(asked)
    there = ", ".join(available_devices())
    assert str(caught.value) == (
        f"devices: no device 'cuda:99'; this machine has {there}; or write auto"
    )
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("asked", ["", "gpu", "cpu:1", "CPU"])
def test_what_is_no_device_is_refused(asked: str) -> None:
    with pytest.raises(DeviceError, match=f"no device '{asked}'"):
        choose_devices([asked])


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_without_a_number_is_the_first_one() -> None:
    with pytest.raises(DeviceError, match="no device 'cuda:0'"):
        choose_devices(["cuda"])


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_without_a_number_is_the_first_one_where_there_is_one() -> None:
    assert choose_devices(["cuda", "cpu"]) == ["cuda:0", "cpu"]
    assert choose_devices("auto")[0] == "cuda:0"


@pytest.mark.parametrize("device", ["cpu", "cuda:0", "mps"])
def test_a_precision_that_is_asked_for_is_what_is_used(device: str) -> None:
    assert choose_precision("float32", device) is torch.float32
    assert choose_precision("bfloat16", device) is torch.bfloat16


def test_auto_is_bfloat16_where_the_hardware_multiplies_it() -> None:
    flags = Path("/proc/cpuinfo").read_text().split()
    multiplies = {"avx512_bf16", "amx_bf16"} & set(flags)
    expected = torch.bfloat16 if multiplies else torch.float32
    assert choose_precision("auto", "cpu") is expected
    assert choose_precision("auto", "mps") is torch.float32


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_auto_on_a_gpu_follows_its_capability() -> None:
    is_new = torch.cuda.get_device_capability(0) >= (8, 0)
    assert choose_precision("auto", "cuda:0") is (torch.bfloat16 if is_new else torch.float32)


COUNT = """
import os
os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
from stylebatch.system.cores import usable_cores
print(usable_cores())
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs a settable affinity")
def test_cores_are_those_that_the_process_may_run_on() -> None:
    assert 1 <= usable_cores() <= len(os.sched_getaffinity(0))
    assert run_process(COUNT) == (0, "1\n", "")


def test_a_cpu_optimises_a_fixed_number_of_pixels_at_once(tmp_path: Path) -> None:
    assert Device("cpu", tmp_path, tmp_path / "cache").pixel_budget == CPU_PIXEL_BUDGET


# --- problems --------------------------------------------------------------------------------


class Recording:
    """Stands for `StyleTargets`: notes what it is asked for."""

    def __init__(self) -> None:
        self.requests: list[TargetRequest] = []
        self.colors: list[Pixels | None] = []

    def get(
        self, style: Style, request: TargetRequest, extractor: Any, colors: Pixels | None
    ) -> Mapping[str, Tensor]:
        self.requests.append(request)
        self.colors.append(colors)
        number = request.size_px + 1000.0 * request.halvings
        return {"conv1_1": torch.full((3, 3), number)}


def settings(root: Path, **fields: Any) -> Settings:
    layers = {"content_layers": {"conv2_1": 1}, "style_layers": {"conv1_1": 1}}
    return Project(root).settings(**{**layers, **fields})


def ask(root: Path, sizes: list[tuple[int, int]], /, **fields: Any) -> tuple[Recording, Problem]:
    """Make the problem of an image whose levels have these (height, width)."""
    device = Device("cpu", root, root / "cache")
    device.targets = recording = Recording()  # type: ignore[assignment]
    engine = cast(Engine, SimpleNamespace(sizes=sizes))
    height, width = sizes[-1]
    pixels = np.array(picture(1, width, height))
    style = Style("s", "s", (), "digest")
    asked = settings(root, **fields)
    problem = device.problem(
        "key", asked, engine, pixels=pixels, style=style, strength=2.0, noise_seed=5
    )
    return recording, problem


THREE = [(24, 32), (48, 64), (96, 128)]


@pytest.mark.parametrize(
    ("levels", "fields", "wanted"),
    [
        # The ladder of 64, 96, 128, … px, by the work size.
        ([(96, 128)], {"style_size_px": "match"}, [128]),
        ([(96, 100)], {"style_size_px": "match"}, [128]),
        ([(130, 90)], {"style_size_px": "match"}, [192]),
        (THREE, {"style_size_px": "match"}, [32, 64, 128]),
        ([(96, 128)], {"style_size_px": "same", "size_px": 200}, [200]),
        ([(96, 128)], {"style_size_px": 150}, [150]),
        (THREE, {"style_size_px": 150}, [38, 75, 150]),  # 37.5: a tie to the even
        (THREE, {"style_size_px": 150, "style_scale": 2}, [75, 150, 300]),
        ([(96, 128)], {"style_size_px": 150, "style_scales": [1, 0.5, 2]}, [150, 75, 300]),
        (
            [(48, 64), (96, 128)],
            {"style_size_px": "match", "style_scale": 0.5, "style_scales": [1, 2]},
            [32, 64, 64, 128],
        ),
        ([(96, 128)], {"style_size_px": 100, "style_scale": 0.01}, [16]),
        # Of a second pass: as large as its own size, and at the first pass in proportion.
        (
            [(80, 120), (100, 150)],
            {
                "style_size_px": "same",
                "size_px": 120,
                "second_pass": {"size_px": 150, "steps": 3},
                "levels": 1,
            },
            [120, 150],
        ),
    ],
)
@pytest.mark.parametrize("scales", [[1], [4, 2, 1], [0, 1]], ids=str)
def test_the_style_is_asked_for_at_the_size_that_is_stated(
    tmp_path: Path, levels: Any, fields: dict[str, Any], wanted: list[int], scales: list[float]
) -> None:
    """On each scale that a level of the image has, at the same sizes, halved as often."""
    recording, problem = ask(tmp_path, levels, scales=scales, **fields)
    by_level = np.reshape(wanted, (len(levels), -1)).tolist()
    asked = []
    for size, sizes, found in zip(levels, by_level, problem.statistics, strict=True):
        there = naive_scales.scales_of(scales, *size)
        asked += [(each, scale) for scale in there for each in sizes]
        means = {naive_scales.key("conv1_1", x): np.mean(sizes) + 1000 * x for x in there}
        assert found.keys() == means.keys()
        for key, mean in means.items():
            assert torch.allclose(found[key], torch.tensor(float(mean)))
    assert [(request.size_px, request.halvings) for request in recording.requests] == asked


@pytest.mark.parametrize(
    ("size", "fit", "wanted"),
    [("match", "shortest", "longest"), ("same", "shortest", "shortest"), (64, "stretch", "stretch"),
     ("same", "crop", "crop"), ("match", "longest", "longest")],
)  # fmt: skip
def test_a_style_is_fitted_as_the_content_unless_its_size_goes_with_the_work_size(
    tmp_path: Path, size: Any, fit: str, wanted: str
) -> None:
    fields = {"fit": fit, "aspect": (4, 3), "resampling": "nearest", "output_size": "work"}
    recording, _ = ask(tmp_path, [(96, 128)], style_size_px=size, **fields)
    assert [request.halvings for request in recording.requests] == [0, 1, 2]
    for request in recording.requests:
        assert (request.fit, request.aspect, request.resampling) == (wanted, (4, 3), "nearest")


@pytest.mark.parametrize("color", ["style", "content", "matched"])
def test_only_matched_targets_are_made_with_the_content_s_colours(
    tmp_path: Path, color: str
) -> None:
    recording, _ = ask(tmp_path, [(32, 48)], color=color)
    assert len(recording.colors) == 2
    for colors in recording.colors:
        assert (colors is not None) == (color == "matched")
        if colors is not None:
            assert np.array_equal(colors, np.asarray(picture(1, 48, 32)))


@pytest.mark.usefixtures("on_one_core")
def test_targets_of_several_sizes_are_the_mean_of_each_alone(tmp_path: Path) -> None:
    picture(11, 60, 40).save(tmp_path / "s.png")
    digest = digest_bytes((tmp_path / "s.png").read_bytes())
    style = Style("s", "s", (StyleImage("s.png", 1.0, digest),), digest)
    device = Device("cpu", tmp_path, tmp_path / "cache")
    base = settings(tmp_path, style_size_px=64)

    def statistics(*sizes: float) -> Mapping[str, Tensor]:
        recipe = base.recipe.model_copy(update={"style_scales": sizes})
        asked = replace(base, recipe=recipe)
        engine = cast(Engine, SimpleNamespace(sizes=[(32, 48)]))
        pixels = np.array(picture(1, 48, 32))
        problem = device.problem(
            "key", asked, engine, pixels=pixels, style=style, strength=1.0, noise_seed=None
        )
        return {name: each.double() for name, each in problem.statistics[0].items()}

    found = statistics(1.0, 0.5, 0.25)
    apart = [statistics(times) for times in (1.0, 0.5, 0.25)]
    # On both scales of the image.
    assert set(found) == {"conv1_1", "conv1_1/2"}
    for name, mean in found.items():
        one, half, quarter = (each[name] for each in apart)
        assert torch.allclose(mean, (one + half + quarter) / 3, rtol=1e-6)
        assert not torch.allclose(mean, one, rtol=1e-3)
    assert len(list((tmp_path / "cache/grams").iterdir())) == 6


def test_a_mask_in_8_bits_becomes_shares(tmp_path: Path) -> None:
    device = Device("cpu", tmp_path, tmp_path / "cache")
    device.targets = Recording()  # type: ignore[assignment]
    engine = cast(Engine, SimpleNamespace(sizes=[(24, 32)]))
    mask = np.arange(768, dtype=np.uint16).reshape(24, 32).astype(np.uint8)
    pixels = np.array(picture(1, 32, 24))
    style = Style("s", "s", (), "digest")
    problem = device.problem(
        "key",
        settings(tmp_path),
        engine,
        pixels=pixels,
        style=style,
        strength=1.0,
        noise_seed=None,
        mask=mask,
    )
    assert problem.mask is not None
    assert problem.mask.shape == (1, 1, 24, 32)
    assert np.array_equal(problem.mask[0, 0].numpy(), mask.astype(np.float32) / np.float32(255))

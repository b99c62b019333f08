"""Devices: which there are, what is asked of them, and how many cores are ours."""

import os
from pathlib import Path

import pytest
import torch
from runs import run_process

from stylebatch.device import (
    CPU_PIXEL_BUDGET,
    Device,
    DeviceError,
    available_devices,
    choose_devices,
    choose_precision,
    usable_cores,
)


def test_the_cpu_is_always_there_and_last() -> None:
    assert available_devices()[-1] == "cpu"


def test_auto_means_every_gpu_or_else_one_device() -> None:
    found = choose_devices("auto")
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    assert found == (gpus or available_devices()[:1])


def test_devices_that_are_named_are_used_in_that_order() -> None:
    assert choose_devices(["cpu"]) == choose_devices("cpu") == ["cpu"]


@pytest.mark.parametrize("asked", [["cuda:99"], ["cpu", "cuda:99"], "cuda:99"])
def test_a_device_that_is_not_there_is_told_with_those_that_are(asked) -> None:
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
from stylebatch.device import usable_cores
print(usable_cores())
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs a settable affinity")
def test_cores_are_those_that_the_process_may_run_on() -> None:
    assert 1 <= usable_cores() <= len(os.sched_getaffinity(0))
    assert run_process(COUNT) == (0, "1\n", "")


def test_a_cpu_optimises_a_fixed_number_of_pixels_at_once(tmp_path) -> None:
    assert Device("cpu", tmp_path, tmp_path / "cache").pixel_budget == CPU_PIXEL_BUDGET

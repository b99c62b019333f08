"""A device whose memory does not suffice: fewer images at once, the same pixels, nothing lost."""

import gc
import weakref
from collections.abc import Callable
from concurrent.futures import wait
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.pools import Work
from support.runs import Small, small_project

from stylebatch.api import stylize
from stylebatch.device.device import Device
from stylebatch.device.errors import is_out_of_memory
from stylebatch.pictures.given import StylizeError
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.problem import Problem, StepReport
from stylebatch.worker import decode_ahead
from stylebatch.worker.decode_ahead import DecodeAhead

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("on_one_core")]

ALL = 4


@pytest.fixture
def decoded_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the decoder never be late: what is in slots at once is the same on a busy machine."""

    def is_ready(waiting: DecodeAhead) -> bool:
        return bool(wait([waiting._decoding[waiting.first.output]]).done)

    monkeypatch.setattr(DecodeAhead, "is_ready", is_ready)


@pytest.mark.usefixtures("decoded_in_time")
def test_the_usual_run_has_all_images_in_slots_at_once(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the tests below would not show what they claim."""
    most = 0

    def step(self: Engine, real: Callable[[Engine], StepReport] = Engine.step) -> StepReport:
        nonlocal most
        most = max(most, self.running)
        return real(self)

    monkeypatch.setattr(Engine, "step", step)
    assert small.run().code == 0
    assert most == ALL


class Scarce:
    """An engine's memory, of which only so many images' is there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: type[RuntimeError]) -> None:
        self.engines: list[weakref.ref[Engine]] = []
        self.failures = 0
        self._patch, self._error = monkeypatch, error

    def for_steps(self, images: int) -> None:
        """Fail where more images than these are evaluated."""

        def step(engine: Engine, real: Callable[[Engine], StepReport] = Engine.step) -> StepReport:
            self._check(engine, engine.running > images)
            return real(engine)

        self._patch.setattr(Engine, "step", step)

    def for_admission(self, images: int) -> None:
        """Fail where there are slots for more images than these."""

        def admit(
            engine: Engine, problem: Problem, real: Callable[..., None] = Engine.admit
        ) -> None:
            self._check(engine, engine.capacity > images and engine.running == 1)
            real(engine, problem)

        self._patch.setattr(Engine, "admit", admit)

    def _check(self, engine: Engine, is_too_much: bool) -> None:
        if all(known() is not engine for known in self.engines):
            self.engines.append(weakref.ref(engine))
        if is_too_much:
            self.failures += 1
            raise self._error("CUDA out of memory; can't allocate memory")


@pytest.mark.usefixtures("decoded_in_time")
@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
@pytest.mark.parametrize("when", ["for_steps", "for_admission"])
def test_out_of_memory_halves_the_slots_and_changes_no_pixel(
    small: Small, monkeypatch: pytest.MonkeyPatch, when: str, error: type[RuntimeError]
) -> None:
    assert small.run().code == 0
    wanted = small.images()
    again = small_project(small.root / "again")
    scarce = Scarce(monkeypatch, error)
    getattr(scarce, when)(1)
    assert again.run().code == 0
    assert again.images() == wanted
    assert scarce.failures >= 1


@pytest.mark.usefixtures("decoded_in_time")
def test_what_the_failed_attempt_held_is_free_before_the_next_one(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    scarce = Scarce(monkeypatch, torch.OutOfMemoryError)
    scarce.for_steps(1)
    left: list[bool] = []
    real = Device.free_memory

    def free_memory(self: Device) -> None:
        real(self)
        left.append(scarce.engines[-1]() is not None)

    monkeypatch.setattr(Device, "free_memory", free_memory)
    # What a cycle of references holds would be freed at some time only.
    gc.disable()
    try:
        assert small.run().code == 0
    finally:
        gc.enable()
    assert left
    assert not any(left)


def test_an_image_that_does_not_fit_alone_fails_and_the_others_do_not(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    def admit(engine: Engine, problem: Problem, real: Any = Engine.admit) -> None:
        if "cats" in str(problem.key):
            raise torch.OutOfMemoryError("CUDA out of memory")
        real(engine, problem)

    monkeypatch.setattr(Engine, "admit", admit)
    ended = small.run()
    assert ended.code == 3
    assert sorted(small.images()) == ["dogs/b-s.png", "dogs/b-t.png"]
    assert "out of memory on cpu with this image alone: lower size_px" in ended.err


@pytest.mark.parametrize("when", ["for_steps", "for_admission"])
def test_a_library_call_goes_on_with_fewer_images_at_once(
    small: Small, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    contents = [np.full((32, 32, 3), grey, np.uint8) for grey in (60, 120, 180, 240)]
    wanted = stylise(small, contents)
    scarce = Scarce(monkeypatch, torch.OutOfMemoryError)
    getattr(scarce, when)(1)
    assert stylise(small, contents) == wanted
    assert scarce.failures == 2, "from four to two to one"


def test_a_library_call_says_where_one_image_is_too_many(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scarce(monkeypatch, torch.OutOfMemoryError).for_steps(0)
    with pytest.raises(StylizeError, match=r"out of memory with one image; .*32×32 px; lower size"):
        stylise(small, [np.zeros((32, 32, 3), np.uint8)])


def stylise(small: Small, contents: list[np.ndarray]) -> list[bytes]:
    images = [Image.fromarray(content) for content in contents]
    made = stylize(
        images, small.root / "styles/s.png", weights="random", size_px=32, steps=3,
        override={"content_layers": {"conv1_2": 1}, "style_layers": {"conv1_1": 1}}, device="cpu",
        precision="float32",
    )  # fmt: skip
    return [image.tobytes() for image in made]


@pytest.mark.parametrize(
    ("text", "is_memory"),
    [
        ("CUDA error: out of memory", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", True),
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.", True),
        ("could not create a primitive", True),
        ("CUDA error: an illegal memory access was encountered", False),
        ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", False),
    ],
)
def test_out_of_memory_is_known_by_what_torch_says(text: str, is_memory: bool) -> None:
    assert is_out_of_memory(RuntimeError(text)) == is_memory


def test_only_so_many_are_decoded_ahead_as_memory_is_meant_for(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        small.photo(f"cats/{number}.png", 60 + number, 64, 64)
    small.pair["override"]["color"] = "content"
    work = Work(small)
    one = 64 * 64 * 3 + 16 * 16 * 3
    jobs = [job for job in work.jobs if "/a-" not in job.output and "/b-" not in job.output]
    monkeypatch.setattr(decode_ahead, "BYTES_AHEAD", 3 * one + 1)
    waiting = DecodeAhead(work.spec.root, work.spec.cache, work.spec.settings, work.spec.styles)
    waiting.put(jobs)
    waiting.begin(100)
    assert len(waiting._decoding) == decode_ahead.DECODE_THREADS, "until it is known how large"
    wait(waiting._decoding.values())
    waiting.begin(100)
    assert len(waiting._decoding) == 3
    seen = []
    while waiting:
        wait(waiting._decoding.values())
        seen.append(waiting.pop()[0])
        waiting.begin(100)
        assert len(waiting._decoding) <= 3
    assert seen == jobs
    waiting.close()

"""Job, style and the events: plain, frozen, picklable. What travels between the modules."""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

# On a CPU bits are the same in batches of up to 16 (`transfer/reductions.py`), and more than a few
# gain nothing. Small images need more to fill a GPU, whose budget is never as small as a CPU's.
MAX_SLOTS = 16
GPU_BUDGET, GPU_MAX_SLOTS = 2**20, 128


# How the reason begins of an image that was made and is not worth enough.
REJECTED = "rejected: "

# How loss logs are written: a file for each image, tables of several images', or not at all.
Losses = Literal["csv", "parquet", "none"]


@dataclass(frozen=True, slots=True)
class StyleImage:
    """One image of a style entry: its path from the manifest's folder, weight and digest."""

    path: str
    weight: float
    digest: str


@dataclass(frozen=True, slots=True)
class Style:
    """A style entry: one image, or a blend of several.

    Attributes:
        key: what tells entries apart: the image's path from the manifest, or `blend:NAME`.
        name: what stands in file names and metadata.
        digest: of the images' bytes and, for a blend, their weights.
    """

    key: str
    name: str
    images: tuple[StyleImage, ...]
    digest: str


class Shape(NamedTuple):
    """What decides how long an evaluation takes: settings, and the size in pixels."""

    settings_id: str
    width: int
    height: int


# What shares an engine: one shape, and all images with masks or none.
Kind = tuple[Shape, bool]


@dataclass(frozen=True, slots=True)
class Job:
    """One image to make.

    Attributes:
        output: its identity: the POSIX path under `images/`.
        fingerprint: a hash of everything that decides its pixels.
        settings_id: names the resolved settings (`recipes.Settings`) that it runs with.
        content: path from the manifest's folder (POSIX), or absolute, or a URL.
        label: its class: the first folder below the split, or below the content folder where there
            are no splits; None where there is none.
        style: key of its style entry, "" of an original: a photograph that is carried over.
        width, height: the size in pixels at which it is optimised.
        strength: how much style, 0 or above; see `recipes.Recipe`.
        noise_seed: where its settings use noise, else None.
        mask: path as `content`, "" where its pair has no masks.
        mask_digest: "" also where there should be a mask, but `mask` is not one image.
        split: None where its pair has no splits.
        is_replacement: whether what stands in its place is of another fingerprint: that is set
            aside when this is committed.
    """

    output: str
    fingerprint: str
    pair: str
    settings_id: str
    content: str
    content_digest: str
    label: str | None
    style: str
    variant: int
    width: int
    height: int
    strength: float
    noise_seed: int | None
    mask: str = ""
    mask_digest: str = ""
    split: str | None = None
    is_replacement: bool = False

    @property
    def shape(self) -> Shape:
        """What decides how long an evaluation of it takes."""
        return Shape(self.settings_id, self.width, self.height)

    @property
    def kind(self) -> Kind:
        """What it shares with those that may be in slots beside it."""
        return (self.shape, bool(self.mask))

    @property
    def is_original(self) -> bool:
        """Whether it is the photograph itself, and nothing is optimised."""
        return not self.style


def device_kind(device: str) -> str:
    """Return a device's kind (cpu, cuda, mps): its name without a number."""
    return device.partition(":")[0]


class Group(NamedTuple):
    """Jobs that can share a batch: one set of settings, one shape in pixels."""

    settings_id: str
    width: int
    height: int
    num_jobs: int

    @property
    def shape(self) -> Shape:
        """What its jobs have in common."""
        return Shape(self.settings_id, self.width, self.height)


def num_slots(width: int, height: int, pixel_budget: int) -> int:
    """Return how many images of a shape are optimised together: 1 to 16, on a GPU to 128."""
    most = GPU_MAX_SLOTS if pixel_budget >= GPU_BUDGET else MAX_SLOTS
    return max(1, min(most, pixel_budget // max(1, width * height)))


@dataclass(frozen=True, slots=True)
class WorkerJoined:
    """A worker is ready for jobs; its device optimises so many pixels at once.

    Attributes:
        where: on which machine, and in which process of it; "" for this one.
        model: what its GPU calls itself; "" of a CPU.
    """

    worker: int
    device: str
    pixel_budget: int
    where: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker has died; its jobs are no longer being worked on.

    Attributes:
        reason: the same for all that die in one way.
        pid: of its process, where it had one of its own.
        is_blameless: no image can have been the cause: its machine has gone, say.
    """

    worker: int
    reason: str
    pid: int | None = None
    is_blameless: bool = False


@dataclass(frozen=True, slots=True)
class JobDone:
    """An image and its loss log are in place.

    Attributes:
        size: bytes of the image file.
        facts: what `metadata.jsonl` says of how it went: evaluations, losses, status, seconds, …
    """

    worker: int
    output: str
    fingerprint: str
    size: int
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobFailed:
    """An image could not be made; nothing of it is in the output.

    Attributes:
        is_transient: the same again may well go better (a network folder, memory that others use).
        unexpected_input: path of the content, mask or style image that was not as planned: the next
            plan looks at it anew, and the job is tried again. "" where it was something else.
    """

    worker: int
    output: str
    fingerprint: str
    reason: str
    is_transient: bool = False
    unexpected_input: str = ""

    @property
    def is_rejected(self) -> bool:
        """Whether it was made, and lies outside its pair's thresholds."""
        return self.reason.startswith(REJECTED)


@dataclass(frozen=True, slots=True)
class JobsDropped:
    """Jobs that a worker was told to forget before it began with them."""

    worker: int
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JobSaved:
    """A job that a worker has saved half-made: the next run goes on with it.

    Attributes:
        evaluations: that its image has had.
    """

    worker: int
    output: str
    evaluations: int


@dataclass(frozen=True, slots=True)
class JobResumed:
    """A job that a worker goes on with where an earlier run has saved it; fields as there."""

    worker: int
    output: str
    evaluations: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a worker is.

    Attributes:
        running: images in its slots.
        evaluations: of single images since the last.
        behind: evaluations of all images that it has not handed over yet.
        seconds: that these took the device; the rest of the time it waited for something.
        shape: of the images that they were of; None where there were none.
        each: evaluations that each image in a slot has had.
    """

    worker: int
    running: int
    evaluations: int
    seconds: float = 0.0
    shape: Shape | None = None
    behind: int = 0
    each: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a user may want to know that stops nothing (slots halved, a retry)."""

    worker: int
    text: str


@dataclass(frozen=True, slots=True)
class SlotsReduced:
    """Memory has sufficed for so many images of a shape at once, and not for more.

    Attributes:
        is_masked: with masks an image takes more.
    """

    worker: int
    shape: Shape
    is_masked: bool
    slots: int


@dataclass(frozen=True, slots=True)
class RunFailed:
    """A failure that concerns the whole run.

    Attributes:
        text: the user's message where `is_ours` is false, else the traceback.
        is_ours: true for an error of stylebatch's own (exit code 1, else 5).
    """

    worker: int
    text: str
    is_ours: bool


Event = (
    WorkerJoined
    | WorkerLost
    | JobDone
    | JobFailed
    | JobsDropped
    | JobSaved
    | JobResumed
    | Progress
    | Notice
    | SlotsReduced
    | RunFailed
)

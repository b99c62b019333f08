"""What a worker is started with; no torch, so that whoever starts one needs none."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from stylebatch.output.acceptance import Acceptance
from stylebatch.output.layout import Dataset
from stylebatch.output.shard import Shard
from stylebatch.output.store import Store
from stylebatch.recipes import Settings
from stylebatch.records import Kind, Losses, SlotsReduced, Style, device_kind

# What an image takes less time than is made anew rather than saved: a file of some dozen times its
# pixels. A run that is stopped lasts so much longer at most.
SAVE_AFTER_S = 30.0
# How often a worker reports its progress, where there are not very many.
PROGRESS_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What a worker is started with.

    Attributes:
        root: the manifest's folder; content and style paths start there.
        output: the data set's root, or that of its state.
        store: the object store that the data set is in, if it is in one.
        shard: whose run it belongs to, None for a run of the whole.
        settings, styles: all of the run's, by id and key.
        provenance: the recipe's name by pair, of those whose files say how they were made.
        acceptances: the thresholds by pair, of those that have some.
        losses: how loss logs are written.
        cache: folder of cached style targets.
        threads: for torch on the CPU; None leaves torch's own choice.
        cores: that a process of its own keeps to; () leaves the system's choice.
        pixel_budget: pixels optimised at once; None: what suits the device.
        incarnation: how many workers of its number were there before: each has a temporary folder
            of its own, as one that is given up may go on for a while.
        max_slots: how many images of a shape, with masks or without, its memory suffices for,
            where that is known from another worker on its device.
        report_every_s: how often it tells of its progress.
        is_apart: whether nothing that it reads, and nothing of the output, is in a folder that it
            would have to share with the run's own process.
        keeps_memory: whether a process of its own may keep what it frees, which takes more of it.
        save_after_s: from when on an image is saved if the run is stopped.
    """

    worker: int
    device: str
    run_id: str
    root: Path
    output: Path
    settings: Mapping[str, Settings]
    styles: Mapping[str, Style]
    cache: Path
    threads: int | None = None
    cores: tuple[int, ...] = ()
    pixel_budget: int | None = None
    shard: Shard | None = None
    incarnation: int = 0
    max_slots: Mapping[Kind, int] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    acceptances: Mapping[str, Acceptance] = field(default_factory=dict)
    losses: Losses = "csv"
    report_every_s: float = PROGRESS_EVERY_S
    save_after_s: float = SAVE_AFTER_S
    store: Store | None = None
    is_apart: bool = False
    keeps_memory: bool = False

    @property
    def dataset(self) -> Dataset:
        """The output, or the shard of it, that it works for."""
        return Dataset(self.output, self.shard, self.store)

    def knowing(self, event: SlotsReduced) -> "WorkerSpec":
        """Let whoever replaces a worker know what its device's memory suffices for."""
        known = {**self.max_slots, (event.shape, event.is_masked): event.slots}
        return replace(self, max_slots=known)

    @property
    def pace_key(self) -> str:
        """What its measured speed is remembered by: a CPU's goes by its threads as well."""
        kind = device_kind(self.device)
        return f"{kind}/{self.threads}" if kind == "cpu" and self.threads else kind

    @property
    def needs_network(self) -> bool:
        """Whether any of its jobs may need a network and a device."""
        return any(settings.needs_network for settings in self.settings.values())


def pace_keys(specs: Iterable[WorkerSpec]) -> dict[str, str]:
    """Return what workers' measured speeds are remembered by, by kind of device."""
    return {device_kind(spec.device): spec.pace_key for spec in specs}

"""A manifest that was read and checked: what the plan works from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from stylebatch.annotations.sources import Annotations
from stylebatch.manifest.selection import EVERYTHING, NO_SPLIT, Selection, Split
from stylebatch.output.acceptance import Acceptance
from stylebatch.output.layout import Dataset
from stylebatch.output.shard import Shard
from stylebatch.output.store import LEASE_S, Store
from stylebatch.recipes import Settings, carrying_settings
from stylebatch.records import Losses
from stylebatch.system.files import default_cache_folder


@dataclass(frozen=True, slots=True)
class StyleSource:
    """A style entry before its files are hashed.

    Attributes:
        key: the image's path relative to the manifest, or `blend:NAME`; unique in a manifest.
        name: the file's stem, or the blend's name; not yet fit for a file name.
        images: paths (POSIX, from the manifest's folder or absolute), with weights that sum to 1.
        weight: how often it is drawn, in proportion to the others'.
    """

    key: str
    name: str
    images: tuple[tuple[str, float], ...]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Assign:
    """Which styles each image gets: all, `count` drawn ones, or those of a CSV `table`.

    Attributes:
        draw: even in every class, or by a hash of image and style alone.
        rounds: with `sample`: so many variants of every style come before what is drawn.
        is_whole: of a table: it stands for a plan that was written, and whose content is all there.
    """

    kind: Literal["all", "sample", "map"] = "all"
    count: int = 0
    table: str = ""
    draw: Literal["even", "hash"] = "even"
    rounds: int = 0
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Originals:
    """Whether, and how, a pair's photographs go beside what is made of them; a share of them."""

    how: Literal["none", "link", "copy"] = "none"
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """What tells a point of a pair's sweep from the others.

    Attributes:
        pair: name of the pair as it is written.
        entry: index of the entry of `sweep:` that it comes from.
        label: for people, such as `content_weight=0.1`; unique in the pair.
        suffix: the same as the end of a file's stem, without dots; unique even if case is ignored.
    """

    pair: str
    entry: int
    label: str
    suffix: str


@dataclass(frozen=True, slots=True)
class Pair:
    """A content folder and the styles that it gets, with everything resolved.

    Attributes:
        name: unique; of a point of a sweep NAME:LABEL.
        content: folder (POSIX, from the manifest's folder or absolute).
        strength: low and high; equal where nothing is drawn.
        into: folder under images/ (POSIX), "" for images/ itself.
        line: of the manifest, for messages.
        masks: folder as `content`, "" where there are no masks.
        point: None for a pair without a sweep.
        recipe: the name of the recipe that its settings began with.
        provenance: whether its files say how they were made.
        annotations: of the photographs, None where there are none.
        acceptance: what its images have to be worth, None where any will do.
    """

    name: str
    content: str
    styles: tuple[StyleSource, ...]
    assign: Assign
    strength: tuple[float, float]
    variants: int
    into: str
    settings: Settings
    line: int
    masks: str = ""
    point: SweepPoint | None = None
    split: Split = NO_SPLIT
    selection: Selection = EVERYTHING
    recipe: str = ""
    provenance: bool = True
    originals: Originals = Originals()
    acceptance: Acceptance | None = None

    @property
    def carrying(self) -> Settings | None:
        """The settings with which its photographs are carried over; None where they are not."""
        how = self.originals.how
        return None if how == "none" else carrying_settings(self.settings, how)

    @property
    def is_random(self) -> bool:
        """Whether something random tells variants apart."""
        return self.strength[0] != self.strength[1] or self.settings.recipe.uses_noise

    annotations: Annotations | None = None


def base_name(pair: str) -> str:
    """Return a pair's name as it is written: without the point of its sweep."""
    return pair.partition(":")[0]


@dataclass(frozen=True, slots=True)
class RayOptions:
    """Where a Ray cluster is, and what of it a worker gets.

    Attributes:
        address: `auto`, `local`, or HOST:PORT of its head.
        workers: how many are asked for; `auto`: one for each GPU, or node without any.
        cpus, gpus: of each worker.
        runtime_env: as Ray takes it.
    """

    address: str = "auto"
    workers: Literal["auto"] | int = "auto"
    cpus: Literal["auto"] | float = "auto"
    gpus: Literal["auto"] | float = "auto"
    runtime_env: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How and where it runs.

    Attributes:
        devices: `auto`, or names such as `cuda:0`, `mps`, `cpu`.
        cache: folder for style targets, None for the usual one.
        losses: how every evaluation's losses are written.
        report: write the report at the end of a run.
        max_failures: a number of images, or a share of them such as `5%`; None: any number.
        state, lease_s: of an output in an object store: the folder of its state, None for the
            usual one, and for how long a run that is silent holds it.
        max_removals: likewise of images that stand and whose input is gone, as a number or share.
    """

    executor: str = "local"
    devices: Literal["auto"] | tuple[str, ...] = "auto"
    cpu_workers: Literal["auto"] | int = "auto"
    precision: str = "auto"
    deadline_s: float | None = None
    cache: Path | None = None
    losses: Losses = "csv"
    report: bool = False
    max_deaths: int = 2
    max_retries: int = 2
    max_failures: int | str | None = None
    max_removals: int | str = "20%"
    image_timeout_s: float = 1800.0
    state: Path | None = None
    lease_s: float = LEASE_S
    ray: RayOptions = field(default_factory=RayOptions)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest: every path in it was looked up from `root`, the folder that it stands in.

    Attributes:
        output: the data set's folder; of one in an object store that of its state.
        store: that object store, None of an output in a folder.
        pairs: in the order in which they are written, each point of a sweep as one of its own.
    """

    path: Path
    root: Path
    output: Path
    seed: int
    pairs: tuple[Pair, ...]
    run: RunOptions
    store: Store | None = None

    def dataset(self, shard: Shard | None = None) -> Dataset:
        """Return the output, or a shard of it."""
        return Dataset(self.output, shard, self.store)

    @property
    def cache(self) -> Path:
        """The folder of style targets, and of the library."""
        return self.run.cache or default_cache_folder()

    def all_settings(self) -> dict[str, Settings]:
        """Return the settings of all pairs by their id."""
        return {pair.settings.id: pair.settings for pair in self.pairs}

    def carrying_settings(self) -> dict[str, Settings]:
        """Return, by their id, those with which photographs are carried over."""
        found = (pair.carrying for pair in self.pairs)
        return {settings.id: settings for settings in found if settings}

    @property
    def needs_network(self) -> bool:
        """Whether any pair needs a network and a device."""
        return any(pair.settings.needs_network for pair in self.pairs)

    def acceptances(self) -> dict[str, Acceptance]:
        """Return the thresholds by pair, of those that have some."""
        return {pair.name: pair.acceptance for pair in self.pairs if pair.acceptance}

    def most_evaluations(self) -> dict[str, int]:
        """Return how many evaluations an image takes at most, by settings."""
        return {key: each.recipe.max_evaluations for key, each in self.all_settings().items()}

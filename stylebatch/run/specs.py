"""What each worker of a run is started with: its device, its share of the cores, the settings."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from stylebatch.device.cpu_memory import count_room
from stylebatch.extractors.weights import SHIPPED_WEIGHTS, WeightSet, find_named_set
from stylebatch.manifest import Manifest, RunOptions
from stylebatch.output.layout import Dataset
from stylebatch.recipes import Settings
from stylebatch.records import Group, Style
from stylebatch.run.executors import EXECUTORS, Executor
from stylebatch.run.start import find_devices
from stylebatch.system.cores import allowed_cores, computing_cores, share_cores, usable_cores
from stylebatch.system.memory import available_bytes
from stylebatch.system.object_stores import is_remote
from stylebatch.worker.spec import SAVE_AFTER_S, WorkerSpec

# What one run can feed; without a network, what disks take.
MOST_WORKERS, MOST_PLAIN_WORKERS = 32, 8


class Work(NamedTuple):
    """How many images there are to make, and the pixels of the largest that needs a network."""

    images: int
    most_pixels: int

    @classmethod
    def of_groups(
        cls, groups: Iterable[Group], settings: Mapping[str, Settings], limit: int | None = None
    ) -> "Work":
        """Sum up what groups have, of which no more than `limit` images are made.

        Args:
            settings: the manifest's own; photographs that are carried over have others.
        """
        groups = list(groups)
        images = sum(group.num_jobs for group in groups)
        needy = {key for key, each in settings.items() if each.needs_network}
        sizes = (group.width * group.height for group in groups if group.settings_id in needy)
        return cls(images if limit is None else min(images, limit), max(sizes, default=0))


PLENTY = Work(images=2**20, most_pixels=0)


def worker_specs(
    manifest: Manifest,
    styles: Mapping[str, Style],
    dataset: Dataset,
    run_id: str,
    work: Work = PLENTY,
) -> list[WorkerSpec]:
    """Return what each worker is started with: one a device, or shares of the CPU.

    Where nothing needs a network the CPU does it all, whatever devices are named.

    Args:
        work: what they are started for.

    Raises:
        DeviceError: a device that is not there.
    """
    options = manifest.run
    room = count_room(work.most_pixels, available_bytes())
    devices = _devices_of(manifest, work, room)
    shares = devices.count("cpu")
    first = WorkerSpec(
        worker=0,
        device=devices[0],
        run_id=run_id,
        root=manifest.root,
        output=dataset.root,
        store=dataset.store,
        is_apart=dataset.store is not None and _reads_stores_only(manifest),
        shard=dataset.shard,
        settings=manifest.all_settings() | manifest.carrying_settings(),
        provenance={pair.name: pair.recipe for pair in manifest.pairs if pair.provenance},
        styles=dict(styles),
        acceptances=manifest.acceptances(),
        losses=options.losses,
        cache=manifest.cache,
        threads=max(1, computing_cores() // max(1, shares)),
        save_after_s=SAVE_AFTER_S,
    )
    cores = iter(share_cores(allowed_cores(), shares) if shares > 1 else [])
    is_kept = manifest.needs_network and max(1, shares) <= room
    return [
        replace(
            first,
            worker=n,
            device=device,
            cores=next(cores, ()) if device == "cpu" else (),
            keeps_memory=is_kept and device in ("cpu", "auto"),
        )
        for n, device in enumerate(devices)
    ]


def _devices_of(manifest: Manifest, work: Work, room: int) -> list[str]:
    """Return the device of each worker."""
    options = manifest.run
    if options.executor == "ray":
        # Each finds its own where it comes to be.
        return ["auto" if manifest.needs_network else "cpu"]
    names = find_devices(manifest) if manifest.needs_network else ["cpu"]
    if options.executor == "inline":
        return names[:1]
    workers = options.cpu_workers
    if workers == "auto":
        # Beside a GPU the CPU has to feed it, and is no match for it.
        workers = _auto_workers(manifest, work, room) if names == ["cpu"] else 1
    return [name for name in names for _ in range(workers if name == "cpu" else 1)]


def _auto_workers(manifest: Manifest, work: Work, room: int) -> int:
    """Return how many processes share the CPU: as many as it has cores, if there is room and work.

    One process with all cores leaves them waiting for each other: of what it does between
    convolutions much is too small to be shared (docs/lab, "Several processes").
    """
    if not manifest.needs_network:
        return max(1, min(usable_cores(), MOST_PLAIN_WORKERS))
    return max(1, min(computing_cores(), MOST_WORKERS, work.images, room))


def passed_over_options(options: RunOptions) -> list[str]:
    """Return what is said of options that the executor does not heed."""
    named = {"run.devices": options.devices, "run.cpu_workers": options.cpu_workers}
    found = [name for name, value in named.items() if value != "auto"]
    if options.executor != "ray" or not found:
        return []
    # What a node has this machine can't know.
    instead = "run.ray.workers, cpus and gpus tell what each worker gets of the cluster"
    return [f"{' and '.join(found)}: passed over with executor ray: {instead}"]


def _reads_stores_only(manifest: Manifest) -> bool:
    """Whether whoever makes a manifest's images needs none of this machine's files for it."""
    paths = [path for pair in manifest.pairs for path in (pair.content, pair.masks) if path]
    for pair in manifest.pairs:
        paths += [path for style in pair.styles for path, _ in style.images]
    networks = (settings.network for settings in manifest.all_settings().values())
    has_files = any(each and each.path and not _is_everywhere(each) for each in networks)
    return all(map(is_remote, paths)) and not has_files


def _is_everywhere(weights: WeightSet) -> bool:
    """Whether weights come with the package, or are fetched by whoever lacks them."""
    is_shipped = (weights.arch, weights.source) in SHIPPED_WEIGHTS
    return is_shipped or find_named_set(weights) is not None


def make_executor(manifest: Manifest, specs: list[WorkerSpec]) -> Executor:
    """Make the executor that a manifest asks for; it has started nothing yet."""
    return EXECUTORS[manifest.run.executor](specs, manifest.run)

"""What a run starts its workers with: weights that are there, devices, settings, styles."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from stylebatch.extractors.weights import find_download, is_checked_without_torch, load_tensors
from stylebatch.manifest import Manifest
from stylebatch.output.shard import Shard
from stylebatch.records import Notice, Style
from stylebatch.run.executors import EXECUTORS, Executor
from stylebatch.system.cores import allowed_cores, share_cores, usable_cores
from stylebatch.system.files import default_cache_folder
from stylebatch.system.words import size_text
from stylebatch.worker.spec import WorkerSpec


def prepare_all_weights(manifest: Manifest, tell: Callable[[Notice], object]) -> None:
    """Download weights that are not there yet, and read once what only torch can read.

    What is wrong with them then starts nothing.

    Raises:
        WeightsError: no download, a file that is none, a layer that is missing.
    """
    for settings in manifest.all_settings().values():
        if not is_checked_without_torch(settings.weights):
            if named := find_download(settings.weights):
                size = f" ({size_text(named.size_mib * 2**20)})" if named.size_mib else ""
                text = f"downloading {named.url}{size} to {named.place}"
                tell(Notice(worker=0, text=text))
            load_tensors(settings.weights, settings.recipe.layers)


def worker_specs(
    manifest: Manifest,
    styles: Mapping[str, Style],
    output: Path,
    run_id: str,
    shard: Shard | None = None,
) -> list[WorkerSpec]:
    """Return what each worker is started with: one a device, or shares of the CPU.

    Raises:
        DeviceError: a device that is not there.
    """
    from stylebatch.device.choice import choose_devices

    options = manifest.run
    names = choose_devices(options.devices)
    workers = 1 if options.cpu_workers == "auto" else options.cpu_workers
    devices = [name for name in names for _ in range(workers if name == "cpu" else 1)]
    if options.executor == "inline":
        devices = devices[:1]
    shares = devices.count("cpu")
    threads = max(1, usable_cores() // max(1, shares))
    first = WorkerSpec(
        worker=0,
        device=devices[0],
        run_id=run_id,
        root=manifest.root,
        output=output,
        shard=shard,
        settings=manifest.all_settings(),
        styles=dict(styles),
        cache=manifest.run.cache or default_cache_folder(),
        threads=threads,
    )
    cores = iter(share_cores(allowed_cores(), shares) if shares > 1 else [])
    return [
        replace(first, worker=n, device=device, cores=next(cores, ()) if device == "cpu" else ())
        for n, device in enumerate(devices)
    ]


def make_executor(manifest: Manifest, specs: list[WorkerSpec]) -> Executor:
    """Make the executor that a manifest asks for; it has started nothing yet."""
    return EXECUTORS[manifest.run.executor](specs)

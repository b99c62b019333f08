"""What has to be there before a run starts its workers: an output, weights, devices."""

import sys
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TypeVar

from stylebatch.errors import UserError, raise_all
from stylebatch.extractors.weights import (
    DownloadError,
    NamedWeights,
    WeightsError,
    WeightSet,
    fetch,
    find_named_set,
    is_checked_without_torch,
    is_fetched,
    load_tensors,
)
from stylebatch.manifest import Manifest
from stylebatch.output.layout import Dataset
from stylebatch.output.loss_table import check_parquet
from stylebatch.records import Notice
from stylebatch.run.elsewhere import ask_elsewhere
from stylebatch.run.executors import check_executor
from stylebatch.system import listing
from stylebatch.system.files import (
    make_folders_below,
    may_write,
    stat_file,
    why_not_renamed,
    why_unwritable,
)
from stylebatch.system.processes import may_have_gpu
from stylebatch.system.words import size_text

T = TypeVar("T")


def check_start(manifest: Manifest, waiting: Collection[str] | None = None) -> list[NamedWeights]:
    """Find what a run that has something to make would be refused for, all of it at once.

    Reads once what only torch can read; of safetensors files the manifest has seen all. torch is
    imported only for such files, and for devices that are named.

    Args:
        waiting: settings of what is to be made, all if None. Where they only carry photographs
            over, no weights are needed, and none are looked at.

    Returns:
        the named sets that such a run would download first.

    Raises:
        UserError, Problems: weights that are none, damaged or lack a layer; devices, and what
            writes Parquet, that are not there.
    """
    downloads, problems = _look_at_weights(manifest, waiting)
    try:
        check_executor(manifest.run.executor)
        if manifest.needs_network and manifest.run.executor != "ray":
            find_devices(manifest, is_needed=False)
        if manifest.run.losses == "parquet":
            check_parquet()
    except UserError as problem:
        problems.append(problem)
    _raise_each(problems)
    return downloads


def _raise_each(problems: list[UserError]) -> None:
    # Settings share their weights, and what is wrong with them.
    raise_all(list({str(problem): problem for problem in problems}.values()))


def _look_at_weights(
    manifest: Manifest, waiting: Collection[str] | None
) -> tuple[list[NamedWeights], list[UserError]]:
    """Return what `check_start` finds of weights: what to download, and what is wrong."""
    problems: list[UserError] = []
    downloads: dict[str, NamedWeights] = {}
    all_settings = manifest.all_settings()
    if waiting is not None and all_settings.keys().isdisjoint(waiting):
        all_settings = {}
    for settings in all_settings.values():
        if settings.network is None:
            continue
        try:
            if named := find_named_set(settings.weights):
                if named.identifier not in downloads and not is_fetched(named):
                    downloads[named.identifier] = named
            elif not is_checked_without_torch(settings.weights):
                _where_torch_is(manifest, _read_weights, settings.weights, settings.recipe.layers)
        except WeightsError as problem:
            problems.append(problem)
    return list(downloads.values()), problems


def check_output(output: Path) -> None:
    """Refuse an output that can't be written, or made where it is missing.

    One that is there is not touched for it: a plan writes nothing.

    Raises:
        UserError: with the system's reason.
    """
    if stat_file(output) is not None:
        reason = None if may_write(output) else "its permissions, or those of its disk"
    else:
        reason = why_unwritable(output / "run.json")
    if reason:
        found = f"{output} can't be written ({reason})"
        allowed = "allowed is a folder in a place that you may write to"
        raise UserError("output", found, allowed, "choose another place")


def check_one_disk(dataset: Dataset, run_id: str) -> None:
    """Refuse an output whose parts lie on several file systems, before anything is made for it.

    A finished file is renamed into its place, in one step; between two disks there is no such step.

    Raises:
        UserError: with the two places.
    """
    if dataset.store:
        return  # there are no file systems there
    folder = dataset.temporary_folder(run_id)
    make_folders_below(dataset.root, folder)
    below = [dataset.images / name for name in listing.list_folders(dataset.images)]
    apart = [each for each in below if each.is_symlink() or each.is_mount()]
    for place in (dataset.images, dataset.losses, *apart):
        if reason := why_not_renamed(folder, place):
            found = f"lies on another file system than {dataset.state} ({reason})"
            allowed = "an output lies on one, as finished files are renamed into their places"
            todo = "mount or link the whole output there, or choose another output"
            raise UserError(str(place), found, allowed, todo)


def describe_download(named: NamedWeights) -> str:
    """Say what is downloaded, how large it is, and to where."""
    size = f" ({size_text(named.size_mib * 2**20)})" if named.size_mib else ""
    return f"{named.url}{size} to {named.place}"


def prepare_all_weights(
    manifest: Manifest,
    tell: Callable[[Notice], object],
    waiting: Collection[str] | None = None,
) -> None:
    """Check all that `check_start` does of what waits, then download what is missing.

    Raises:
        UserError, Problems: as in `check_start`; no download.
    """
    _download(check_start(manifest, waiting), tell)


def prepare_weights(manifest: Manifest, tell: Callable[[Notice], object]) -> None:
    """Check and download a manifest's weights, whatever else a run of it would need.

    Raises:
        UserError, Problems: weights that are none, damaged or lack a layer; no download.
    """
    downloads, problems = _look_at_weights(manifest, None)
    _raise_each(problems)
    _download(downloads, tell)


def _download(sets: Iterable[NamedWeights], tell: Callable[[Notice], object]) -> None:
    for named in sets:
        tell(Notice(worker=0, text=f"downloading {describe_download(named)}"))
        try:
            fetch(named)
        except DownloadError as error:
            raise error.of_manifest() from error


def find_devices(manifest: Manifest, *, is_needed: bool = True) -> list[str]:
    """Return the devices to use; see `choose_devices`, which only torch can answer.

    Args:
        is_needed: without it only named ones are looked at: there is always one.

    Raises:
        DeviceError: one that is not there.
    """
    asked = manifest.run.devices
    if asked == ("cpu",) or (asked == "auto" and not (is_needed and may_have_gpu())):
        return ["cpu"]
    return _where_torch_is(manifest, _choose_devices, asked)


def _choose_devices(asked: str | tuple[str, ...]) -> list[str]:
    from stylebatch.device.choice import choose_devices

    try:
        return choose_devices(asked)
    except UserError as error:
        # As one that another process can read without torch.
        raise UserError(error.where, error.found, error.allowed, error.todo) from None


def _read_weights(weights: WeightSet, layers: Iterable[str]) -> None:
    load_tensors(weights, layers)


def _where_torch_is(manifest: Manifest, function: Callable[..., T], *arguments: object) -> T:
    """Call what brings torch: in a process of its own, unless this one is a worker itself."""
    is_here = manifest.run.executor == "inline" or "torch" in sys.modules
    return function(*arguments) if is_here else ask_elsewhere(function, *arguments)

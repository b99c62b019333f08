"""Style targets ahead of a run: which a manifest needs, which are there, which are lacking."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from stylebatch.device.requests import TargetRequest, find_requests
from stylebatch.device.style_images import StyleError
from stylebatch.errors import RunError, UserError, raise_all
from stylebatch.ledger import PlannedJobs
from stylebatch.library.cached import FOLDER
from stylebatch.library.errors import LibraryError
from stylebatch.library.shelf import Library, is_of_library
from stylebatch.library.style_file import SUFFIX, Told, sizes_text
from stylebatch.manifest import Manifest
from stylebatch.pictures.errors import ImageError
from stylebatch.plan import PlannedFolder
from stylebatch.recipes import Settings
from stylebatch.records import Notice, Shape, Style, StyleImage, device_kind
from stylebatch.run.start import find_devices, prepare_weights
from stylebatch.system import files
from stylebatch.system.processes import may_have_gpu

KINDS = ("cpu", "cuda", "mps")


@dataclass
class Needs:
    """Which sizes of images each style is for, by its key; filled by the jobs of a plan."""

    manifest: Manifest
    shapes: dict[str, set[Shape]] = field(default_factory=dict)

    def note(self, planned: PlannedFolder) -> None:
        """Take note of some jobs."""
        for job in planned.jobs:
            if job.style and job.width:
                shape = Shape(planned.settings_id, job.width, job.height)
                self.shapes.setdefault(job.style, set()).add(shape)

    def requests(self, style: str, kinds: Iterable[str]) -> dict[TargetRequest, Settings]:
        """Return the targets that a style's images need on kinds of devices, with their settings.

        None where colours are transferred, or matched with each photograph's.
        """
        settings = self.manifest.all_settings()
        found: dict[TargetRequest, Settings] = {}
        for shape in sorted(self.shapes.get(style, ())):
            of_shape = settings[shape.settings_id]
            for kind in kinds:
                for request in _requests_of(of_shape, shape, kind):
                    found.setdefault(request, of_shape)
        return found


def _requests_of(settings: Settings, shape: Shape, kind: str) -> Iterator[TargetRequest]:
    if settings.needs_network and settings.recipe.color != "matched":
        for of_level in find_requests(settings, shape.width, shape.height, kind):
            for of_scale in of_level:
                yield from of_scale


@dataclass
class Warmed:
    """What came of it.

    Attributes:
        total: sets of targets that are needed.
        computed: of these, that were not there.
        problems: styles that can't be read.
        kinds: of devices that they are for.
    """

    total: int = 0
    computed: int = 0
    problems: list[UserError] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)


def warm_targets(
    manifest: Manifest,
    needs: Needs,
    styles: Mapping[str, Style],
    tell: Callable[[Notice], object],
    tick: Callable[[int, int], object] = lambda done, total: None,
) -> Warmed:
    """Compute all targets that are needed and not kept yet; no image is made.

    Args:
        styles: those whose targets are wanted, by key.
        tick: is called with how many are there, of how many.

    Raises:
        UserError: weights or devices that are not there; WeightsError among them.
        RunError: they can't be kept; those that are stay.
    """
    found = Warmed()
    if not manifest.needs_network:
        return found
    names = {device_kind(name): name for name in find_devices(manifest)}
    found.kinds = list(names)
    wanted = {
        (image.digest, request): (image, settings)
        for key, style in styles.items()
        for request, settings in needs.requests(key, names).items()
        for image in style.images
    }
    found.total = len(wanted)
    if not wanted:
        return found
    prepare_weights(manifest, tell)
    # Here and not above: it brings torch.
    from stylebatch.device.device import Device
    from stylebatch.device.errors import within_memory

    note = _Noting(tell)
    devices = {
        kind: Device(name, manifest.root, manifest.cache, note.note) for kind, name in names.items()
    }
    unreadable: set[str] = set()
    for number, ((digest, request), (image, settings)) in enumerate(wanted.items()):
        tick(number, found.total)
        if digest in unreadable:
            continue
        try:
            device = devices[request.device_kind]
            is_new = within_memory(partial(device.warm, settings, image, request))
            if is_new is None:
                raise _too_large(image, request)
            found.computed += is_new
        except (StyleError, LibraryError, ImageError) as problem:
            unreadable.add(digest)
            found.problems.append(problem)
        except OSError as error:
            raise _not_kept(manifest.cache, error, number, found.total) from error
    tick(found.total, found.total)
    return found


class _Noting:
    """Passes on what is told of the cache."""

    def __init__(self, tell: Callable[[Notice], object]) -> None:
        self._tell = tell

    def note(self, text: str) -> None:
        self._tell(Notice(worker=0, text=text))


def _too_large(image: StyleImage, request: TargetRequest) -> StyleError:
    found = f"memory does not suffice for its targets of {sizes_text([request.described])}"
    todo = "free what other processes hold of it, or lower size_px"
    return StyleError(image.path, found, "", todo)


def _not_kept(cache: Path, error: OSError, number: int, total: int) -> RunError:
    found = f"style targets can't be kept there ({error.strerror}): {number} of {total} are"
    todo = "free some room, or name another folder (run.cache); once more, and it goes on"
    return RunError(str(cache / FOLDER), found, "", todo)


def check_library(manifest: Manifest, styles: Mapping[str, Style], planned: PlannedJobs) -> None:
    """Refuse styles of the library without an image that lack targets of what is to be made.

    Raises:
        LibraryError, Problems: with the sizes that are lacking, and those that there are.
    """
    library, problems = Library(manifest.cache, manifest.root), list[UserError]()
    for style in styles.values():
        for image in style.images:
            if not is_of_library(image.path):
                continue
            told = library.open(image.path).told
            if told.has_image:
                continue
            needs = Needs(manifest, {style.key: set(planned.shapes_of(style.key))})
            lacking = _lacking(manifest, needs, style.key, image, told)
            if lacking:
                problems.append(_lacks(manifest, image, told, lacking))
    raise_all(list({str(problem): problem for problem in problems}.values()))


def _lacking(
    manifest: Manifest, needs: Needs, key: str, image: StyleImage, told: Told
) -> list[TargetRequest]:
    """Return the requests that nothing answers, on the kind of device for which fewest lack."""
    by_kind = []
    for kind in _likely_kinds(manifest):
        keys = {each.cache_key(image.digest): each for each in needs.requests(key, [kind])}
        folder = manifest.cache / FOLDER
        by_kind.append(
            [
                request
                for name, request in keys.items()
                if name not in told.targets and files.stat_file(folder / f"{name}{SUFFIX}") is None
            ]
        )
    return min(by_kind, key=len)


def _likely_kinds(manifest: Manifest) -> list[str]:
    """Return the kinds of devices that a run may use, as far as that is known without torch."""
    if manifest.run.devices != "auto":
        return sorted({device_kind(name) for name in manifest.run.devices})
    return list(KINDS) if may_have_gpu() else ["cpu"]


def _lacks(
    manifest: Manifest, image: StyleImage, told: Told, lacking: list[TargetRequest]
) -> LibraryError:
    known = [target.request for target in told.targets.values()]
    wanted = sizes_text(request.described for request in lacking)
    there = f"its file has those of {sizes_text(known)}" if known else "it has none"
    if any(wanted == sizes_text([each]) for each in known):
        there += ", of other layers, weights or devices"
    found = f"has no image, and lacks targets of {wanted} that this manifest needs"
    todo = "`stylebatch styles export --manifest` where its image is, then import that"
    return LibraryError(f"{manifest.path.name}: {image.path}", found, there, todo)

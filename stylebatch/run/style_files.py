"""Styles put into files: of a manifest, after what is missing of their targets was computed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from stylebatch.device.style_export import Label, export_name, export_style
from stylebatch.device.style_images import StyleImages
from stylebatch.errors import UserError, raise_all
from stylebatch.library.errors import LibraryError
from stylebatch.library.overview import Entry
from stylebatch.library.shelf import first_of, is_of_library
from stylebatch.manifest import Manifest
from stylebatch.records import Notice, Style, StyleImage
from stylebatch.run.adopt import open_to_plan
from stylebatch.run.planning import make_plan
from stylebatch.run.targets import KINDS, Needs, Warmed, warm_targets
from stylebatch.system.words import counted


@dataclass
class Planned:
    """What a manifest's plan says of its styles.

    Attributes:
        unreadable: paths of style images that can't be read.
    """

    styles: dict[str, Style]
    needs: Needs
    unreadable: list[str] = field(default_factory=list)


def plan_styles(manifest: Manifest) -> Planned:
    """Return a manifest's styles, and the sizes of the images that each is for; no torch.

    Raises:
        UserError: what a plan is refused for.
    """
    needs = Needs(manifest)
    with open_to_plan(manifest.dataset()) as ledger:
        _, summary, styles = make_plan(manifest, ledger, redo=True, note=needs.note)
    return Planned(styles, needs, summary.unreadable_styles)


def warm_manifest(
    manifest: Manifest,
    tell: Callable[[Notice], object],
    tick: Callable[[int, int], object] = lambda done, total: None,
) -> tuple[Planned, Warmed]:
    """Compute all style targets that a manifest's images need; errors as `warm_targets`."""
    planned = plan_styles(manifest)
    return planned, warm_targets(manifest, planned.needs, planned.styles, tell, tick)


@dataclass(frozen=True, slots=True)
class ToExport:
    """Styles of a manifest that are to be files.

    Attributes:
        names: of their files, in the order in which these are made.
    """

    manifest: Manifest
    planned: Planned
    chosen: dict[str, Style]
    names: list[str]

    def files(
        self,
        label: Label,
        tell: Callable[[Notice], object],
        tick: Callable[[int, int], object] = lambda done, total: None,
    ) -> Iterator[bytes]:
        """Yield them one by one, as files; what is missing of their targets is computed first.

        Raises:
            UserError: as `warm_targets`, and styles that can't be read.
        """
        manifest, needs = self.manifest, self.planned.needs
        warmed = warm_targets(manifest, needs, self.chosen, tell, tick)
        raise_all(warmed.problems)
        images = StyleImages(manifest.root, manifest.cache)
        for name, style in zip(self.names, self.chosen.values(), strict=True):
            requests = [each.described for each in needs.requests(style.key, warmed.kinds)]
            yield export_style(style.images[0], name, requests, images, manifest.cache, label)


def choose_to_export(manifest: Manifest, names: Sequence[str]) -> ToExport:
    """Choose styles of a manifest; no torch.

    Args:
        names: names or keys of style entries, none for all.

    Raises:
        LibraryError: no such style, a blend, or two of one name.
        UserError: what a plan is refused for.
    """
    planned = plan_styles(manifest)
    chosen = _choose(manifest, planned.styles, names)
    called = [export_name(style.images[0], style.name) for style in chosen.values()]
    return ToExport(manifest, planned, chosen, called)


def _choose(manifest: Manifest, styles: dict[str, Style], names: Sequence[str]) -> dict[str, Style]:
    problems, chosen, where = list[UserError](), dict[str, Style](), manifest.path.name
    known = [*styles, *(style.name for style in styles.values())]
    for name in names:
        found = [style for key, style in styles.items() if name in (key, style.name)]
        if not found:
            near = get_close_matches(name, known, n=1)
            todo = f"did you mean '{near[0]}'?" if near else ""
            problems.append(
                LibraryError(where, f"no style '{name}'", f"there are {first_of(styles)}", todo)
            )
        chosen |= {style.key: style for style in found}
    chosen = chosen if names else styles
    by_name: dict[str, str] = {}
    for style in chosen.values():
        if len(style.images) > 1:
            found_there = f"'{style.key}' is a blend of {counted(len(style.images), 'image')}"
            todo = "export these, then blend `library:NAME`"
            problems.append(LibraryError(where, found_there, "a file is one image's", todo))
        if (other := by_name.setdefault(style.name, style.key)) != style.key:
            twins = f"'{other}' and '{style.key}' would both be {style.name}"
            problems.append(LibraryError(where, twins, "", "export them one by one, by path"))
    raise_all(problems)
    return chosen


def export_of_entry(entry: Entry, cache: Path, label: Label) -> bytes:
    """Return a style of the library, or of the cache, as a file; no torch.

    Raises:
        LibraryError: it is damaged, or the cache does not tell what it is of.
        StyleError: its image is no longer where it was.
    """
    if entry.problem or not entry.digest:
        found = entry.problem or "the cache does not tell what these targets are of"
        todo = "export it from a manifest: --manifest"
        raise LibraryError(entry.reference, found, "", todo)
    source = entry.reference if entry.file is not None else entry.cached[-1].of.source
    image = StyleImage(source, 1.0, entry.digest)
    images = StyleImages(Path("/"), cache)
    return export_style(image, entry.name, entry.requests, images, cache, label)


def needed_targets(manifest: Manifest) -> tuple[frozenset[str], frozenset[str]]:
    """Return the keys of all targets that a manifest's images need, on any device; no torch.

    Returns:
        with them the styles of the library that it names.
    """
    planned = plan_styles(manifest)
    images = [(key, image) for key, style in planned.styles.items() for image in style.images]
    keys = {
        request.cache_key(image.digest)
        for key, image in images
        for request in planned.needs.requests(key, KINDS)
    }
    named = {image.path for _, image in images if is_of_library(image.path)}
    return frozenset(keys), frozenset(named)

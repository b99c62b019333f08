"""The photographs themselves as jobs: which of them are carried over, and under which names."""

from collections.abc import Iterable, Mapping

from stylebatch.manifest import Manifest, Pair, base_name
from stylebatch.output import naming
from stylebatch.plan.fingerprint import draw_share, original_fingerprint
from stylebatch.plan.inputs import KnownFile
from stylebatch.plan.splits import Part
from stylebatch.recipes import Settings


def find_carriers(manifest: Manifest) -> Mapping[str, Settings]:
    """Return the pairs that carry their photographs over, by name, with the settings for it.

    Each photograph is carried over once: by the first point of a sweep, and by the first of the
    pairs that would make the same of it.
    """
    carriers: dict[str, Settings] = {}
    seen: set[tuple[object, ...]] = set()
    for pair in manifest.pairs:
        if (settings := pair.carrying) is None:
            continue
        keys: set[tuple[object, ...]] = {
            ("pair", base_name(pair.name)),
            (
                *("same", pair.content, pair.into, pair.originals, settings.id),
                pair.selection,
                pair.split,
            ),
        }
        if seen.isdisjoint(keys):
            carriers[pair.name] = settings
        seen |= keys
    return carriers


class Carrier:
    """Chooses and names one pair's photographs that are carried over."""

    def __init__(self, pair: Pair, seed: int, settings: Settings | None) -> None:
        """Begin with the settings that `find_carriers` has for the pair, None if none."""
        self.pair, self.seed, self.settings = pair, seed, settings

    def is_carried(self, path: str, *, is_stylised: bool) -> bool:
        """Whether a photograph (path below the content folder) is carried over.

        Of those that are stylised a share; of what a model is judged by all.
        """
        share = self.pair.originals.share if is_stylised else 1
        return self.settings is not None and (share == 1 or draw_share(self.seed, path) < share)

    def name_all(self, part: Part, taken: Iterable[str], *, hash_all: bool) -> dict[str, str]:
        """Return the names of those of a part's photographs that are carried over, by path.

        Args:
            taken, hash_all: as in `naming.names_of_originals`.
        """
        if self.settings is None:
            return {}
        paths = [stat.path for stat in part.stats]
        carried = [path for path in paths if self.is_carried(path, is_stylised=part.is_stylised)]
        suffixes = [self._suffix(path) for path in carried]
        names = naming.names_of_originals(carried, taken, suffixes, hash_all=hash_all)
        return dict(zip(carried, names, strict=True))

    def _suffix(self, path: str) -> str:
        assert self.settings is not None
        if self.settings.carries == "link":
            return f".{path.rpartition('.')[2].lower()}"
        return self.settings.file_format.suffix

    def fingerprint(self, file: KnownFile) -> str:
        """Return the fingerprint of a photograph as it is carried over."""
        assert self.settings is not None
        size = file.width, file.height
        file_size = size
        if file.width and self.settings.carries == "copy":
            work = self.settings.work_size(*size)
            file_size = self.settings.recipe.file_size(*size, work)
        return original_fingerprint(self.settings, file.digest, size, file_size)

"""What a pair says of its photographs' annotations, and which file belongs to which photograph."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from stylebatch.annotations import voc, yolo
from stylebatch.errors import UserError
from stylebatch.pictures.images import IMAGE_SUFFIXES
from stylebatch.system import files, listing
from stylebatch.system.paths import below

# Kinds with a file for each image, and where those of an output are.
FOLDERS = {
    "yolo": "labels",
    "voc": "annotations_voc",
    "segmentation": "masks",
    "files": "files",
}
# Kinds with one file for all images.
WHOLE = {"coco": "annotations_coco.json", "csv": "annotations.csv"}
_OF_YOLO = frozenset((yolo.SUFFIX,))
_OF_VOC = frozenset((voc.SUFFIX,))


@dataclass(frozen=True, slots=True)
class Annotations:
    """The annotations of a pair's photographs; paths as in `Pair`, "" where there are none.

    Attributes:
        yolo, voc, segmentation: folders laid out as the content folder is.
        coco, csv: files.
        csv_image: the column of a table that names images, "" where it is to be found.
        csv_box: its columns of left, top, right and bottom edges, () where they are to be found.
        files: suffixes, with their dot, of files beside the photographs.
    """

    yolo: str = ""
    voc: str = ""
    coco: str = ""
    segmentation: str = ""
    csv: str = ""
    csv_image: str = ""
    csv_box: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    malformed: Literal["fail", "warn"] = "fail"

    def kinds(self) -> list[str]:
        """Return the kinds that there are."""
        return [kind for kind in (*FOLDERS, *WHOLE) if getattr(self, kind)]

    def to_json(self) -> dict[str, Any]:
        """Return it as what `from_json` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Make one again."""
        lists = {key: tuple(told[key]) for key in ("csv_box", "files")}
        return cls(**{**told, **lists})


class SourceError(UserError):
    """Annotations that can't be read: a folder that is closed to us, a disk that fails."""

    @classmethod
    @contextmanager
    def told(cls, place: str) -> Iterator[None]:
        """Let what the system says be about a source, and not about the output."""
        try:
            yield
        except OSError as error:
            found = f"can't be read ({error.strerror or error})"
            raise cls(str(error.filename or place), found, "", "look at who may read it") from error


class FoundFile(NamedTuple):
    """A source: its path from the manifest's folder, its bytes and time of change."""

    path: str
    size: int
    mtime_ns: int


class Sources:
    """The annotations of one pair where they lie.

    Args:
        root: the manifest's folder.
        content: the content folder, from there.
    """

    def __init__(self, root: Path, content: str, told: Annotations) -> None:
        self.root, self.content, self.told = root, content, told
        self._listed = lru_cache(maxsize=8)(self._list)

    @property
    def is_strict(self) -> bool:
        """Whether what is malformed is a failure."""
        return self.told.malformed == "fail"

    def path_of(self, content: str) -> str:
        """Return a photograph's path below the content folder."""
        return content.removeprefix(f"{self.content}/")

    def place(self, kind: str) -> str:
        """Return the folder or the file of a kind, from the manifest's folder."""
        return self.content if kind == "files" else str(getattr(self.told, kind))

    def is_there(self, kind: str) -> bool:
        """Whether a kind's folder or file is where it should be."""
        return files.stat_file(self.root / self.place(kind)) is not None

    def suffixes(self, kind: str) -> tuple[str, ...]:
        """Return what tells several files of a kind apart that one photograph may have."""
        return self.told.files if kind == "files" else ("",)

    def find(self, kind: str, path: str, suffix: str) -> list[FoundFile]:
        """Return a photograph's files of a kind: one, if all is well.

        Args:
            path: the photograph's, below the content folder.
            suffix: one of `suffixes`.
        """
        folder, _, name = path.rpartition("/")
        stem = name.rpartition(".")[0]
        listed = self._listed(below(self.place(kind), folder), self.read_suffixes(kind))
        if kind != "files":
            return listed.get(stem, [])
        # The side file of a.jpg is a.json, or a.jpg.json.
        stems = (f"{stem}{suffix}".rpartition(".")[0], f"{name}{suffix}".rpartition(".")[0])
        found = [each for key in stems for each in listed.get(key, ())]
        return [each for each in found if each.path.endswith(suffix)][:1]

    def strays(self, kind: str, paths: Iterable[str]) -> Iterator[str]:
        """Yield the files of a kind that belong to none of all photographs."""
        stems = {path.rpartition(".")[0] for path in paths}
        for _, found in self._walk(self.place(kind), self.read_suffixes(kind)):
            for each in found:
                is_list = kind == "yolo" and each.path.rpartition("/")[2] == yolo.CLASSES
                if each.path.rpartition(".")[0] not in stems and not is_list:
                    yield below(self.place(kind), each.path)

    def read_suffixes(self, kind: str) -> frozenset[str]:
        """Return the suffixes of the files that a kind reads, in lower case, each its last."""
        if kind == "files":
            return frozenset(f".{each.rpartition('.')[2].lower()}" for each in self.told.files)
        return {"yolo": _OF_YOLO, "voc": _OF_VOC}.get(kind, IMAGE_SUFFIXES)

    def beside_labels(self, names: Iterable[str]) -> FoundFile | None:
        """Return the first file of some names in the folder of YOLO's labels, or the one above."""
        for folder in (self.told.yolo, self.told.yolo.rpartition("/")[0]):
            for name in names:
                path = below(folder, name)
                if stat := files.stat_file(self.root / path):
                    return FoundFile(path, *stat)
        return None

    @cached_property
    def photographs(self) -> tuple[str, ...]:
        """The paths of all photographs below the content folder, if that is there; read once."""
        if files.stat_file(self.root / self.content) is None:
            return ()
        walk = self._walk(self.content, IMAGE_SUFFIXES)
        return tuple(each.path for _, found in walk for each in found)

    def stats(self) -> Iterator[FoundFile]:
        """Yield all files that the annotations are read from."""
        for kind in self.told.kinds():
            place = self.root / self.place(kind)
            stat = files.stat_file(place)
            if kind in WHOLE or stat is None:
                yield FoundFile(self.place(kind), *(stat or (-1, 0)))
                continue
            for _, found in self._walk(self.place(kind), self.read_suffixes(kind)):
                for each in found:
                    path = f"{self.place(kind)}/{each.path}"
                    yield FoundFile(path, each.size, each.mtime_ns)
        if self.told.yolo:
            beside = (self.beside_labels(yolo.DATA), self.beside_labels((yolo.CLASSES,)))
            yield from filter(None, beside)

    def _walk(
        self, folder: str, suffixes: frozenset[str]
    ) -> Iterator[tuple[str, list[listing.FileStat]]]:
        with SourceError.told(folder):
            yield from listing.walk_files(self.root / folder, suffixes)

    def _list(self, folder: str, suffixes: frozenset[str]) -> dict[str, list[FoundFile]]:
        listed: dict[str, list[FoundFile]] = {}
        with SourceError.told(folder):
            there = listing.list_files(self.root / folder, suffixes)
        for stat in there:
            found = FoundFile(below(folder, stat.path), stat.size, stat.mtime_ns)
            listed.setdefault(stat.path.rpartition(".")[0], []).append(found)
        return listed


class ImageNames:
    """Photographs by what files call them: the path below the content folder, or its tail.

    Args:
        content: the content folder.
        paths: of all photographs, below it.
    """

    def __init__(self, content: str, paths: Iterable[str]) -> None:
        self._content = content.replace("\\", "/")
        self._paths = set(paths)
        self._by_name: dict[str, list[str]] = {}
        for path in self._paths:
            self._by_name.setdefault(path.rpartition("/")[2], []).append(path)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._paths))

    def find(self, name: str) -> list[str]:
        """Return the photographs that a name may mean: none, one, or too many."""
        name = name.strip().replace("\\", "/").removeprefix("./")
        if name in self._paths:
            return [name]
        return sorted(
            path
            for path in self._by_name.get(name.rpartition("/")[2], ())
            if f"/{below(self._content, path)}".endswith(f"/{name}")
        )

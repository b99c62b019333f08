"""An output as a PyTorch data set: of each photograph itself, or one of its stylised versions.

Imports torch, Pillow and nothing of the pipeline.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, overload

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset

from stylebatch.errors import UserError

Keep = Callable[[dict[str, Any]], bool]
# The label of a photograph that lies in no class folder. Losses refuse it.
NO_CLASS = -1
# What is in no split belongs there, where others are in one.
_TRAIN = "train"
_KEYS = {"file_name", "kind", "content", "label", "split"}


class DataError(UserError):
    """An output, an argument or an image that can't be used for training."""


class StylisedDataset(Dataset[tuple[Any, int]]):
    """A photograph an item, in an order that stays: itself, or one of its stylised versions.

    Which of them, is drawn anew for each item of each epoch: with `probability` a stylised one,
    each of its versions as likely as the others. A photograph without any is given itself. So an
    epoch is as long as with photographs alone, and a label is as frequent.

    After `set_epoch` all that is drawn for an item, in the transform too where it draws by torch,
    depends on seed, epoch and index alone: not on the number of workers, the order of a sampler, or
    what was drawn before. Without it torch draws as for any other transform: anew in each epoch,
    by `torch.manual_seed`, and otherwise for another number of workers; `seed` says nothing then.

    Attributes:
        classes: the labels of the whole output, sorted; of all splits, so that their numbers agree.
        class_to_idx: the number of each.
        targets: the label of each item, as `classes` counts, or `NO_CLASS`.
        contents: the path of each item's photograph from the manifest's folder.
    """

    def __init__(
        self,
        root: str | PathLike[str],
        *,
        split: str | None = None,
        probability: float = 0.5,
        transform: Callable[[Image.Image], Any] | None = None,
        seed: int = 0,
        keep: Keep | None = None,
        manifest_folder: str | PathLike[str] | None = None,
    ) -> None:
        """Read the output's `metadata.jsonl`; images are read when they are asked for.

        Args:
            root: the output, with `metadata.jsonl` and `images/`. A run that goes on there is no
                harm: what it makes later is not in here.
            split: whose images to take, by the manifest's names; None where there are no splits.
                Images in no split belong to `train` where others are in one.
            probability: of a stylised version, 0 to 1.
            transform: takes an upright RGB image of Pillow's, as torchvision's v2 transforms do.
                Sizes are its business: without `output_size` an output has all sizes.
            seed: any whole number.
            keep: takes a stylised image's line of the metadata and says whether it may be given:
                for some styles or strengths only, say. Photographs stay, with or without versions.
            manifest_folder: where photographs are that the output has no copy of (`originals` is
                none, or a share): `content` is told from there. Without it, the folder that the
                output is in. Those are turned upright, but keep their size and colour profile.

        Raises:
            DataError: no metadata or none that can be read, no images, a split that is not there, a
                probability out of range, or photographs that are not found.
        """
        if not 0 <= probability <= 1:
            raise DataError("probability", f"{probability} is none", "allowed is 0 to 1")
        if "://" in str(root):
            todo = f"download it and name that folder, as by `aws s3 sync {root} out`"
            raise DataError(str(root), "is in an object store", "allowed is a folder", todo)
        self.root, self.probability, self.transform = Path(root), probability, transform
        self.split, self.seed = split, seed
        self._contents_root = Path(manifest_folder or self.root.absolute().parent)
        lines = list(_read(self.root / "metadata.jsonl", keep))
        self.classes = sorted({line.label for line in lines if line.label is not None})
        self.class_to_idx = {label: number for number, label in enumerate(self.classes)}
        photographs = _by_content(_of_split(lines, split, self.root))
        if not photographs:
            raise DataError(str(self.root), "it has no images", "", "run it first")
        self.contents = _Texts(photographs)
        every = photographs.values()
        self.targets = [
            NO_CLASS if each.label is None else self.class_to_idx[each.label] for each in every
        ]
        self._originals = _Texts(each.original for each in every)
        self._versions = _Texts(path for each in every for path in each.versions)
        counts = torch.tensor([0, *(len(each.versions) for each in every)])
        self._ends = counts.cumsum(0)
        # In memory that workers share, so that those which persist see it change. -1: not set.
        self._epoch = torch.full((), -1, dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]
        self._check_photographs(every)

    def _check_photographs(self, photographs: "Iterable[_Photograph]") -> None:
        """Look whether the first photograph is there that is read from the content."""
        for index, each in enumerate(photographs):
            if not each.original and (self.probability < 1 or not each.versions):
                if "://" in self.contents[index]:
                    found = "is in an object store, and the output has no copy of it"
                    todo = "make `originals: copy`"
                    raise DataError(self.contents[index], found, "", todo)
                path = self._contents_root / self.contents[index]
                if not path.is_file():
                    found = "no such photograph, and the output has no copy of it"
                    todo = "say where it is by `manifest_folder`, or make `originals: copy`"
                    raise DataError(str(path), found, "", todo)
                return

    def __len__(self) -> int:
        """How many photographs there are."""
        return len(self.contents)

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes, before its iteration begins: workers that persist see it too.

        Args:
            epoch: 0 or more.

        Raises:
            DataError: less than 0.
        """
        if epoch < 0:
            raise DataError("epoch", f"{epoch} is none", "allowed is 0 or more")
        self._epoch.fill_(epoch)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Return an image, transformed, and its label.

        Raises:
            IndexError: no such item.
            DataError: an image that is gone or can't be read.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"{index}: allowed is 0 to {len(self) - 1}")
        index %= len(self)
        with self._drawing_for(index):
            image = _open(self._draw_path(index))
            return self.transform(image) if self.transform else image, self.targets[index]

    def _draw_path(self, index: int) -> Path:
        first, end = map(int, self._ends[index : index + 2])
        # Always both, so that what follows does not depend on what came of the first.
        chance, place = map(float, torch.rand(2, dtype=torch.float64))
        if first < end and (chance < self.probability):
            return self.root / self._versions[first + int(place * (end - first))]
        if original := self._originals[index]:
            return self.root / original
        return self._contents_root / self.contents[index]

    @contextmanager
    def _drawing_for(self, index: int) -> Iterator[None]:
        """Let torch draw by seed, epoch and index, and go on as before afterwards."""
        epoch = int(self._epoch)
        if epoch < 0:
            yield
            return
        text = f"{self.seed}\0{epoch}\0{index}".encode()
        before = torch.get_rng_state()
        # Not `torch.manual_seed`: that seeds devices too, and leaves them so.
        torch.default_generator.manual_seed(
            int.from_bytes(blake2b(text, digest_size=8).digest()) >> 1
        )
        try:
            yield
        finally:
            torch.set_rng_state(before)


class _Line(NamedTuple):
    """What is needed of a line of the metadata: of a million, all would take gigabytes."""

    file_name: str
    content: str
    label: str | None
    split: str | None
    is_original: bool
    is_kept: bool


class _Photograph:
    """What the output has of one photograph: paths from its root."""

    def __init__(self, label: str | None) -> None:
        self.label = label
        self.original = ""
        self.versions: list[str] = []


class _Texts(Sequence[str]):
    """Texts in two tensors: a list would be copied, bit by bit, into every worker that reads it."""

    def __init__(self, texts: Iterable[str]) -> None:
        encoded = [text.encode() for text in texts]
        self._bytes = torch.frombuffer(
            bytearray(b"".join(encoded)) or bytearray(1), dtype=torch.uint8
        )
        self._ends: Tensor = torch.tensor([0, *map(len, encoded)]).cumsum(0)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        first, end = self._ends[index : index + 2].tolist()
        return bytes(self._bytes[first:end].tolist()).decode()


def _read(path: Path, keep: Keep | None) -> Iterator[_Line]:
    todo = f"run `stylebatch metadata {path.parent}`"
    try:
        with path.open(encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                row = json.loads(text)
                if not _is_line(row):
                    found = "no line, or one of an older stylebatch"
                    raise DataError(f"{path}:{number}", found, "", todo)
                is_original = row["kind"] == "original"
                is_kept = is_original or keep is None or keep(row)
                label, split = (each and sys.intern(each) for each in (row["label"], row["split"]))
                yield _Line(row["file_name"], row["content"], label, split, is_original, is_kept)
    except (OSError, ValueError, RecursionError) as error:  # of JSON too
        raise DataError(str(path), f"can't be read ({error})", "", todo) from error


def _is_line(row: Any) -> bool:
    if not isinstance(row, dict) or not row.keys() >= _KEYS:
        return False
    texts, names = (row["file_name"], row["content"]), (row["label"], row["split"])
    return (
        all(isinstance(text, str) for text in texts)
        and all(name is None or isinstance(name, str) for name in names)
        # JSON can write halves of pairs, which no name has.
        and not any(
            "\ud800" <= char <= "\udfff" for text in (*texts, *names) for char in text or ""
        )
        and str(row["file_name"]).startswith("images/")
    )


def _of_split(lines: list[_Line], split: str | None, root: Path) -> list[_Line]:
    """Return the lines of a split."""
    there = {line.split for line in lines}
    names = sorted({name or _TRAIN for name in there} if there != {None} else set())
    if split is None and not names:
        return lines
    if split not in names:
        found = f"no split {split!r}" if split else "it has splits"
        allowed = ", ".join(f"`split={name!r}`" for name in names) or "none: there are no splits"
        raise DataError(str(root), found, f"allowed is {allowed}", "choose one of these")
    return [line for line in lines if (line.split or _TRAIN) == split]


def _by_content(lines: list[_Line]) -> dict[str, _Photograph]:
    photographs: dict[str, _Photograph] = {}
    for line in lines:
        photograph = photographs.setdefault(line.content, _Photograph(line.label))
        if line.is_original:
            photograph.original = line.file_name
        elif line.is_kept:
            photograph.versions.append(line.file_name)
    return photographs


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except OSError as error:
        todo = "a run may have replaced or set it aside: make the data set anew"
        raise DataError(str(path), f"can't be read ({error})", "", todo) from error

"""The data set's card: a README.md from which Hugging Face's `datasets` loads the output."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from itertools import chain, count, takewhile
from typing import Any

import yaml

from stylebatch.output.acceptance import SCORES
from stylebatch.output.by_names import CALLED, ByNames, table_folder
from stylebatch.output.json_lines import json_line
from stylebatch.output.layout import Dataset
from stylebatch.run.card_text import card_text, new_card
from stylebatch.system import files

# Of a column that has null only. Others are what their first value is.
_DTYPES = {
    **dict.fromkeys(("variant", "seed", "evaluations", "retries", "levels", "pages"), "int64"),
    **dict.fromkeys(("strength", "seconds", *SCORES), "float64"),
    **dict.fromkeys(("restored", "retried_with_adam", "accepted"), "bool"),
}
_DTYPES_OF = {str: "string", bool: "bool", int: "int64", float: "float64"}
_VALUES = {"bool": False, "int64": 0, "float64": 0.0}
# The kind of the line that is no image.
_TYPES = "types of the columns"
_LOSSES = ("content", "style", "total", "tv")
# Lines that are written anew, of the YAML and of the text; all others are the user's.
_MARKS = (
    ("# <stylebatch> written anew by every run", "# </stylebatch>"),
    ("<!-- <stylebatch> written anew by every run -->", "<!-- </stylebatch> -->"),
)
# A glob's own characters: a folder with one of them in its name is not told from others by it.
_SPECIAL = re.compile(r"[*?\[\]{}!]")
# `datasets` goes by the most frequent suffix: there have to be more images than tables.
_FEW_IMAGES = 3
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))


def name_splits(splits: Iterable[str | None]) -> dict[str | None, str]:
    """Return what `datasets` is to call each split: its own names, letters, digits and `_`.

    Of two that it would call the same, both keep theirs. What is in no split is in `train`.
    """
    named = sorted(filter(None, splits))
    uses = Counter(CALLED.get(name.lower()) for name in named)
    found: dict[str | None, str] = {}
    for name in named:
        called = CALLED.get(name.lower())
        plain = re.sub(r"\W", "_", name) if called is None or uses[called] > 1 else called
        # Files are called by it too, and some disks don't tell names apart by case.
        taken = {each.lower() for each in found.values()}
        numbers = (f"{plain}_{number}" for number in count(2))
        found[name] = next(each for each in chain([plain], numbers) if each.lower() not in taken)
    return {None: "train"} | found


class Card:
    """Gathers what the card tells while the lines of the metadata are written, then writes it.

    Where there are several splits, each has a file of its lines beside `metadata.jsonl`:
    `datasets` takes all lines of a file for one split, and images below that file's folder only.

    Attributes:
        rows: of each split by `datasets`' name, how many images of each kind there are.
        pairs: of each pair and settings, likewise.
        folders: what the folders of each pair's photographs have in common.
        styles: how many images each style has.
        by_names: what `datasets` makes of the images where it has to go by names.
    """

    def __init__(self, dataset: Dataset, splits: Iterable[str | None]) -> None:
        """Begin with what is there; `splits`: of all images, None for those in none."""
        self._dataset = dataset
        self._before = _read(dataset)
        self._splits = name_splits(splits)
        names = sorted({self._splits[split] for split in splits}, key=_place)
        self.rows: dict[str, Counter[str]] = {name: Counter() for name in names or ["train"]}
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.folders: dict[str, str] = {}
        self.styles: Counter[str] = Counter()
        self.by_names = ByNames()
        self._labels: set[str] = set()
        self._globs: dict[str, set[tuple[str, str]]] = {name: set() for name in self.rows}
        self._columns: dict[str, Any] = {}

    @property
    def is_ours(self) -> bool:
        """Whether there is none, or one of which we write a part."""
        return self._before is None or _parted(self._before) is not None

    @property
    def split_files(self) -> dict[str, str]:
        """Names of the files of each split's lines; none where the whole is one split."""
        if len(self.rows) == 1 or not self.is_ours:
            return {}
        return {name: f"metadata-{name}.jsonl" for name in self.rows}

    @property
    def count(self) -> int:
        """How many images it has been told of."""
        return sum(map(Counter.total, self.rows.values()))

    @property
    def labels(self) -> list[str]:
        """The classes, in the order of their numbers."""
        return sorted(self._labels)

    @property
    def settings_ids(self) -> set[str]:
        """The settings of all images."""
        return {settings_id for _, settings_id in self.pairs}

    def tell(self, row: dict[str, Any]) -> dict[str, Any]:
        """Take a line of the metadata, and give it back."""
        name = self._splits[row["split"]]
        self.rows[name][row["kind"]] += 1
        self.pairs[row["pair"], row["settings_id"]] += 1
        folder = row["content"].rpartition("/")[0]
        self.folders[row["pair"]] = _common(self.folders.get(row["pair"], folder), folder)
        if row["style"]:
            self.styles[row["style"]] += 1
        if row["label"] is not None:
            self._labels.add(row["label"])
        self._note_place(row["file_name"], row["split"], name)
        for key, value in row.items():
            if self._columns.get(key) is None:
                self._columns[key] = value
        return row

    def _note_place(self, path: str, split: str | None, name: str) -> None:
        """Note below which folder a split's images are, and their names."""
        folder, _, file = path.partition("/")[2].rpartition("/")
        below = "/".join(filter(None, (self._dataset.images.name, table_folder(folder, split))))
        # By suffixes: among the images lie the tables that load_dataset("imagefolder") takes.
        self._globs[name].add((below, file[file.rindex(".") :]))
        self.by_names.tell(folder, [file], split)

    def write(
        self, rows: Iterable[Mapping[str, Any]], settings: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Write the card, or the part of it that is ours; nothing where none of it is.

        Args:
            rows: all lines of the metadata again, for the files of the splits.
        """
        if not self.is_ours:
            return
        if self.split_files:
            self._write_split_files(rows)
        parts = [
            "\n".join((begin, text.rstrip("\n"), end))
            for (begin, end), text in zip(
                _MARKS, (self._yaml(), card_text(self, settings)), strict=True
            )
        ]
        before = self._before
        if before is None:
            text = new_card(self._dataset.name, *parts)
        else:
            pieces = _parted(before)
            assert pieces is not None
            text = f"{pieces[0]}{parts[0]}{pieces[2]}{parts[1]}{pieces[4]}"
        if text != before:
            files.write_atomic(self._dataset.card, text.encode(), make_folders=False)
        for name in _split_files_of(before or "") - set(self.split_files.values()):
            files.remove_file(self._dataset.root / name)

    def _write_split_files(self, rows: Iterable[Mapping[str, Any]]) -> None:
        with ExitStack() as stack:
            write = {
                name: stack.enter_context(files.lines_atomic(self._dataset.root / file))
                for name, file in self.split_files.items()
            }
            for each in write.values():
                each(json_line(self._types()))
            for row in rows:
                write[self._splits[row["split"]]](json_line(row))

    def _types(self) -> dict[str, Any]:
        """Return a line that gives every column its type: `datasets` compares those of splits.

        In a split of photographs alone most have no value. `filters` in the YAML leaves it out.
        """
        line: dict[str, Any] = {"file_name": ""}
        for feature in self._features()[1:]:
            if "struct" in feature:
                line[feature["name"]] = {each["name"]: 0.0 for each in feature["struct"]}
            else:
                line[feature["name"]] = _VALUES.get(str(feature["dtype"]), "")
        return line | {"kind": _TYPES}

    def _yaml(self) -> str:
        size = next((name for limit, name in _SIZES if self.count < limit), "n>1M")
        features = self._features()
        config: dict[str, Any] = {"config_name": "default", "data_files": self._data_files()}
        if self.split_files:
            config["metadata_filenames"] = list(self.split_files.values())
            config["filters"] = [["kind", "!=", _TYPES]]
        told = {
            "size_categories": [size],
            "configs": [config | {"features": features}],
            # Once more, for the hub's viewer; the same list to YAML.
            "dataset_info": {"config_name": "default", "features": features},
        }
        return yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=100)

    def _data_files(self) -> list[dict[str, Any]]:
        table = self.split_files or dict.fromkeys(self.rows, self._dataset.metadata.name)
        found = []
        for name, counts in self.rows.items():
            globs = self._globs[name]
            if (
                not self.split_files
                or counts.total() <= _FEW_IMAGES
                or any(_SPECIAL.search(below) for below, _ in globs)
            ):
                every = set[tuple[str, str]]().union(*self._globs.values())
                globs = {(self._dataset.images.name, suffix) for _, suffix in every}
            paths = [f"{below}/**/*{suffix}" for below, suffix in sorted(globs)]
            found.append({"split": name, "path": [*paths, table[name]]})
        return found

    def _features(self) -> list[dict[str, Any]]:
        features: list[dict[str, Any]] = [{"name": "image", "dtype": "image"}]
        for key, value in self._columns.items():
            if key == "file_name":
                continue
            if key == "label" and self._labels:
                names = {str(number): label for number, label in enumerate(self.labels)}
                features.append({"name": key, "dtype": {"class_label": {"names": names}}})
            elif key == "losses" or isinstance(value, dict):
                struct = [{"name": name, "dtype": "float64"} for name in value or _LOSSES]
                features.append({"name": key, "struct": struct})
            else:
                dtype = _DTYPES.get(key) or _DTYPES_OF.get(type(value), "string")
                features.append({"name": key, "dtype": dtype})
        return features


def _place(split: str) -> tuple[int, str]:
    usual = ("train", "validation", "test")
    return (usual.index(split) if split in usual else len(usual), split)


def _common(one: str, other: str) -> str:
    """Return the folder that two are in, or are."""
    if one == other:
        return one
    pairs = zip(one.split("/"), other.split("/"), strict=False)
    return "/".join(first for first, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _read(dataset: Dataset) -> str | None:
    """Return the card that is there; what is no text is not ours."""
    try:
        return files.read_bytes(dataset.card).decode()
    except FileNotFoundError:
        return None
    except (IsADirectoryError, UnicodeDecodeError):
        return ""


def _parted(text: str) -> list[str] | None:
    """Return what stands before, in, between, in and after our two parts; None without both."""
    places = [mark for marks in _MARKS for mark in marks]
    if any(text.count(mark) != 1 for mark in places):
        return None
    inner = r"(.*?)".join(f"({re.escape(begin)}.*?{re.escape(end)})" for begin, end in _MARKS)
    found = re.fullmatch(f"(.*?){inner}(.*)", text, re.DOTALL)
    return list(found.groups()) if found else None


def _split_files_of(text: str) -> set[str]:
    """Return the files of splits that a card names in our part."""
    parted = _parted(text)
    return (
        set(re.findall(r"^\s*- (metadata-\w+\.jsonl)$", parted[1], re.MULTILINE))
        if parted
        else set()
    )

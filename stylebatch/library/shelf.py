"""The library: styles by name, each a file in a folder beside the cache of targets."""

import errno
import posixpath
from collections.abc import Iterable, Iterator
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from stylebatch.errors import RunError
from stylebatch.library.errors import LibraryError
from stylebatch.library.style_file import SUFFIX, StyleFile
from stylebatch.system import files
from stylebatch.system.paths import expand_home, on_disk

PREFIX = "library:"
FOLDER = "styles"
MAX_NAME_BYTES = 80
NAMES = f"allowed is a name without / and :, with no leading dot, up to {MAX_NAME_BYTES} bytes"
_MOST_NAMED = 8


def is_of_library(path: str) -> bool:
    """Whether what stands for a style image's path is a name in the library, or a file of one."""
    return path.startswith(PREFIX)


def normalised(reference: str) -> str:
    """Return a reference as styles' keys have it: of a file without dots in its path."""
    told = expand_home(reference.removeprefix(PREFIX))
    return PREFIX + (posixpath.normpath(told) if told.endswith(SUFFIX) else told)


def name_of(reference: str) -> str:
    """Return the name of the style that a reference means: `library:NAME`, `library:FILE`."""
    return reference.removeprefix(PREFIX).rpartition("/")[2].removesuffix(SUFFIX)


class Library:
    """The styles below a cache folder; any that a manifest names by file as well."""

    def __init__(self, cache: Path, root: Path = Path()) -> None:
        """Use a folder of a cache; nothing is made there before a style is.

        Args:
            root: where the paths of `library:FILE` start.
        """
        self.folder, self._root = cache / FOLDER, root

    def names(self) -> list[str]:
        """Return the names that there are; none where there is no such folder.

        Raises:
            LibraryError: it can't be read.
        """
        try:
            found = [path.name for path in self.folder.iterdir() if path.suffix == SUFFIX]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            why, todo = f"can't be read ({error.strerror})", "let yourself read it"
            raise LibraryError(str(self.folder), why, "", todo) from error
        return sorted(name.removesuffix(SUFFIX) for name in found if not name.startswith("."))

    def place(self, name: str) -> Path:
        """Return where a style of the library is, or would be."""
        return self.folder / f"{name}{SUFFIX}"

    def open(self, reference: str) -> StyleFile:
        """Open what `library:NAME` or `library:FILE.safetensors` means.

        Raises:
            LibraryError, DamagedError: no such style, with what there is; or none that can be read.
        """
        told = reference.removeprefix(PREFIX)
        path = on_disk(self._root / told) if told.endswith(SUFFIX) else self.place(told)
        if not told.endswith(SUFFIX) and (problem := name_problem(told)):
            raise LibraryError(reference, f"'{told}' {problem}", NAMES, "correct it")
        if files.stat_file(path) is None:
            raise self._unknown(reference, told)
        return StyleFile.open(path, reference)

    @property
    def _how_to_import(self) -> str:
        return f"`stylebatch styles import FILE --cache {self.folder.parent}`"

    def _unknown(self, reference: str, told: str) -> LibraryError:
        if told.endswith(SUFFIX):
            return LibraryError(reference, f"no file {self._root / told}", "", "correct the path")
        names = self.names()
        near = get_close_matches(told, names, n=1)
        todo = f"did you mean '{PREFIX}{near[0]}'?" if near else self._how_to_import
        there = f"there are {first_of(names)}" if names else "there is none"
        return LibraryError(reference, f"no style '{told}' in {self.folder}", there, todo)

    def all(self) -> Iterator[StyleFile | LibraryError]:
        """Yield each style of the folder, or what is wrong with it."""
        for name in self.names():
            try:
                yield self.open(PREFIX + name)
            except LibraryError as problem:
                yield problem

    def put(self, data: bytes, name: str, *, is_replacing: bool = False) -> bool:
        """Keep a style under a name, in one step; return whether it was not there already.

        Raises:
            LibraryError: the name is taken by another, or is none.
            RunError: it can't be written.
        """
        if problem := name_problem(name):
            raise LibraryError(name, f"'{name}' {problem}", NAMES, "choose another: --as NAME")
        path = self.place(name)
        try:
            files.make_folder(self.folder)
            files.sweep_unfinished(self.folder, files.UNFINISHED_S)
            if is_replacing:
                files.write_atomic(path, data)
                return True
            files.write_first(path, data)
        except FileExistsError:
            with suppress(OSError):
                if files.read_bytes(path) == data:
                    return False
            taken = f"the library has another style of the name '{name}'"
            raise LibraryError(name, taken, "", "--as NAME, or --replace") from None
        except OSError as error:
            raise unwritable(path, error) from error
        return True

    def remove(self, name: str) -> None:
        """Remove a style; one that is not there is no error."""
        files.remove_file(self.place(name))


def name_problem(name: str) -> str:
    """Return what is wrong with a name, "" if nothing is."""
    if not name:
        return "is empty"
    if name.startswith("."):
        return "begins with a dot"
    if set(name) & set("/:\\") or not name.isprintable():
        return "holds what a name can't"
    return "is too long" if len(name.encode()) > MAX_NAME_BYTES else ""


def unwritable(path: Path, error: OSError) -> RunError:
    """Return what to say where a style's file can't be written: nothing of it is left."""
    todo = "choose another place"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        todo = "free some room, then once more"
    return RunError(str(path), f"can't be written ({error.strerror})", "", todo)


def first_of(names: Iterable[str]) -> str:
    """Name a few of several."""
    known = list(names)
    more = f" and {len(known) - _MOST_NAMED:,} more" if len(known) > _MOST_NAMED else ""
    return f"{', '.join(known[:_MOST_NAMED])}{more}"

"""Folders and files that a manifest names, on a disk or in a store: what is wrong with them."""

from pathlib import Path

from stylebatch.manifest.paths import CORRECT
from stylebatch.pictures.images import IMAGE_SUFFIXES
from stylebatch.system import inputs
from stylebatch.system.inputs import Place
from stylebatch.system.listing import reason_of
from stylebatch.system.object_stores import INSTALL, is_installed, is_remote

NO_IMAGE_BY_SUFFIX = "is no image by its suffix"
_CORRECT_URL = "correct the URL, or the store's variables (docs/object_stores.md)"
_NO_IMAGE = f"holds no image ({', '.join(sorted(IMAGE_SUFFIXES))})"
_NOT_INSTALLED = "is in an object store, which needs obstore, and that is not installed"


def todo_for(path: str) -> str:
    """Return what to do about a path that is not as it should be."""
    if not is_remote(path):
        return CORRECT
    return _CORRECT_URL if is_installed() else INSTALL


def image_folder_problem(place: Place) -> str:
    """Return what keeps a place from being a folder with images in it, "" where nothing does."""
    try:
        if not isinstance(place, Path):
            return _prefix_problem(place)
        if not place.is_dir():
            return "is a file" if place.exists() else "is no folder that exists"
        if not any(place.iterdir()):
            return "is empty (is a disk missing?)"
        if next(inputs.walk_files(place, IMAGE_SUFFIXES), None) is None:
            return _NO_IMAGE
    except (OSError, ValueError) as error:
        return f"can't be read ({error})"
    return ""


def _prefix_problem(place: Place) -> str:
    if not is_installed():
        return _NOT_INSTALLED
    try:
        return "" if next(inputs.walk_files(place, IMAGE_SUFFIXES), None) else _NO_IMAGE
    except FileNotFoundError as error:
        return f"is not there ({reason_of(error)})"
    except OSError as error:
        return f"can't be read ({reason_of(error)})"


def image_file_problem(place: Place) -> str:
    """Return what keeps a place from being an image by its name, "" where nothing does."""
    if not isinstance(place, Path) and not is_installed():
        return _NOT_INSTALLED
    try:
        is_file = inputs.is_file(place)
    except OSError as error:
        return f"can't be read ({reason_of(error)})"
    if not is_file:
        if not isinstance(place, Path):
            return "is no object that exists"
        return "is no file that exists" if place.is_dir() else "is no file or folder that exists"
    return "" if Path(str(place)).suffix.lower() in IMAGE_SUFFIXES else NO_IMAGE_BY_SUFFIX


def file_problem(place: Place) -> str:
    """Return what keeps a place from being a file, "" where nothing does."""
    if not isinstance(place, Path) and not is_installed():
        return _NOT_INSTALLED
    try:
        return "" if inputs.is_file(place) else "is no file that exists"
    except OSError as error:
        return f"can't be read ({reason_of(error)})"

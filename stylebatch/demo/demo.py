"""A small data set to try things on: photographs from scikit-image's wheel, styles of our own."""

import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image, PngImagePlugin

from stylebatch.demo.paintings import PAINTINGS
from stylebatch.errors import Problems, UserError
from stylebatch.system.files import write_atomic

# Public domain, and in the wheel itself: nothing is downloaded. Class, and file of skimage/data.
PHOTOS = (
    ("animals", "chelsea.png"),
    ("machines", "rocket.jpg"),
    ("objects", "coffee.png"),
    ("people", "astronaut.png"),
)
MANIFEST = "pipeline.yaml"
_MARK = "stylebatch demo"

_TEMPLATE = """\
# Turns the demonstration's photographs into a stylised data set: `stylebatch run {name}`.
# Paths are relative to this file.
version: 1
output: {output}
seed: 0

extractor:
  # Comes with the package, a quarter of VGG-19's time. For the last bit of quality, or for recipes
  # of the literature: `arch: vgg19`, whose weights are downloaded once (548 MiB), or a file.
  arch: slim

pairs:
  - name: demo
    content: {photos:<17}# searched recursively; sub-folders are the classes
    styles: {styles:<18}# files, folders, globs, or named blends
    assign: all               # all | {{sample: K}} | {{map: FILE.csv}}
    recipe: balanced          # `stylebatch recipes` lists them
    size_px: 192              # longest edge while optimising
    output_size: [224, 224]   # of the files, cut from the middle; 224 (longest edge), content, work
    originals: copy           # the photographs too, of the same size: a set to train on; none, link
    # split: {{shares: {{train: 0.8, val: 0.2}}}}  # only train is stylised
    steps: 40                 # evaluations at most
    strength: 2               # 0: the photograph, 1: the recipe; [0.5, 2]: drawn for each image
    # override: {{color: content}}  # any field of the recipe: `stylebatch recipes balanced`

run:
  executor: local             # inline | local | ray
"""


class DemoError(UserError):
    """The demonstration can't be written."""


def write_demo(folder: Path) -> list[Path]:
    """Write photographs, styles and, where there is none, a manifest; return what was written.

    What is there already with the same content is left as it is.

    Raises:
        DemoError: scikit-image is missing, or a file is there with other content.
        Problems: several such files; nothing was written.
    """
    entries = _entries(folder)
    problems: list[UserError] = [
        _other_content(entry.path)
        for entry in entries
        if entry.path.exists() and not entry.is_there()
    ]
    if problems:
        raise problems[0] if len(problems) == 1 else Problems(problems)
    missing = [entry for entry in entries if not entry.path.exists()]
    for entry in missing:
        write_atomic(entry.path, entry.encode())
    return [entry.path for entry in missing]


def manifest_text(below: str = "", output: str = "out", name: str = MANIFEST) -> str:
    """Return a manifest for a demonstration that lies in the folder `below` (with its `/`)."""
    photos, styles = f"{below}photos", f"[{below}styles]"
    return _TEMPLATE.format(photos=photos, styles=styles, output=output, name=name)


class _Entry(Protocol):
    @property
    def path(self) -> Path: ...

    def is_there(self) -> bool:
        """Whether what stands at its path needs no writing."""

    def encode(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class _Photo:
    path: Path
    source: Path

    def is_there(self) -> bool:
        return self.path.is_file() and self.path.read_bytes() == self.encode()

    def encode(self) -> bytes:
        return self.source.read_bytes()


@dataclass(frozen=True, slots=True)
class _Painting:
    path: Path
    name: str

    def is_there(self) -> bool:
        """By a mark: to draw it again takes seconds, and other libraries may round otherwise."""
        try:
            with Image.open(self.path, formats=("PNG",)) as image:
                return bool(image.info.get(_MARK) == self.name)
        except OSError:
            return False

    def encode(self) -> bytes:
        mark = PngImagePlugin.PngInfo()
        mark.add_text(_MARK, self.name)
        buffer = io.BytesIO()
        PAINTINGS[self.name]().save(buffer, "PNG", pnginfo=mark)
        return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class _Manifest:
    path: Path

    def is_there(self) -> bool:
        """Always: a manifest is there to be edited."""
        return True

    def encode(self) -> bytes:
        return manifest_text(name=self.path.name).encode()


def _entries(folder: Path) -> list[_Entry]:
    source = _find_photos(folder)
    return [
        *(_Photo(folder / "photos" / label / name, source / name) for label, name in PHOTOS),
        *(_Painting(folder / "styles" / f"{name}.png", name) for name in PAINTINGS),
        _Manifest(folder / MANIFEST),
    ]


def _find_photos(folder: Path) -> Path:
    """Find the data folder of an installed scikit-image, without importing it."""
    spec = importlib.util.find_spec("skimage")
    places = (
        [Path(place) / "data" for place in (spec.submodule_search_locations or [])] if spec else []
    )
    for place in places:
        if all((place / name).is_file() for _, name in PHOTOS):
            return place
    raise DemoError(
        str(folder),
        "the photographs come with scikit-image, which is not installed",
        "allowed is scikit-image 0.22 or newer",
        "pip install 'stylebatch[demo]'",
    )


def _other_content(path: Path) -> DemoError:
    todo = "move it away, or choose another folder"
    return DemoError(str(path), "is there with other content", "nothing is overwritten", todo)

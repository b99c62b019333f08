"""A style as one safetensors file: its targets, its image, and where all of it comes from.

The file's metadata hold a text of JSON, `style`, and that text's digest, `blake2b`; the text tells
the digest of every tensor. Tensors are KEY/LAYER for targets, `image` (the bytes of the style
image's own file), `thumbnail` (a PNG) and colors/METHOD.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from stylebatch.library.digests import Arrays, digest_arrays, in_order
from stylebatch.library.errors import DamagedError, LibraryError
from stylebatch.system.files import digest_bytes

SUFFIX = ".safetensors"
IMAGE, THUMBNAIL, COLORS = "image", "thumbnail", "colors"
# That are named one by one.
MOST_SIZES = 8
# Raised where a file of before would be misread.
FORMAT = 1
_STYLE, _DIGEST = "style", "blake2b"
_AGAIN = "import it again, or export it once more"


@dataclass(frozen=True, slots=True)
class Target:
    """One set of targets.

    Attributes:
        request: what they were asked for: size, layers, weights, …
        digest: of the tensors.
        fine_chroma: of the style at this size, `pictures.scores.fine_chroma`.
    """

    request: dict[str, Any]
    digest: str
    fine_chroma: float


@dataclass(frozen=True, slots=True)
class Told:
    """What a file tells of its style.

    Attributes:
        digest: of the bytes of the style image's file.
        file: the name that it had.
        width, height: in pixels, upright.
        size: of the style image's file, in bytes.
        made: when, as ISO 8601, in UTC.
        versions: of what made the targets, by package.
        note, licence: as whoever exported it has put it.
        targets: by key.
        tensors: digests of the tensors that are no targets, by name.
    """

    name: str
    digest: str
    file: str
    width: int
    height: int
    size: int
    made: str
    versions: dict[str, str]
    note: str = ""
    licence: str = ""
    targets: dict[str, Target] = field(default_factory=dict)
    tensors: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def has_image(self) -> bool:
        """Whether the style image is in the file, and with it all that may be asked for."""
        return IMAGE in self.tensors


class StyleFile:
    """A file that is read part by part: each is compared with its digest when it is asked for."""

    def __init__(self, path: Path, where: str, told: Told, digest: str) -> None:
        self.path, self.where, self.told, self._digest = path, where, told, digest

    @classmethod
    def open(cls, path: Path, where: str) -> "StyleFile":
        """Read what a file tells.

        Args:
            where: the style's name, for messages.

        Raises:
            LibraryError: no file, one that can't be read, or that holds no style.
            DamagedError: what it tells is not what it told.
        """
        try:
            with safe_open(path, framework="np") as file:
                metadata: Mapping[str, str] = file.metadata() or {}
        except FileNotFoundError:
            raise LibraryError(where, f"no file {path}", "", "import it") from None
        except OSError as error:
            todo = "let yourself read it"
            raise LibraryError(where, f"{path} can't be read ({error})", "", todo) from error
        except SafetensorError as error:
            found = f"{path} is no whole safetensors file ({error})"
            raise DamagedError(where, found, "", _AGAIN) from error
        text = metadata.get(_STYLE)
        if text is None:
            allowed = "allowed is what `stylebatch styles export` writes"
            raise LibraryError(where, f"{path} holds no style", allowed)
        digest = digest_bytes(text.encode())
        if metadata.get(_DIGEST) != digest:
            raise DamagedError(where, f"{path} is damaged: what it tells of itself", "", _AGAIN)
        return cls(path, where, _told(text, where, path), digest)

    def image(self) -> bytes | None:
        """Return the bytes of the style image's file; None where it was left out.

        Raises:
            DamagedError, LibraryError: as all that reads.
        """
        if not self.told.has_image:
            return None
        data = self._read([IMAGE])[IMAGE].tobytes()
        self._check(digest_bytes(data), self.told.digest, "its image")
        return data

    def thumbnail(self) -> bytes | None:
        """Return the style in small, as a PNG; errors as `image`."""
        return self._bytes_of(THUMBNAIL) if THUMBNAIL in self.told.tensors else None

    def colors(self, method: str) -> NDArray[Any] | None:
        """Return the colour statistics of the style image by a method; errors as `image`."""
        name = f"{COLORS}/{method}"
        return self._tensor(name) if name in self.told.tensors else None

    def targets(self, key: str) -> dict[str, NDArray[Any]] | None:
        """Return the targets under a key, None where there are none; errors as `image`."""
        told = self.told.targets.get(key)
        if told is None:
            return None
        start = f"{key}/"
        arrays = self._read(None, start)
        found = {name.removeprefix(start): array for name, array in arrays.items()}
        self._check(
            digest_arrays(found), told.digest, f"its targets of {sizes_text([told.request])}"
        )
        return found

    def check(self) -> None:
        """Read all of it; errors as `image`."""
        self.image()
        for name in self.told.tensors:
            if name != IMAGE:
                self._tensor(name)
        for key in self.told.targets:
            self.targets(key)

    def _bytes_of(self, name: str) -> bytes:
        return self._tensor(name).tobytes()

    def _tensor(self, name: str) -> NDArray[Any]:
        array = self._read([name])[name]
        self._check(digest_arrays({name: array}), self.told.tensors[name], f"its {name}")
        return array

    def _check(self, found: str, told: str, what: str) -> None:
        if found != told:
            raise DamagedError(self.where, f"{self.path} is damaged: {what}", "", _AGAIN)

    def _check_same(self, metadata: Mapping[str, str]) -> None:
        """Refuse what somebody has put in the file's place since it was opened."""
        if metadata.get(_DIGEST) != self._digest:
            found = f"{self.path} was replaced by another while it was read"
            raise LibraryError(self.where, found, "", "run again: the new one is read then")

    def _read(self, names: list[str] | None, start: str = "") -> dict[str, NDArray[Any]]:
        """Return tensors by name, or all whose names begin so."""
        try:
            with safe_open(self.path, framework="np") as file:
                self._check_same(file.metadata() or {})
                there = list(file.keys())
                wanted = names or [name for name in there if name.startswith(start)]
                return {name: np.array(file.get_tensor(name)) for name in wanted}
        except (OSError, SafetensorError) as error:
            found = f"{self.path} can't be read ({error})"
            raise LibraryError(self.where, found, "", _AGAIN) from error


def encode_style(told: Told, targets: Mapping[str, Arrays], others: Arrays) -> bytes:
    """Return the bytes of a style's file.

    Args:
        told: without the digests of what is no target.
        targets: by key, as `told` has them.
        others: by name: `image`, `thumbnail`, colors/METHOD.
    """
    digests = {
        name: told.digest if name == IMAGE else digest_arrays({name: array})
        for name, array in others.items()
    }
    text = json.dumps({**asdict(told), "tensors": digests}, ensure_ascii=False, sort_keys=True)
    flat = {f"{key}/{name}": array for key, each in targets.items() for name, array in each.items()}
    tensors = {name: np.asarray(array, order="C") for name, array in {**flat, **others}.items()}
    return in_order(save(tensors, {_STYLE: text, _DIGEST: digest_bytes(text.encode())}))


def as_array(data: bytes) -> NDArray[Any]:
    """Return bytes as a tensor of a file."""
    return np.frombuffer(data, np.uint8)


def sizes_text(requests: Iterable[Mapping[str, Any]]) -> str:
    """Name the sizes of targets in px: 64, 96/2, 256/4, the last halved twice from 256 px."""
    sizes = sorted({(int(each["size_px"]), int(each.get("halvings", 0))) for each in requests})
    told = [f"{size}/{2**halvings}" if halvings else str(size) for size, halvings in sizes]
    return f"{', '.join(told[:MOST_SIZES])}{' …' if len(told) > MOST_SIZES else ''} px"


def _told(text: str, where: str, path: Path) -> Told:
    try:
        document = json.loads(text)
        if document["format"] > FORMAT:
            found = f"{path} is of a newer stylebatch (format {document['format']})"
            raise LibraryError(where, found, f"known is {FORMAT}", "update stylebatch")
        known = {each.name for each in fields(Told)}
        told = Told(**{name: value for name, value in document.items() if name in known})
        targets = {key: Target(**each) for key, each in document["targets"].items()}
    except (ValueError, KeyError, TypeError) as error:
        raise LibraryError(where, f"{path} holds no style ({error})", "", _AGAIN) from error
    return _with_targets(told, targets)


def _with_targets(told: Told, targets: dict[str, Target]) -> Told:
    told.targets.clear()
    told.targets.update(targets)
    return told

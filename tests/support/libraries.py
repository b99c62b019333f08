"""Small projects with a library: styles that were exported, imported, and are named there."""

import json
import struct
from pathlib import Path
from typing import Any

from support.runs import Ended, Small, command, small_project

from stylebatch.library.style_file import IMAGE, Told, as_array, encode_style
from stylebatch.system.files import digest_bytes


class Shelf:
    """A small project, its cache, and files of its styles."""

    def __init__(self, root: Path) -> None:
        self.small = small_project(root)
        self.root, self.cache = root, root / "cache"
        self.files = root / "files"

    def styles(self, *arguments: str, code: int = 0) -> Ended:
        """Run `stylebatch styles`, and check how it ends."""
        ended = command("styles", *arguments)
        assert ended.code == code, ended
        return ended

    def warm(self, code: int = 0) -> Ended:
        """Warm what the manifest is now."""
        return self.styles("warm", str(self.small.write()), code=code)

    def export(self, *arguments: str) -> None:
        """Export the manifest's styles into `files`."""
        manifest = str(self.small.write())
        self.styles("export", *arguments, "--manifest", manifest, "-o", str(self.files), "--force")

    def bring(self, name: str, *arguments: str, code: int = 0) -> Ended:
        """Import one of `files`."""
        path = str(self.files / f"{name}.safetensors")
        return self.styles("import", path, *arguments, "--cache", str(self.cache), code=code)

    def place(self, name: str) -> Path:
        """Return where a style of the library is."""
        return self.cache / "styles" / f"{name}.safetensors"

    def grams(self) -> dict[str, int]:
        """Return the cached targets, with what tells each from one that replaces it."""
        return {path.name: path.stat().st_ino for path in (self.cache / "grams").glob("*.saf*")}

    def forget_images(self) -> None:
        """Let there be neither style images nor cached targets any more."""
        for folder in (self.root / "styles", self.cache / "grams"):
            for path in folder.glob("*"):
                path.unlink()

    def move_to_library(self) -> None:
        """Let there be no style images any more but what was exported, by name."""
        self.forget_images()
        self.bring("s")
        self.bring("t")

    def use(self, *styles: Any) -> Small:
        """Let the manifest's pair have these styles."""
        self.small.pair["styles"] = list(styles)
        return self.small


def named_style(name: str) -> bytes:
    """Return a file that stands for a style, without targets."""
    data = b"stands for an image"
    facts = Told(name, digest_bytes(data), f"{name}.jpg", 1, 1, len(data), "2026-11-27", {})
    return encode_style(facts, {}, {IMAGE: as_array(data)})


def header(data: bytes) -> tuple[dict[str, Any], int]:
    """Return a safetensors file's header, and where its tensors begin: by its specification."""
    (length,) = struct.unpack("<Q", data[:8])
    found: dict[str, Any] = json.loads(data[8 : 8 + length])
    return found, 8 + length


def told(path: Path) -> dict[str, Any]:
    """Return what a style's file tells of itself."""
    found: dict[str, Any] = json.loads(header(path.read_bytes())[0]["__metadata__"]["style"])
    return found


def flip(path: Path, tensor: str) -> None:
    """Flip a bit in the first tensor whose name ends so."""
    data = bytearray(path.read_bytes())
    tensors, start = header(bytes(data))
    where = next(each["data_offsets"][0] for name, each in tensors.items() if name.endswith(tensor))
    data[start + where] ^= 1
    path.write_bytes(bytes(data))

"""A corpus of image files, good and bad, made here: each with what has to come of it.

    cd tests && python -m support.corpus FOLDER     # writes them, with outcomes.tsv

An outcome is the size that comes out, `alpha` behind it where there is transparency, or how the
reason begins why there is none.
"""

import random
import re
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image, features
from support.encoded import (
    GREY,
    GREY_ALPHA,
    RGB,
    bmp,
    bmp_4444,
    chunk,
    cut_jpeg,
    display_profile,
    encode,
    gif_within,
    header_of_png,
    heic_beginning,
    jpeg_segment,
    png,
    scene,
    tiff,
)

SUFFIXES = {
    **{"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "TIFF": ".tif", "GIF": ".gif"},
    **{"BMP": ".bmp"},
    **({"AVIF": ".avif"} if features.check("avif") else {}),
}
TURNED = ("JPEG", "PNG", "WEBP", "TIFF")
WIDTH, HEIGHT = 40, 24
SIZE = f"{WIDTH}x{HEIGHT}"
NUM_FLIPS = 200
TOO_LARGE = "more than 89,478,485 pixels"
# How the reasons begin that Pillow's readers give in their own words.
UNREAD, DAMAGED = "that can't be read", "a damaged image"


class Case(NamedTuple):
    """A file of the corpus.

    Attributes:
        outcome: as above; in a reason it stands somewhere.
        rgb: (H, W, 3) what comes out, None where that is not told.
        within: by how much each number may differ from it.
    """

    name: str
    data: bytes
    outcome: str
    rgb: np.ndarray | None = None
    within: int = 0

    @property
    def is_read(self) -> bool:
        """Whether a picture comes out."""
        return re.match(r"\d+x\d+", self.outcome) is not None


def whole(kind: str, **options: Any) -> bytes:
    """The same picture in a format, without loss where it can be."""
    lossless: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 98, "subsampling": 0},
        "WEBP": {"lossless": True},
        "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    }
    return encode(Image.fromarray(scene()), kind, **lossless.get(kind, {}), **options)


def loss(kind: str) -> int:
    return {"JPEG": 6, "AVIF": 6, "GIF": 40}.get(kind, 0)


def good() -> Iterator[Case]:
    """Each format as it should be."""
    for kind, suffix in SUFFIXES.items():
        yield Case(f"whole{suffix}", whole(kind), SIZE, scene(), loss(kind))


def short() -> Iterator[Case]:
    """Nothing, one byte, and every tenth of a file."""
    for kind, suffix in SUFFIXES.items():
        yield Case(f"empty{suffix}", b"", "no image: an empty file")
        yield Case(f"byte{suffix}", whole(kind)[:1], "no image")
        noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
        data = encode(Image.fromarray(noise), kind)
        for tenth in range(1, 10):
            part = data[: len(data) * tenth // 10]
            name = f"cut-{tenth}{suffix}"
            yield Case(name, part, _CUT.get((kind, tenth), DAMAGED))
            if kind == "JPEG" and tenth > 2:
                yield Case(f"marked-{name}", cut_jpeg(data, tenth / 10), "its data ends before")


# Where too little is there for a reader to begin.
_CUT: dict[tuple[str, int], str] = {
    **{("WEBP", tenth): UNREAD for tenth in range(1, 10)},
    **{("AVIF", tenth): UNREAD for tenth in range(1, 9)},
    **{("JPEG", tenth): UNREAD for tenth in (1, 2)},
    ("GIF", 1): UNREAD,
}


def wrong() -> Iterator[Case]:
    """What a name or its first bytes say, and the file is not."""
    for kind, suffix in SUFFIXES.items():
        other = ".jpg" if suffix == ".png" else ".png"
        yield Case(f"{kind}-named{other}", whole(kind), SIZE, scene(), loss(kind))
        magic = bytes(byte ^ 0xA5 for byte in whole(kind)[:12]) + whole(kind)[12:]
        yield Case(f"wrong-magic{suffix}", magic, "no image")
    for name, data, outcome in (
        ("page.jpg", b"<!DOCTYPE html><html>404</html>", "no image: a web page"),
        ("text.png", "größe\n".encode() * 9, "no image: text"),
        ("drawing.png", b"<svg xmlns='x'/>", "no image: an SVG drawing"),
        ("paper.jpg", b"%PDF-1.7\n" + bytes(80), "no image: a PDF"),
        ("film.jpg", b"\0\0\0\x18ftypmp42\0\0\0\1mp42isom" + bytes(80), "no image: a video"),
        ("archive.png", b"PK\3\4" + bytes(80), "no image: a zip archive"),
        ("pointer.png", b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        ("layers.png", b"8BPS" + bytes(80), "a Photoshop file"),
        ("random.png", random.Random(1).randbytes(999), "no image"),
        ("zeros.jpg", bytes(999), "no image"),
    ):
        yield Case(name, data, outcome)
    if "HEIF" not in Image.OPEN:
        yield Case("telephone.jpg", heic_beginning(), "a HEIC image")


def bombs() -> Iterator[Case]:
    """Headers that state more pixels than any memory holds."""
    edge = 60_000
    yield Case("bomb.png", header_of_png(edge, edge), TOO_LARGE)
    data = bytearray(whole("GIF"))
    struct.pack_into("<HH", data, 6, edge, edge)
    yield Case("bomb.gif", bytes(data), TOO_LARGE)
    data = bytearray(bmp(scene(), version=3))
    struct.pack_into("<ii", data, 18, edge, edge)
    yield Case("bomb.bmp", bytes(data), TOO_LARGE)
    frame = struct.pack(">BHHB", 8, edge, edge, 3) + b"\1\x11\0" * 3
    yield Case("bomb.jpg", b"\xff\xd8" + jpeg_segment(0xC0, frame) + b"\xff\xd9", TOO_LARGE)
    data = bytearray(tiff(scene(), photometric="rgb"))
    for tag in (256, 257):
        at = data.index(struct.pack("<H", tag))
        data[at + 2 : at + 12] = struct.pack("<HII", 4, 1, edge)
    yield Case("bomb.tif", bytes(data), TOO_LARGE)
    lossless = bytearray(whole("WEBP"))
    at = lossless.index(b"VP8L") + 9
    struct.pack_into("<I", lossless, at, (16383 - 1) | (16383 - 1) << 14)
    yield Case("bomb.webp", bytes(lossless), TOO_LARGE)
    inflating = chunk(b"IDAT", zlib.compress(bytes(200_000_000)))
    small = struct.pack(">IIBBBBB", 8, 8, 8, RGB, 0, 0, 0)
    parts = [chunk(b"IHDR", small), inflating, chunk(b"IEND", b"")]
    yield Case("inflating.png", b"\x89PNG\r\n\x1a\n" + b"".join(parts), "8x8")


def several() -> Iterator[Case]:
    """Animations and pages: the first counts."""
    frames = [Image.fromarray(np.roll(scene(), 9 * number, 1)) for number in (1, 2)]
    more: dict[str, Any] = {"save_all": True, "append_images": frames}
    for kind in ("GIF", "WEBP", "PNG", "TIFF", *(["AVIF"] if "AVIF" in SUFFIXES else [])):
        duration = {} if kind == "TIFF" else {"duration": 100}
        name = f"several{SUFFIXES[kind]}"
        yield Case(name, whole(kind, **more, **duration), SIZE, scene(), loss(kind))
    indices = np.arange(40).reshape(5, 8) % 4
    yield Case("within.gif", gif_within((20, 16), (4, 6), indices), "20x16 alpha")
    two = encode(Image.fromarray(scene()), "MPO", quality=98, subsampling=0, **more)
    yield Case("two.mpo", two, SIZE, scene(), 6)


def sizes() -> Iterator[Case]:
    """The smallest, and the longest for their pixels."""
    for kind, suffix in SUFFIXES.items():
        for width, height in ((1, 1), (1, 5000), (5000, 1), (2, 2), (17, 3)):
            flat = np.full((height, width, 3), (200, 60, 10), np.uint8)
            data = encode(Image.fromarray(flat), kind)
            yield Case(f"{width}x{height}{suffix}", data, f"{width}x{height}", flat, 12)


def large() -> Iterator[Case]:
    """8000 × 8000: the least that a machine has to be able to do."""
    flat = Image.new("RGB", (8000, 8000), (200, 60, 10))
    for kind in ("PNG", "JPEG"):
        yield Case(f"large{SUFFIXES[kind]}", encode(flat, kind), "8000x8000")


def modes() -> Iterator[Case]:
    """Every kind of pixels."""
    grey, rgb = scene()[..., 0], scene()
    three = np.stack([grey] * 3, axis=2)
    ramp = np.linspace(0, 65535, grey.size).astype(np.uint16).reshape(grey.shape)
    high = np.stack([ramp >> 8] * 3, axis=2)
    cmyk = Image.fromarray(rgb).convert("CMYK")
    yield Case("cmyk.jpg", encode(cmyk, "JPEG", quality=98, subsampling=0), SIZE, rgb, 8)
    yield Case("cmyk.tif", encode(cmyk, "TIFF"), SIZE, rgb, 1)
    ycck = bytearray(encode(cmyk, "JPEG", quality=98, subsampling=0))
    ycck[ycck.index(b"Adobe") + 11] = 2  # as if its channels were these
    yield Case("ycck.jpg", bytes(ycck), SIZE)
    yield Case("grey.jpg", encode(Image.fromarray(grey), "JPEG", quality=98), SIZE, three, 4)
    yield Case("grey16.png", png(ramp, 16, GREY), SIZE, high)
    yield Case("grey16.tif", tiff(ramp), SIZE, high)
    yield Case("rgb16.png", png(rgb.astype(np.uint16) * 257, 16, RGB), SIZE, rgb)
    yield Case("rgb16.tif", tiff(rgb.astype(np.uint16) * 257, photometric="rgb"), SIZE, rgb)
    bits = np.where(grey > 99, 255, 0).astype(np.uint8)
    both = np.stack([bits] * 3, axis=2)
    for suffix, kind in ((".png", "PNG"), (".tif", "TIFF"), (".bmp", "BMP")):
        yield Case(f"bits{suffix}", encode(Image.fromarray(bits).convert("1"), kind), SIZE, both)
    pair = np.stack([grey, 255 - grey], axis=2)
    yield Case("grey-alpha.png", png(pair, 8, GREY_ALPHA), f"{SIZE} alpha", three)
    yield Case("hidden-grey.png", png(grey % 4, 2, GREY, chunk(b"tRNS", b"\0\2")), f"{SIZE} alpha")
    palette = Image.fromarray(rgb).quantize(16)
    shown = np.asarray(palette.convert("RGB"))
    clear = encode(palette, transparency=bytes([0, 128, *[255] * 14]))
    yield Case("palette.png", encode(palette), SIZE, shown)
    yield Case("palette-alpha.png", clear, f"{SIZE} alpha", shown)
    rgba = np.dstack([rgb, grey])
    for suffix, kind, options in (
        *((".png", "PNG", {}), (".webp", "WEBP", {"lossless": True, "exact": True})),
        (".tif", "TIFF", {}),
    ):
        data = encode(Image.fromarray(rgba), kind, **options)
        yield Case(f"rgba{suffix}", bytes(data), f"{SIZE} alpha", rgb)
    for name, data, outcome in (
        ("float.tif", tiff(grey / 255.0), "64-bit floating-point grey"),
        ("float32.tif", tiff((grey / 255).astype(np.float32)), "its range is not known"),
        ("signed.tif", tiff(grey.astype(np.int16)), "16-bit signed grey: its range"),
        ("lab16.tif", tiff(rgb.astype(np.uint16), photometric="cielab"), "16-bit CIELAB"),
        ("4444.bmp", bmp_4444(), "a BMP that can't be read"),
    ):
        yield Case(name, bytes(data), outcome)


def orientations() -> Iterator[Case]:
    """All eight that EXIF has, in the formats that have EXIF."""
    for kind in TURNED:
        for orientation, turn in UPRIGHT.items():
            exif = Image.Exif()
            exif[ExifTags.Base.Orientation] = orientation
            upright = turn(scene())
            height, width = upright.shape[:2]
            name = f"turned-{orientation}{SUFFIXES[kind]}"
            yield Case(name, whole(kind, exif=exif), f"{width}x{height}", upright, loss(kind))


# Rows and columns of the stored picture's first pixel within the upright one (EXIF 2.3, 4.6.4).
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: a.transpose(1, 0, 2)[::-1],
}


def metadata() -> Iterator[Case]:
    """EXIF, profiles and texts that are broken, huge, or both: they cost themselves alone."""
    for number, exif in enumerate((b"Exif\0\0II*\0", b"Exif\0\0" + b"\xff" * 40, b"nonsense")):
        for kind in ("JPEG", "PNG", "WEBP"):
            data = whole(kind, exif=exif)
            yield Case(f"exif-{number}{SUFFIXES[kind]}", data, SIZE, scene(), loss(kind))
    profiles = {"byte": b"\0", "text": b"not a profile" * 20, "cut": display_profile(1.8)[:200]}
    for name, profile in profiles.items():
        for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
            data = whole(kind, icc_profile=profile)
            yield Case(f"icc-{name}{SUFFIXES[kind]}", data, SIZE, scene(), loss(kind))
    noise = np.random.default_rng(0).bytes(1_500_000)
    huge = chunk(b"iCCP", b"huge\0\0" + zlib.compress(display_profile(1.0, more=noise)))
    yield Case("icc-huge.png", png(scene(), 8, RGB, huge), SIZE)
    ztxt = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100_000_000)))
    text = chunk(b"tEXt", b"Comment\0" + b"a" * 100_000_000)
    wrong_sum = chunk(b"gAMA", (45455).to_bytes(4), crc=7)
    for name, broken in (("ztxt", ztxt), ("text", text), ("sum", wrong_sum)):
        yield Case(f"chunk-{name}.png", png(scene(), 8, RGB, broken), SIZE, scene())
    adobe = jpeg_segment(0xEE, b"Adobe")
    jpeg = whole("JPEG")
    yield Case("app14.jpg", jpeg[:2] + adobe + jpeg[2:], SIZE, scene(), 6)
    linear = display_profile(1.0)
    yield Case("icc.bmp", bmp(scene(), linear), SIZE)


def flipped(kind: str) -> Iterator[bytes]:
    """A format with one bit flipped, at 200 seeded places."""
    data, places = whole(kind), random.Random(kind)
    for _ in range(NUM_FLIPS):
        damaged = bytearray(data)
        damaged[places.randrange(len(data))] ^= 1 << places.randrange(8)
        yield bytes(damaged)


FAMILIES: dict[str, Callable[[], Iterator[Case]]] = {
    each.__name__: each
    for each in (good, short, wrong, bombs, several, sizes, modes, orientations, metadata)
}
# As bytes: no shell, table or terminal likes all of them.
STRANGE_NAMES: tuple[bytes, ...] = (
    *(b"two words.png", b"it's.png", b'"quoted".png', b"a\nb.png", b"tab\t.png", b"-rf.png"),
    *(b"--help.png", b"a.b.c.png", b"dots...png", b"100%.png", b"a;b&c|d.png", b"$HOME.png"),
    *("emoji 🎨.png".encode(), "e\u0301.png".encode(), "\u00e9.png".encode()),
    *(b"TWIN.png", b"twin.png", b"twin.PNG", b"caf\xe9.png", b"caf\\xe9.png", b"\xff\xfe.png"),
    *(b"a" * 251 + b".png", "ä".encode() * 125 + b".png", b"=1+1.png", b"a,b.png", b"{x}.png"),
    *(b"CON.png", b"a\\b.png", b"images.png", b"metadata.jsonl.png", b"\x7f.png", b"\x1b[31m.png"),
)


def every() -> Iterator[tuple[str, Case]]:
    """Every case but the large ones, with its family."""
    for family, cases in FAMILIES.items():
        for case in cases():
            yield family, case


def write(folder: Path) -> list[str]:
    """Write the corpus, a folder for each family; return the lines of its table."""
    rows = []
    for family, case in every():
        (folder / family).mkdir(parents=True, exist_ok=True)
        (folder / family / case.name).write_bytes(case.data)
        rows.append(f"{family}/{case.name}\t{case.outcome}")
    return rows


if __name__ == "__main__":
    target = Path(sys.argv[1])
    table = write(target)
    (target / "outcomes.tsv").write_text("\n".join(["file\toutcome", *table]) + "\n")
    print(f"{len(table)} files in {target}")

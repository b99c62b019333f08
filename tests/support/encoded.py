"""Image files written byte by byte, or by tifffile: what Pillow does not write."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import tifffile
from PIL import Image

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6


def scene(width: int = 40, height: int = 24) -> np.ndarray:
    """A smooth picture (H, W, 3) without symmetries, that survives JPEG."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [255 * x / width, 255 * y / height, 128 + 60 * np.sin(x / 9 + y / 5)]
    return np.stack(channels, axis=2).astype(np.uint8)


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes, crc: int | None = None) -> bytes:
    """A chunk of a PNG; its check sum is right unless another is given."""
    body = name + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", crc or zlib.crc32(body))


def packed_rows(samples: np.ndarray, depth: int) -> bytes:
    """Rows (H, W) or (H, W, C) of a PNG: packed from the highest bit on, without filters."""
    flat = samples.reshape(len(samples), -1)
    if depth == 16:
        return b"".join(b"\0" + row.astype(">u2").tobytes() for row in flat)
    rows = []
    for row in flat:
        bits = (row[:, None].astype(np.uint8) >> np.arange(depth - 1, -1, -1, dtype=np.uint8)) & 1
        rows.append(b"\0" + np.packbits(bits.ravel()).tobytes())
    return b"".join(rows)


def png(
    samples: np.ndarray, depth: int, colour_type: int, *before: bytes, after: bytes = b""
) -> bytes:
    """A PNG of samples (H, W) or (H, W, C), with chunks before and after its pixels."""
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    pixels = zlib.compress(packed_rows(samples, depth))
    parts = [chunk(b"IHDR", header), *before, chunk(b"IDAT", pixels), after, chunk(b"IEND", b"")]
    return PNG_MAGIC + b"".join(parts)


def header_of_png(width: int, height: int) -> bytes:
    """A PNG that states a size and has no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, RGB, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b""))
    return PNG_MAGIC + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def jpeg_segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def cut_jpeg(data: bytes, share: float = 0.5) -> bytes:
    """A JPEG whose data end early, with the mark of an end put behind them."""
    start = data.index(b"\xff\xda") + 14
    return data[: start + int((len(data) - 2 - start) * share)] + b"\xff\xd9"


def gif_within(canvas: tuple[int, int], corner: tuple[int, int], indices: np.ndarray) -> bytes:
    """A GIF whose only picture covers a part of its canvas; colours 0 to 3 are grey, red, …"""
    height, width = indices.shape
    image = Image.fromarray(indices.astype(np.uint8)).convert("P")
    image.putpalette([90, 90, 90, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    data = bytearray(encode(image, "GIF"))
    struct.pack_into("<HH", data, 6, *canvas)
    at = data.index(b"\x2c" + struct.pack("<HHHH", 0, 0, width, height))
    struct.pack_into("<HH", data, at + 1, *corner)
    return bytes(data)


def bmp(pixels: np.ndarray, profile: bytes = b"", version: int = 5) -> bytes:
    """A BMP of 24 bits, from the bottom up, with a header of version 5 that holds a profile."""
    height, width = pixels.shape[:2]
    size = {3: 40, 5: 124}[version]
    padding = bytes(-width * 3 % 4)
    rows = b"".join(row[:, ::-1].tobytes() + padding for row in pixels[::-1])
    header = struct.pack("<IiiHHIIiiII", size, width, height, 1, 24, 0, len(rows), 0, 0, 0, 0)
    if version == 5:
        space = b"DEBM" if profile else b"BGRs"
        header += struct.pack("<4I", 0, 0, 0, 0) + space + bytes(36 + 12)
        header += struct.pack("<IIII", 4, size + len(rows), len(profile), 0)
    start = 14 + size
    whole = start + len(rows) + len(profile)
    return b"BM" + struct.pack("<IHHI", whole, 0, 0, start) + header + rows + profile


def bmp_4444(width: int = 8, height: int = 8) -> bytes:
    """A BMP of 16 bits with four for each of red, green, blue and alpha."""
    rows = bytes(2 * width * height)
    header = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 16, 3, len(rows), 0, 0, 0, 0)
    header += struct.pack("<4I", 0xF00, 0xF0, 0xF, 0xF000) + b"BGRs" + bytes(48)
    return b"BM" + struct.pack("<IHHI", 14 + 108 + len(rows), 0, 0, 14 + 108) + header + rows


def heic_beginning() -> bytes:
    """How a photograph of a telephone begins: no decoder reads it, but it says what it is."""
    brands = b"heic" + bytes(4) + b"mif1" + b"heic"
    return struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + bytes(200)


# A profile of ours: sRGB's primaries (or grey) with a curve of its own.
PRIMARIES = {
    "r": (0.4360, 0.2225, 0.0139),
    "g": (0.3851, 0.7169, 0.0971),
    "b": (0.1431, 0.0606, 0.7139),
}
D50 = (0.9642, 1.0, 0.8249)


def fixed(numbers: tuple[float, ...]) -> bytes:
    return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)


def display_profile(gamma: float, space: bytes = b"RGB ", more: bytes = b"") -> bytes:
    """A real ICC profile (version 2), with `more` in a tag that decides nothing."""
    curve = b"curv" + struct.pack(">IIH", 0, 1, round(gamma * 256))
    tags = {b"desc": b"desc" + struct.pack(">II", 0, 5) + b"test\0" + bytes(78)}
    tags[b"wtpt"] = b"XYZ " + bytes(4) + fixed(D50)
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        for name, primary in PRIMARIES.items():
            tags[f"{name}XYZ".encode()] = b"XYZ " + bytes(4) + fixed(primary)
            tags[f"{name}TRC".encode()] = curve
    if more:
        tags[b"cprt"] = b"text" + bytes(4) + more
    offset, table, body = 132 + 12 * len(tags), b"", b""
    for tag, data in tags.items():
        table += tag + struct.pack(">II", offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">III", offset + len(body), 0, 0x02100000) + b"mntr" + space + b"XYZ "
    header += bytes(12) + b"acsp"
    header = header.ljust(68, b"\0") + fixed(D50)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def srgb_encoded(linear: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)

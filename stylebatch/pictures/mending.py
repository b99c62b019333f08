"""Broken metadata of PNG and JPEG, for which Pillow refuses the image: taken out of the bytes."""

import re
import struct
import zlib
from collections.abc import Iterator

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
# What decides no pixel, and is dropped where anything in the file is wrong; the rest of the
# ancillary chunks stays where its check sum and its length are right.
_DROPPED = {b"tEXt", b"zTXt", b"iTXt", b"acTL", b"fcTL", b"fdAT", b"iCCP"}
_LEAST_LENGTHS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9, b"eXIf": 8}
# But for this one, not compressed: it may say how the image is turned.
_XMP, _MAX_XMP_BYTES = b"XML:com.adobe.xmp\0\0", 2**20
# Profiles of printers have a few megabytes; whatever is larger is no profile.
_MAX_PROFILE_BYTES = 2**25
# Between segments of a JPEG: in scans 0xFF is followed by 0 or by a restart marker.
_END_OF_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_SOS, _EOI, _COMMENT = 0xDA, 0xD9, 0xFE
_APPS = range(0xE0, 0xF0)
# What of these is worth keeping, by how it starts, and how long it is at least.
_KEPT_SEGMENTS = {
    0xE0: (b"JFIF\0", 14),
    0xE1: (b"Exif\0\0", 14),
    0xE2: (b"ICC_PROFILE\0", 14),
    0xEE: (b"Adobe", 12),
}


def without_broken_metadata(data: bytes) -> bytes:
    """Return a PNG's or JPEG's bytes without what of its metadata may be broken; others as is.

    An orientation stays where it is whole; so does a JPEG's profile: `profile_of_png` has a PNG's.
    """
    if data.startswith(_PNG):
        return _PNG + b"".join(data[start:end] for start, end in _sound_chunks(data))
    if data.startswith(_JPEG):
        return data[:2] + b"".join(data[start:end] for start, end in _sound_segments(data))
    return data


def profile_of_png(data: bytes) -> bytes | None:
    """Return the ICC profile of a PNG, of up to 32 MiB; None where there is none that is whole."""
    if not data.startswith(_PNG):
        return None
    for name, start, end in _chunks(data):
        if name != b"iCCP":
            continue
        if not _is_whole(data, start, end):
            return None
        _, _, rest = data[start + 8 : end - 4].partition(b"\0")
        inflater = zlib.decompressobj()
        try:
            profile = inflater.decompress(rest[1:], _MAX_PROFILE_BYTES)
        except zlib.error:
            return None
        return profile if inflater.eof else None
    return None


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of a PNG's chunks; the last may end behind the data."""
    start = len(_PNG)
    while start < len(data):
        end = start + int.from_bytes(data[start : start + 4]) + 12
        yield data[start + 4 : start + 8], start, end
        start = end


def _sound_chunks(data: bytes) -> Iterator[tuple[int, int]]:
    for name, start, end in _chunks(data):
        is_ancillary = bool(name) and bool(name[0] & 0x20)
        # What is transparent is part of the picture: Pillow refuses one that is broken.
        if not is_ancillary or name == b"tRNS" or _is_kept(data, name, start, end):
            yield start, end


def _is_kept(data: bytes, name: bytes, start: int, end: int) -> bool:
    length = end - start - 12
    if name in _DROPPED:
        is_xmp = data.startswith(_XMP, start + 8) and length < _MAX_XMP_BYTES
        if name != b"iTXt" or not is_xmp:
            return False
    return length >= _LEAST_LENGTHS.get(name, 0) and _is_whole(data, start, end)


def _is_whole(data: bytes, start: int, end: int) -> bool:
    crc = zlib.crc32(data[start + 4 : end - 4])
    return end <= len(data) and crc == int.from_bytes(data[end - 4 : end])


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of a JPEG's segments behind the first marker; a scan is one."""
    start = 2
    while start + 2 <= len(data):
        if data[start] != 0xFF:
            start += 1
            continue
        marker = data[start + 1]
        if marker in (0xFF, 0x00):  # padding, or nothing that stands here
            start += 1
            continue
        end = start + 2
        if marker not in _WITHOUT_LENGTH and marker != _EOI:
            if end + 2 > len(data):
                return
            end += max(2, struct.unpack_from(">H", data, end)[0])
        if marker == _SOS:
            found = _END_OF_SCAN.search(data, end)
            end = found.start() if found else len(data)
        yield marker, start, end
        if marker == _EOI:
            return
        start = end


def _sound_segments(data: bytes) -> Iterator[tuple[int, int]]:
    end = 2
    for marker, start, end in segments(data):
        if marker in _APPS or marker == _COMMENT:
            begins, least = _KEPT_SEGMENTS.get(marker, (b"", 2**16))
            content = data[start + 4 : end]
            if not content.startswith(begins) or len(content) < least:
                continue
        yield start, end
    yield end, len(data)

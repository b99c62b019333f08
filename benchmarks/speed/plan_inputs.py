"""Projects of many files to plan: small ones made fast, and as large as photographs."""

import io
import zlib
from pathlib import Path
from struct import pack

MANIFEST = """\
version: 1
output: out
extractor: {arch: vgg19, weights: random}
pairs:
  - {name: all, content: photos, styles: [styles], assign: {sample: 1}, KEYS}
"""
NUM_STYLES = 20


def make_small(root: Path, num_files: int, per_folder: int, keys: str = "") -> None:
    """Make PNG files of 24×16 px and more, each with other bytes; `keys` are more of the pair's."""
    make_project(root, keys)
    for number in range(num_files):
        folder = root / "photos" / f"class{number // per_folder:04d}"
        if number % per_folder == 0:
            folder.mkdir(parents=True)
        width = 24 + 8 * (number % 10)
        (folder / f"photo{number:07d}.png").write_bytes(tiny_png(width, 16, number))


def make_photos(root: Path, num_files: int) -> None:
    """Make JPEG files of about 300 kB: one photograph's worth of noise, told apart by a comment."""
    # Not above: what plans is to have the memory that a plan has.
    import numpy as np
    from PIL import Image

    make_project(root)
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=85)
    data = buffer.getvalue()
    for number in range(num_files):
        folder = root / "photos" / f"class{number % 100:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        comment = b"\xff\xfe" + pack(">H", 10) + pack(">Q", number)
        (folder / f"photo{number:05d}.jpg").write_bytes(data[:2] + comment + data[2:])


def make_project(root: Path, keys: str = "") -> None:
    """Make a manifest and its styles."""
    (root / "styles").mkdir(parents=True)
    (root / "photos").mkdir()
    (root / "pipeline.yaml").write_text(MANIFEST.replace("KEYS", keys))
    for number in range(NUM_STYLES):
        (root / "styles" / f"style{number:02d}.png").write_bytes(tiny_png(64, 64, number))


def tiny_png(width: int, height: int, number: int) -> bytes:
    """Encode a plain picture, faster than Pillow does; its first pixels tell `number`."""
    rows = bytearray(b"\0" + b"\x80\x90\xa0" * width) * height
    rows[1:10] = number.to_bytes(9, "big")
    header = pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows), 1)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        pack(">I", len(body)) + kind + body + pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )

import contextlib
import io
import random
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms
from support.corpus import UPRIGHT
from support.encoded import display_profile, encode, scene, srgb_encoded
from torchvision.transforms import CenterCrop, InterpolationMode, Resize
from torchvision.transforms.functional import resize as torchvision_resize

from stylebatch.pictures.errors import ImageError
from stylebatch.pictures.images import FORMATS, MAX_PIXELS, decode, encode_png, upright_size
from stylebatch.pictures.sizes import fit_pixels, resize, style_size, work_size


def difference(one: np.ndarray, other: np.ndarray) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def png_of(width: int, height: int, depth: int, colour_type: int, rows: bytes) -> bytes:
    """A PNG built by hand, as Pillow writes no 16-bit colour."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def rows_of(values: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in values)


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_turns_an_image_upright_by_its_exif_orientation(kind: str, orientation: int) -> None:
    stored = Image.fromarray(scene())
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 98, "subsampling": 0},
        "WEBP": {"lossless": True},
    }
    data = encode(stored, kind, exif=exif, **options.get(kind, {}))
    picture = decode(data, "x")
    assert difference(picture.rgb, UPRIGHT[orientation](scene())) <= (6 if kind == "JPEG" else 0)
    height, width = picture.rgb.shape[:2]
    assert upright_size(data, "x") == (width, height)


@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0", b"Exif\0\0" + b"\xff" * 40, b"nonsense"])
def test_damaged_exif_leaves_the_image_as_it_is_stored(exif: bytes) -> None:
    data = encode(Image.fromarray(scene()), exif=exif)
    assert difference(decode(data, "x").rgb, scene()) == 0
    assert upright_size(data, "x") == (40, 24)


def test_an_orientation_that_does_not_exist_is_ignored() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 9
    assert difference(decode(encode(Image.fromarray(scene()), exif=exif), "x").rgb, scene()) == 0


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_scales_16_bit_grey_to_8_bits_without_clipping(kind: str) -> None:
    values = np.linspace(0, 65535, 40 * 24).round().astype(np.uint16).reshape(24, 40)
    data = encode(Image.fromarray(values), kind)
    rgb = decode(data, "x").rgb
    assert (rgb == rgb[:, :, :1]).all()
    assert difference(rgb[:, :, 0], np.round(values / 257)) <= 1
    assert (rgb[0, 0, 0], rgb[-1, -1, 0]) == (0, 255)


def test_16_bit_colour_that_came_from_8_bits_is_given_back_exactly() -> None:
    wide = scene().astype(np.uint16) * 257
    data = png_of(40, 24, 16, 2, rows_of(wide.astype(">u2").reshape(24, -1)))
    assert difference(decode(data, "x").rgb, scene()) == 0


def test_16_bit_grey_with_alpha_keeps_both() -> None:
    grey, alpha = scene()[:, :, 0], scene()[:, :, 1]
    wide = np.stack([grey, alpha], axis=2).astype(np.uint16) * 257
    picture = decode(png_of(40, 24, 16, 4, rows_of(wide.astype(">u2").reshape(24, -1))), "x")
    assert difference(picture.rgb[:, :, 2], grey) == 0
    assert picture.alpha is not None
    assert difference(picture.alpha, alpha) == 0


def test_floating_point_pixels_are_refused_as_their_range_is_not_known() -> None:
    data = encode(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF")
    with pytest.raises(ImageError, match=r"^a\.tif: .* 32-bit floating-point grey: .*; allowed"):
        decode(data, "a.tif")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "RGB"])
def test_reads_every_mode_of_png_as_rgb(mode: str) -> None:
    image = Image.fromarray(scene()).convert(mode)
    picture = decode(encode(image), "x")
    assert difference(picture.rgb, np.asarray(image.convert("RGB"))) == 0
    assert (picture.alpha is None) == ("A" not in mode)


def test_a_palette_with_transparency_gives_its_alpha() -> None:
    indices = np.arange(24 * 40, dtype=np.uint8).reshape(24, 40) % 4
    image = Image.fromarray(indices).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    picture = decode(encode(image, transparency=bytes([0, 128, 255, 255])), "x")
    colours = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 9, 9)])
    assert difference(picture.rgb, colours[indices]) == 0
    assert picture.alpha is not None
    assert difference(picture.alpha, np.array([0, 128, 255, 255])[indices]) == 0


def test_the_transparent_colour_of_a_gif_becomes_alpha() -> None:
    image = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) % 2)
    image = image.convert("P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    picture = decode(encode(image, "GIF", transparency=1), "x")
    assert picture.alpha is not None
    assert set(np.unique(picture.alpha)) == {0, 255}
    assert tuple(picture.rgb[0, 0]) == (10, 20, 30)


def test_reads_cmyk_jpegs_as_rgb() -> None:
    image = Image.fromarray(scene()).convert("CMYK")
    data = encode(image, "JPEG", quality=98, subsampling=0)
    assert difference(decode(data, "x").rgb, scene()) <= 8


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.6])
def test_converts_a_profile_with_another_curve_to_srgb(gamma: float) -> None:
    data = encode(Image.fromarray(scene()), icc_profile=display_profile(gamma))
    expected = srgb_encoded((scene() / 255) ** gamma) * 255
    assert difference(decode(data, "x").rgb, np.round(expected)) <= 2


def test_converts_grey_with_a_grey_profile_and_keeps_its_alpha() -> None:
    grey, alpha = scene()[:, :, 0], scene()[:, :, 1]
    image = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)])
    picture = decode(encode(image, icc_profile=display_profile(1.4, b"GRAY")), "x")
    expected = np.round(srgb_encoded((grey / 255) ** 1.4) * 255)
    assert difference(picture.rgb, np.stack([expected] * 3, axis=2)) <= 2
    assert picture.alpha is not None
    assert difference(picture.alpha, alpha) == 0


def test_a_profile_for_other_channels_is_ignored() -> None:
    grey = Image.fromarray(scene()).convert("L")
    data = encode(grey, icc_profile=display_profile(1.8))
    assert difference(decode(data, "x").rgb, np.asarray(grey.convert("RGB"))) == 0


def test_an_image_with_the_srgb_profile_is_the_same_as_one_without() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encode(Image.fromarray(scene()), icc_profile=srgb)
    assert difference(decode(data, "x").rgb, scene()) == 0


@pytest.mark.parametrize("profile", [b"\0", b"not a profile" * 20, display_profile(1.8)[:200]])
def test_a_broken_profile_is_ignored(profile: bytes) -> None:
    data = encode(Image.fromarray(scene()), icc_profile=profile)
    assert difference(decode(data, "x").rgb, scene()) == 0


def test_lab_images_become_srgb() -> None:
    muted = scene() // 4 + 96
    lab = ImageCms.profileToProfile(
        Image.fromarray(muted),
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )
    assert lab is not None
    assert difference(decode(encode(lab, "TIFF"), "x").rgb, muted) <= 6


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM"])
def test_a_truncated_file_is_refused(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    data = encode(Image.fromarray(noise), kind)
    with pytest.raises(ImageError, match=r"^a\.x: .*read are JPEG, PNG.*replace or remove"):
        decode(data[: len(data) // 2], "a.x")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "no image: an empty file"),
        (b"hello", "no image: text"),
        (b"%PDF-1.4", "no image: a PDF"),
        (b"<svg/>", "no image: an SVG drawing"),
        (b"\0" * 40, "no image"),
    ],
)
def test_what_is_no_image_is_refused(data: bytes, found: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode(data, "photos/notes.png")
    allowed = f"read are {', '.join(FORMATS)}"
    assert str(caught.value) == f"photos/notes.png: {found}; {allowed}; replace or remove the file"
    with pytest.raises(ImageError):
        upright_size(data, "x")


def test_formats_that_are_not_listed_are_refused() -> None:
    with pytest.raises(ImageError, match="no image"):
        decode(encode(Image.fromarray(scene()), "PCX"), "x")


@pytest.mark.parametrize("edge", [int(MAX_PIXELS**0.5) + 1, 60_000])
@pytest.mark.parametrize("action", ["error", "ignore"])
def test_a_decompression_bomb_is_refused_whatever_the_warning_filter(
    edge: int, action: Literal["error", "ignore"]
) -> None:
    bomb = png_of(edge, edge, 8, 2, b"")
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        for read in (decode, upright_size):
            with pytest.raises(ImageError, match=r"allowed are 89,478,485; scale it down"):
                read(bomb, "bomb.png")


@settings(max_examples=150)
@given(st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP"]), st.data())
def test_a_damaged_file_is_a_picture_or_an_image_error(kind: str, data: st.DataObject) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    options = {} if kind in ("BMP", "GIF") else {"exif": exif}
    damaged = bytearray(encode(Image.fromarray(scene(20, 12)), kind, **options))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ImageError):
        size = upright_size(bytes(damaged), "x")
        height, width = decode(bytes(damaged), "x").rgb.shape[:2]
        assert size == (width, height)


@given(st.integers(1, 9), st.integers(1, 9), st.booleans(), st.randoms())
def test_png_gives_pixels_and_alpha_back(
    width: int, height: int, has_alpha: bool, random: random.Random
) -> None:
    pixels = np.frombuffer(random.randbytes(width * height * 4), np.uint8).reshape(height, width, 4)
    rgb, alpha = pixels[:, :, :3], pixels[:, :, 3] if has_alpha else None
    picture = decode(encode_png(rgb, alpha), "x")
    assert difference(picture.rgb, rgb) == 0
    assert (picture.alpha is None) == (alpha is None)
    if alpha is not None and picture.alpha is not None:
        assert difference(picture.alpha, alpha) == 0


def test_what_is_written_holds_no_exif_no_place_no_profile_and_no_text() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = "a camera"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (52.0, 31.0, 12.0)
    data = encode(
        Image.fromarray(scene()), "JPEG", exif=exif, icc_profile=display_profile(1.8), comment="x"
    )
    with Image.open(io.BytesIO(data)) as image:
        assert image.getexif().get_ifd(ExifTags.IFD.GPSInfo)
    written = encode_png(decode(data, "x").rgb, None)
    with Image.open(io.BytesIO(written)) as image:
        image.load()
        assert not list(image.getexif())
        assert image.info == {}


def test_threads_decode_the_same_pixels(shared: Path) -> None:
    paths = sorted(shared.glob("images/photos/*/*.jpg"))[:6]
    files = [path.read_bytes() for path in paths] * 2
    one_by_one = [decode(data, "x").rgb.tobytes() for data in files]
    with ThreadPoolExecutor(4) as pool:
        together = [picture.rgb.tobytes() for picture in pool.map(decode, files, ["x"] * 12)]
    assert together == one_by_one


def test_the_header_tells_the_size_that_decoding_gives(shared: Path) -> None:
    for path in sorted(shared.glob("images/photos/*/*.jpg"))[::25]:
        data = path.read_bytes()
        height, width = decode(data, "x").rgb.shape[:2]
        assert upright_size(data, "x") == (width, height)


def test_an_upright_size_needs_no_pixels() -> None:
    large = encode_png(np.zeros((1200, 900, 3), np.uint8), None)
    assert upright_size(large[:60], "x") == (900, 1200)


def test_resizing_to_the_same_size_gives_the_same_array() -> None:
    pixels = scene()
    assert resize(pixels, 40, 24) is pixels


def test_resizing_keeps_flat_colour_and_works_for_alpha() -> None:
    flat = np.full((24, 40, 3), (10, 200, 77), np.uint8)
    assert difference(resize(flat, 13, 55), np.full((55, 13, 3), (10, 200, 77))) == 0
    assert resize(flat[:, :, 0], 80, 50).shape == (50, 80)


def naive_work_size(width: int, height: int, size_px: int, bucket_px: int) -> tuple[int, int]:
    """The design's sentence, in exact fractions."""
    scale = min(Fraction(1), Fraction(size_px, max(width, height)))
    edges = []
    for edge in (width, height):
        scaled = edge * scale
        multiples = range(bucket_px, int(scaled) + 2 * bucket_px, bucket_px)
        edges.append(min(multiples, key=lambda multiple: (abs(multiple - scaled), -multiple)))
    return edges[0], edges[1]


@given(
    st.integers(1, 5000), st.integers(1, 5000), st.integers(16, 2048), st.sampled_from([1, 8, 32])
)
def test_work_size_is_what_the_design_says(width: int, height: int, size: int, bucket: int) -> None:
    found = work_size(width, height, size, bucket)
    assert found == naive_work_size(width, height, size, bucket)
    assert all(edge % bucket == 0 and edge >= bucket for edge in found)
    assert all(
        new <= old + bucket // 2 or new == bucket
        for new, old in zip(found, (width, height), strict=True)
    )


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1024, 768, 512, 32), (512, 384)),
        ((500, 375, 512, 32), (512, 384)),
        ((28, 28, 512, 32), (32, 32)),
        ((4000, 100, 512, 32), (512, 32)),
        ((500, 375, 512, 1), (500, 375)),
        ((48, 48, 512, 32), (64, 64)),
    ],
)
def test_work_size_of_known_cases(
    size: tuple[int, int, int, int], expected: tuple[int, int]
) -> None:
    assert work_size(*size) == expected


def test_style_size_climbs_a_ladder_of_twos_and_threes() -> None:
    ladder = [64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096]
    for longest in range(1, 4097):
        assert style_size(longest) == next(rung for rung in ladder if rung >= longest)


# --- other fits ------------------------------------------------------------------------------

BILINEAR = InterpolationMode.BILINEAR


@given(st.integers(1, 700), st.integers(1, 700), st.integers(16, 200))
def test_the_shortest_edge_is_what_torchvision_makes_of_it(
    width: int, height: int, size: int
) -> None:
    # Of long ribbons torchvision would make millions of pixels.
    width, height = max(width, height // 9), max(height, width // 9)
    image = Image.new("L", (width, height))
    wanted = Resize(size, InterpolationMode.NEAREST)(image).size
    assert work_size(width, height, size, 1, fit="shortest", enlarge=True) == wanted


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(16, 900), st.sampled_from([1, 8]))
def test_enlarging_brings_every_longest_edge_to_the_size(
    width: int, height: int, size: int, bucket: int
) -> None:
    found = work_size(width, height, size, bucket, enlarge=True)
    # The same picture with thousands of times the pixels is never the smaller one.
    assert found == naive_work_size(width * 1000, height * 1000, size, bucket)
    assert max(found) == max(bucket, (2 * size + bucket) // (2 * bucket) * bucket)


@pytest.mark.parametrize("fit", ["longest", "shortest"])
@given(width=st.integers(1, 300), height=st.integers(1, 300))
def test_without_enlarging_a_small_image_keeps_its_size(fit: str, width: int, height: int) -> None:
    assert work_size(width, height, 300, 1, fit=fit) == (width, height)


@pytest.mark.parametrize("fit", ["stretch", "crop"])
@pytest.mark.parametrize(
    ("aspect", "size", "bucket", "expected"),
    [
        ((1, 1), 256, 1, (256, 256)),
        ((4, 3), 512, 1, (512, 384)),
        ((3, 4), 512, 1, (384, 512)),
        ((8, 6), 512, 32, (512, 384)),
        ((16, 9), 500, 1, (500, 281)),  # 281.25
        ((16, 9), 500, 32, (512, 288)),
        ((4, 3), 100, 1, (100, 75)),
        ((4, 3), 18, 1, (18, 14)),  # 13.5: a tie goes up
        ((100, 1), 64, 32, (64, 32)),
    ],
)
def test_a_box_is_the_same_for_every_image(
    fit: str, aspect: tuple[int, int], size: int, bucket: int, expected: tuple[int, int]
) -> None:
    for image in ((7, 5), (640, 480), (3000, 20)):
        assert work_size(*image, size, bucket, fit=fit, aspect=aspect) == expected


def torchvision_crop(pixels: np.ndarray, edge: int) -> np.ndarray:
    """Shorter edge, then the square in the middle, as every ImageNet evaluation does it."""
    cropped = CenterCrop(edge)(Resize(edge, BILINEAR)(Image.fromarray(pixels)))
    return np.asarray(cropped)


@settings(max_examples=200)
@given(st.integers(5, 130), st.integers(5, 130), st.integers(5, 70))
@pytest.mark.parametrize("is_alpha", [False, True])
def test_a_square_crop_is_torchvision_s_bit_by_bit(
    is_alpha: bool, width: int, height: int, edge: int
) -> None:
    pixels = scene(width, height)
    pixels = pixels[..., 0] if is_alpha else pixels
    found = fit_pixels(pixels, edge, edge, fit="crop", resampling="bilinear")
    assert difference(found, torchvision_crop(pixels, edge)) == 0
    assert found.flags.c_contiguous


@settings(max_examples=100)
@given(st.integers(5, 130), st.integers(5, 130), st.sampled_from([(40, 30), (33, 20), (21, 50)]))
def test_a_crop_of_another_shape_covers_the_box_and_is_cut_in_its_middle(
    width: int, height: int, box: tuple[int, int]
) -> None:
    scale = max(Fraction(box[0], width), Fraction(box[1], height))
    covering = [int(height * scale), int(width * scale)]
    image = torchvision_resize(Image.fromarray(scene(width, height)), covering, BILINEAR)
    wanted = np.asarray(CenterCrop((box[1], box[0]))(image))
    found = fit_pixels(scene(width, height), *box, fit="crop", resampling="bilinear")
    assert difference(found, wanted) == 0


def test_a_crop_of_the_right_shape_cuts_nothing_off() -> None:
    found = fit_pixels(scene(80, 60), 40, 30, fit="crop")
    assert difference(found, resize(scene(80, 60), 40, 30)) == 0


@pytest.mark.parametrize("fit", ["longest", "shortest", "stretch"])
@pytest.mark.parametrize("name", ["lanczos", "bicubic", "bilinear", "nearest"])
@pytest.mark.parametrize("size", [(13, 9), (80, 70), (40, 11)])
def test_resampling_is_pillow_s_filter_of_that_name(
    fit: str, name: str, size: tuple[int, int]
) -> None:
    wanted = Image.fromarray(scene()).resize(size, Image.Resampling[name.upper()])
    assert difference(resize(scene(), *size, name), np.asarray(wanted)) == 0
    found = fit_pixels(scene(), *size, fit=fit, resampling=name)
    assert difference(found, np.asarray(wanted)) == 0


def test_no_work_edge_is_smaller_than_the_layers_need() -> None:
    assert work_size(2000, 20, 512, 1) == (512, 5)
    assert work_size(2000, 20, 512, 1, smallest_px=16) == (512, 16)
    assert work_size(3, 200, 32, 12, smallest_px=16) == (24, 36)

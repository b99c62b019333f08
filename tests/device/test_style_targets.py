"""Style targets: what is cached under which name, and that the numbers are the textbook's."""

import os
import random
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load, save
from support.runs import picture, run_process
from support.style_folders import Folder, assert_equal, never
from torch import Tensor
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

from stylebatch.device.requests import TargetRequest
from stylebatch.device.style_images import StyleError
from stylebatch.device.style_statistics import image_statistics
from stylebatch.device.style_targets import StyleTargets
from stylebatch.device.tensors import to_pixels, to_tensor
from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.extractors.weights import find_weights, load_tensors
from stylebatch.pictures.colors import match_colors
from stylebatch.pictures.errors import ImageError
from stylebatch.records import StyleImage
from stylebatch.system.files import digest_bytes
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.objective import ObjectiveSpec

LAYERS = ("conv1_1", "conv2_1")
REQUEST = TargetRequest(
    size_px=48,
    layers=LAYERS,
    layers_digest="digest",
    pooling="max",
    padding="zeros",
    device_kind="cpu",
)
SPEC = ObjectiveSpec({}, "mean", 1, dict.fromkeys(LAYERS, 1.0), "mean", "n", 1, "mean", 0.0)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def tensors() -> dict[str, tuple[Tensor, Tensor]]:
    return load_tensors(find_weights("vgg19", "random", Path()), LAYERS)


@pytest.fixture(scope="module")
def extractor(tensors: dict[str, tuple[Tensor, Tensor]]) -> Extractor:
    return Extractor(ARCHITECTURES["vgg19"], tensors, LAYERS, mean=MEAN, std=STD)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


# --- the numbers -----------------------------------------------------------------------------


def naive_grams(
    path: Path, size: tuple[int, int], tensors: dict[str, tuple[Tensor, Tensor]]
) -> dict[str, tuple[np.ndarray, int]]:
    """Return layer → Gram matrix and positions, in float64 and one product at a time."""
    found = {}
    for layer, features in naive_features(path, size, tensors).items():
        rows = features.numpy()
        gram = np.array([[(left * right).sum() for right in rows] for left in rows])
        found[layer] = gram, rows.shape[1]
    return found


def naive_features(
    path: Path, size: tuple[int, int], tensors: dict[str, tuple[Tensor, Tensor]]
) -> dict[str, Tensor]:
    """Return layer → feature map (C, N) of an image file at a size, in float64."""
    with Image.open(path) as image:
        pixels = np.asarray(image.resize(size, Image.Resampling.LANCZOS), np.float64) / 255
    return features_of(pixels, tensors)


def features_of(values: np.ndarray, tensors: dict[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Return layer → feature map (C, N) of an image (H, W, 3) in [0, 1], in float64."""
    x = torch.from_numpy((values - MEAN) / STD).permute(2, 0, 1)[None]
    found: dict[str, Tensor] = {}
    for layer in ("conv1_1", "conv1_2", "conv2_1"):
        weight, bias = (part.double() for part in tensors[layer])
        x = F.conv2d(x, weight, bias, padding=1)
        if layer in LAYERS:
            found[layer] = x[0].flatten(1)
        x = F.relu(x)
        if layer == "conv1_2":
            x = F.max_pool2d(x, 2)
    return found


def assert_close(found: Mapping[str, Tensor], wanted: dict[str, np.ndarray]) -> None:
    for layer, gram in wanted.items():
        assert found[layer].dtype == torch.float32
        scale = np.abs(gram).max()
        assert np.abs(found[layer].numpy() - gram).max() < 1e-5 * scale, layer


def test_targets_of_an_image_at_hand_are_those_of_its_file(
    folder: Folder, extractor: Extractor
) -> None:
    style = folder.style(folder.image("a.png", 1, 48, 32))
    with Image.open(folder.root / "a.png") as image:
        found = image_statistics(to_tensor(np.array(image)), SPEC, extractor)
    assert_equal(found, folder.targets().get(style, REQUEST, lambda: extractor))


def test_targets_are_the_textbooks_gram_matrices_for_each_position(
    folder: Folder, extractor: Extractor, tensors: dict[str, tuple[Tensor, Tensor]]
) -> None:
    image = folder.image("s.png", 1)
    found = folder.targets().get(folder.style(image), REQUEST, lambda: extractor)
    naive = naive_grams(folder.root / "s.png", (48, 32), tensors)
    assert_close(found, {layer: gram / positions for layer, (gram, positions) in naive.items()})


@pytest.mark.parametrize(
    ("size", "longest_px", "wanted"),
    [
        ((60, 40), 48, (48, 32)),
        ((40, 60), 48, (32, 48)),
        ((30, 20), 48, (48, 32)),  # a small style is enlarged
        ((48, 31), 48, (48, 31)),
        ((200, 20), 64, (64, 16)),  # a ribbon keeps enough rows for the pooling
    ],
)
def test_a_style_is_scaled_to_its_longest_edge(
    folder: Folder,
    extractor: Extractor,
    tensors: dict[str, tuple[Tensor, Tensor]],
    size: tuple[int, int],
    longest_px: int,
    wanted: tuple[int, int],
) -> None:
    image = folder.image("s.png", 2, *size)
    request = replace(REQUEST, size_px=longest_px)
    found = folder.targets().get(folder.style(image), request, lambda: extractor)
    naive = naive_grams(folder.root / "s.png", wanted, tensors)
    assert_close(found, {layer: gram / positions for layer, (gram, positions) in naive.items()})


def test_a_blend_is_the_weighted_mean_of_divided_grams(
    folder: Folder, extractor: Extractor, tensors: dict[str, tuple[Tensor, Tensor]]
) -> None:
    first = replace(folder.image("a.png", 3), weight=3.0)
    second = replace(folder.image("b.png", 4, 40, 60), weight=1.0)
    found = folder.targets().get(folder.style(first, second), REQUEST, lambda: extractor)
    a = naive_grams(folder.root / "a.png", (48, 32), tensors)
    b = naive_grams(folder.root / "b.png", (32, 48), tensors)
    wanted = {
        layer: 0.75 * a[layer][0] / a[layer][1] + 0.25 * b[layer][0] / b[layer][1]
        for layer in LAYERS
    }
    assert_close(found, wanted)
    assert len(folder.files()) == 2
    # The weights are no part of what is cached.
    other = folder.style(replace(first, weight=1.0), second)
    assert not torch.equal(folder.targets().get(other, REQUEST, never)["conv1_1"], found["conv1_1"])


def test_weights_of_a_blend_count_by_their_share(folder: Folder, extractor: Extractor) -> None:
    images = folder.image("a.png", 3), folder.image("b.png", 4)
    targets = folder.targets()
    blends = [
        targets.get(
            folder.style(replace(images[0], weight=2 * scale), replace(images[1], weight=scale)),
            REQUEST,
            lambda: extractor,
        )
        for scale in (1.0, 4.0)
    ]
    assert_equal(*blends)


def test_a_blend_of_one_image_is_that_image(folder: Folder, extractor: Extractor) -> None:
    image = folder.image("a.png", 3)
    alone = folder.targets().get(folder.style(image), REQUEST, lambda: extractor)
    blend = folder.style(replace(image, weight=0.3))
    assert_equal(folder.targets().get(blend, REQUEST, never), alone)


def test_pixels_to_a_tensor_and_back_are_the_same() -> None:
    pixels = np.arange(768, dtype=np.uint8).reshape(16, 16, 3)
    tensor = to_tensor(pixels)
    assert (tensor.shape, tensor.dtype) == ((1, 3, 16, 16), torch.float32)
    assert tensor.min() == 0
    assert tensor.max() == 1
    assert tensor[0, 1, 2, 3] == pixels[2, 3, 1] / np.float32(255)
    assert np.array_equal(to_pixels(tensor), pixels)
    outside = torch.tensor([-0.1, 0.5, 1.2]).view(1, 3, 1, 1)
    assert to_pixels(outside).tolist() == [[[0, 128, 255]]]


# --- other fits, statistics and ranges -------------------------------------------------------


@pytest.mark.parametrize(
    ("fit", "aspect", "size_px", "wanted"),
    [
        ("shortest", (1, 1), 32, (48, 32)),
        ("shortest", (1, 1), 33, (49, 33)),  # 49.5, rounded down as torchvision does
        ("stretch", (1, 1), 32, (32, 32)),
        ("stretch", (4, 3), 64, (64, 48)),
    ],
)
def test_a_style_is_resized_as_the_fit_says(
    folder: Folder,
    extractor: Extractor,
    tensors: dict[str, tuple[Tensor, Tensor]],
    fit: str,
    aspect: tuple[int, int],
    size_px: int,
    wanted: tuple[int, int],
) -> None:
    request = replace(REQUEST, size_px=size_px, fit=fit, aspect=aspect)
    image = folder.image("s.png", 2)
    found = folder.targets().get(folder.style(image), request, lambda: extractor)
    naive = naive_grams(folder.root / "s.png", wanted, tensors)
    assert_close(found, {layer: gram / positions for layer, (gram, positions) in naive.items()})


def test_a_style_is_cropped_as_torchvision_does_it(
    folder: Folder, extractor: Extractor, tensors: dict[str, tuple[Tensor, Tensor]]
) -> None:
    request = replace(REQUEST, size_px=32, fit="crop", resampling="bilinear")
    image = folder.image("s.png", 2, 61, 40)
    found = folder.targets().get(folder.style(image), request, lambda: extractor)
    with Image.open(folder.root / "s.png") as picture_:
        CenterCrop(32)(Resize(32, InterpolationMode.BILINEAR)(picture_)).save(
            folder.root / "cut.png"
        )
    naive = naive_grams(folder.root / "cut.png", (32, 32), tensors)
    assert_close(found, {layer: gram / positions for layer, (gram, positions) in naive.items()})


def test_means_and_deviations_are_torch_s_in_float64(
    folder: Folder, extractor: Extractor, tensors: dict[str, tuple[Tensor, Tensor]]
) -> None:
    request = replace(REQUEST, statistic="mean_std")
    image = folder.image("s.png", 1)
    found = folder.targets().get(folder.style(image), request, lambda: extractor)
    features = naive_features(folder.root / "s.png", (48, 32), tensors)
    for layer, rows in features.items():
        deviation = torch.sqrt(rows.var(1, correction=0) + 1e-5)
        wanted = torch.stack([rows.mean(1), deviation])
        assert torch.allclose(found[layer].double(), wanted, rtol=1e-4, atol=1e-5)
    assert_equal(folder.targets().get(folder.style(image), request, never), found)


def test_the_full_range_is_given_to_an_image_as_numpy_does_it() -> None:
    pixels = np.asarray(picture(3, 20, 12)) // 3 + 40
    found = to_tensor(pixels, "min_max")[0].permute(1, 2, 0).double().numpy()
    low, high = int(pixels.min()), int(pixels.max())
    assert np.abs(found - (pixels.astype(np.float64) - low) / (high - low)).max() < 1e-6
    assert (found.min(), found.max()) == (0, 1)
    full = np.asarray(picture(3, 20, 12)).copy()
    full[0, 0] = (0, 128, 255)
    assert torch.allclose(to_tensor(full, "min_max"), to_tensor(full), atol=1e-7)


def test_an_image_of_one_value_can_be_given_the_full_range() -> None:
    assert bool((to_tensor(np.full((4, 4, 3), 77, np.uint8), "min_max") == 0).all())


def test_a_stretched_style_has_the_targets_of_the_stretched_pixels(
    folder: Folder, extractor: Extractor, tensors: dict[str, tuple[Tensor, Tensor]]
) -> None:
    pixels = np.asarray(picture(3, 48, 32)) // 2 + 30
    Image.fromarray(pixels).save(folder.root / "dull.png")
    digest = digest_bytes((folder.root / "dull.png").read_bytes())
    request = replace(REQUEST, input_stretch="min_max")
    style = folder.style(StyleImage("dull.png", 1.0, digest))
    found = folder.targets().get(style, request, lambda: extractor)
    values = (pixels - float(pixels.min())) / float(int(pixels.max()) - int(pixels.min()))
    features = features_of(values, tensors)
    for layer, rows in features.items():
        wanted = (rows @ rows.T / rows.shape[1]).numpy()
        assert np.abs(found[layer].numpy() - wanted).max() < 1e-5 * np.abs(wanted).max()


# --- colours of the content ------------------------------------------------------------------


def test_targets_in_the_content_s_colours_are_those_of_a_recoloured_style(
    folder: Folder, extractor: Extractor, tensors: dict[str, tuple[Tensor, Tensor]]
) -> None:
    image, colors = folder.image("s.png", 1, 48, 32), np.asarray(picture(9, 20, 30))
    found = folder.targets().get(folder.style(image), REQUEST, lambda: extractor, colors)
    style = np.asarray(picture(1, 48, 32))
    Image.fromarray(match_colors(style, colors)).save(folder.root / "recoloured.png")
    naive = naive_grams(folder.root / "recoloured.png", (48, 32), tensors)
    assert_close(found, {layer: gram / positions for layer, (gram, positions) in naive.items()})


def test_targets_in_the_content_s_colours_are_its_own_and_kept_nowhere(
    folder: Folder, extractor: Extractor
) -> None:
    style, targets = folder.style(folder.image("s.png", 1)), folder.targets()

    def get(colors: np.ndarray | None) -> Mapping[str, Tensor]:
        return targets.get(style, REQUEST, lambda: extractor, colors)

    one, other = (get(np.asarray(picture(number, 30, 20))) for number in (8, 9))
    assert not torch.equal(one["conv1_1"], other["conv1_1"])
    assert folder.files() == []
    plain = get(None)
    assert len(folder.files()) == 1
    assert not torch.equal(one["conv1_1"], plain["conv1_1"])
    assert_equal(get(np.asarray(picture(8, 30, 20))), one)
    assert_equal(get(None), plain)
    assert len(folder.files()) == 1


# --- the style as a start --------------------------------------------------------------------


def test_a_style_as_a_start_is_cut_from_its_centre_or_stretched(folder: Folder) -> None:
    style = folder.style(folder.image("s.png", 1, 61, 40))
    drawn = picture(1, 61, 40)
    bilinear = replace(REQUEST, resampling="bilinear")
    stretched = folder.targets().image(style, 24, 32, replace(bilinear, fit="stretch"))
    wanted = np.asarray(drawn.resize((24, 32), Image.Resampling.BILINEAR))
    assert stretched.shape == (1, 3, 32, 24)
    assert np.array_equal(to_pixels(stretched), wanted)
    square = np.asarray(CenterCrop(32)(Resize(32, InterpolationMode.BILINEAR)(drawn)))
    for fit in ("longest", "shortest", "crop"):
        found = folder.targets().image(style, 32, 32, replace(bilinear, fit=fit))
        assert np.array_equal(to_pixels(found), square)


def test_a_blend_as_a_start_is_the_weighted_mean_of_its_images(folder: Folder) -> None:
    first = replace(folder.image("a.png", 3, 32, 32), weight=3.0)
    second = folder.image("b.png", 4, 32, 32)
    found = folder.targets().image(folder.style(first, second), 32, 32, REQUEST)
    a, b = (np.asarray(picture(number, 32, 32)) / 255 for number in (3, 4))
    wanted = torch.from_numpy(0.75 * a + 0.25 * b).permute(2, 0, 1)[None]
    assert torch.allclose(found.double(), wanted, atol=1e-6)


def test_the_picture_of_a_style_is_the_style_as_it_is(folder: Folder) -> None:
    style = folder.style(folder.image("a.png", 3, 33, 21), folder.image("b.png", 4))
    assert np.array_equal(folder.targets().picture(style), np.asarray(picture(3, 33, 21)))


# --- the cache -------------------------------------------------------------------------------


def test_what_is_cached_needs_neither_the_style_nor_the_network(
    folder: Folder, extractor: Extractor
) -> None:
    style = folder.style(folder.image("s.png", 1))
    first = folder.targets().get(style, REQUEST, lambda: extractor)
    (path,) = folder.files()
    before = path.stat().st_mtime_ns
    (folder.root / "s.png").unlink()
    assert_equal(folder.targets().get(style, REQUEST, never), first)
    assert path.stat().st_mtime_ns == before


def test_what_is_in_memory_needs_no_file_either(folder: Folder, extractor: Extractor) -> None:
    style, targets = folder.style(folder.image("s.png", 1)), folder.targets()
    first = targets.get(style, REQUEST, lambda: extractor)
    (path,) = folder.files()
    path.unlink()
    assert targets.get(style, REQUEST, never) is first


def test_memory_holds_as_many_as_fit_and_those_that_were_used_last(
    folder: Folder, extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    styles = [folder.style(folder.image(f"{n}.png", n)) for n in range(3)]
    targets = folder.targets()
    sizes = [
        sum(each.nbytes for each in targets.get(style, REQUEST, lambda: extractor).values())
        for style in styles
    ]
    monkeypatch.setattr("stylebatch.device.style_targets.MAX_BYTES_IN_MEMORY", 2 * sizes[0])
    few = folder.targets()
    first, second = (few.get(style, REQUEST, never) for style in styles[:2])
    assert few.get(styles[0], REQUEST, never) is first
    third = few.get(styles[2], REQUEST, never)
    assert few.get(styles[0], REQUEST, never) is first
    assert few.get(styles[2], REQUEST, never) is third
    assert few.get(styles[1], REQUEST, never) is not second


def test_one_file_serves_every_order_of_layers(folder: Folder, extractor: Extractor) -> None:
    style = folder.style(folder.image("s.png", 1))
    first = folder.targets().get(style, REQUEST, lambda: extractor)
    turned = folder.targets().get(style, replace(REQUEST, layers=LAYERS[::-1]), never)
    assert list(turned) == list(LAYERS[::-1])
    assert_equal(turned, first)
    assert len(folder.files()) == 1


OTHERS: dict[str, Any] = {
    "size_px": 64,
    "layers": ("conv1_1",),
    "layers_digest": "another",
    "pooling": "average",
    "padding": "reflect",
    "device_kind": "cuda",
    "statistic": "mean_std",
    "normalisation": "none",
    "input_range": 256,
    "input_stretch": "min_max",
    "fit": "stretch",
    "aspect": (4, 3),
    "resampling": "nearest",
    "halvings": 1,
}


def test_each_input_that_decides_the_numbers_names_another_file() -> None:
    assert {field.name for field in fields(TargetRequest)} == OTHERS.keys()
    keys = {REQUEST.cache_key("image"), REQUEST.cache_key("other image")}
    keys |= {replace(REQUEST, **{name: other}).cache_key("image") for name, other in OTHERS.items()}
    assert len(keys) == 2 + len(OTHERS)


@pytest.mark.parametrize("damage", ["cut", "emptied", "replaced", "a bit"])
def test_a_damaged_file_is_written_again(folder: Folder, extractor: Extractor, damage: str) -> None:
    style = folder.style(folder.image("s.png", 1))
    first = folder.targets().get(style, REQUEST, lambda: extractor)
    (path,) = folder.files()
    good = path.read_bytes()
    flipped = bytes([good[0] ^ 0x40]) + good[1:]
    bad = {"cut": good[:-5], "emptied": b"", "replaced": b"something else", "a bit": flipped}
    path.write_bytes(bad[damage])
    assert_equal(folder.targets().get(style, REQUEST, lambda: extractor), first)
    assert path.read_bytes() == good


def test_nothing_but_whole_files_is_in_the_cache(folder: Folder, extractor: Extractor) -> None:
    folder.targets().get(folder.style(folder.image("s.png", 1)), REQUEST, lambda: extractor)
    assert [path.suffix for path in folder.files()] == [".safetensors"]


def test_a_cache_that_can_not_be_written_is_told_of_once_and_done_without(
    folder: Folder, extractor: Extractor
) -> None:
    folder.cache.write_text("a file where the folder should be")
    told: list[str] = []
    targets = StyleTargets(folder.root, folder.cache, told.append)
    for number in range(2):
        style = folder.style(folder.image(f"{number}.png", number))
        assert targets.get(style, REQUEST, lambda: extractor).keys() == set(LAYERS)
    (line,) = told
    assert "can't be cached there (" in line
    assert "run.cache or $STYLEBATCH_CACHE" in line


def test_any_bit_that_flips_in_a_file_is_found_and_told_of(
    folder: Folder, extractor: Extractor
) -> None:
    style = folder.style(folder.image("s.png", 1))
    first = folder.targets().get(style, REQUEST, lambda: extractor)
    (path,) = folder.files()
    good = path.read_bytes()
    draw = random.Random(0)
    # All of its header, and some of its numbers.
    length = 8 + int.from_bytes(good[:8], "little")
    places = [*range(length), *(draw.randrange(length, len(good)) for _ in range(50))]
    for place in places:
        told: list[str] = []
        bad = bytearray(good)
        bad[place] ^= 1 << draw.randrange(8)
        path.write_bytes(bad)
        targets = StyleTargets(folder.root, folder.cache, told.append)
        assert_equal(targets.get(style, REQUEST, lambda: extractor), first)
        if told:
            assert told == [f"{path}: cached style targets are damaged, and are computed again"]
        else:
            # A blank instead of another, or the digest's own name: nothing that is used.
            assert place < length
        path.write_bytes(good)


def test_a_file_from_before_there_were_digests_is_computed_again_in_silence(
    folder: Folder, extractor: Extractor
) -> None:
    style = folder.style(folder.image("s.png", 1))
    first = folder.targets().get(style, REQUEST, lambda: extractor)
    (path,) = folder.files()
    good = path.read_bytes()
    path.write_bytes(save({name: tensor + 1 for name, tensor in load(good).items()}))
    told: list[str] = []
    targets = StyleTargets(folder.root, folder.cache, told.append)
    assert_equal(targets.get(style, REQUEST, lambda: extractor), first)
    assert (path.read_bytes(), told) == (good, [])


def test_what_killed_processes_left_beside_the_files_is_swept_once_it_is_old(
    folder: Folder, extractor: Extractor
) -> None:
    folder.targets().get(folder.style(folder.image("s.png", 1)), REQUEST, lambda: extractor)
    (path,) = folder.files()
    old, new = (path.with_name(f".{path.name}.{pid}-abcd.tmp") for pid in (1, 2))
    for each in (old, new):
        each.write_bytes(b"half")
    os.utime(old, (0, 0))
    folder.targets().get(folder.style(folder.image("t.png", 2)), REQUEST, lambda: extractor)
    assert not old.exists()
    assert new.exists()


# --- the style image -------------------------------------------------------------------------


def test_a_style_that_has_changed_since_planning_is_refused(
    folder: Folder, extractor: Extractor
) -> None:
    style = folder.style(folder.image("s.png", 1))
    folder.image("s.png", 2)
    with pytest.raises(
        StyleError, match=r"s\.png: this style image has changed since planning; run"
    ):
        folder.targets().get(style, REQUEST, lambda: extractor)
    assert folder.files() == []


def test_a_style_that_is_gone_is_told_by_its_path(folder: Folder, extractor: Extractor) -> None:
    style = folder.style(folder.image("s.png", 1))
    (folder.root / "s.png").unlink()
    with pytest.raises(StyleError, match=r"s\.png: can't be read \(No such file"):
        folder.targets().get(style, REQUEST, lambda: extractor)


def test_a_style_that_is_no_image_is_told_by_its_path(folder: Folder, extractor: Extractor) -> None:
    (folder.root / "s.png").write_bytes(b"no image")
    style = folder.style(StyleImage("s.png", 1.0, digest_bytes(b"no image")))
    with pytest.raises(ImageError, match=r"s\.png: no image: text"):
        folder.targets().get(style, REQUEST, lambda: extractor)


def test_the_bytes_of_a_style_can_be_given(folder: Folder, extractor: Extractor) -> None:
    image = folder.image("s.png", 1)
    from_file = folder.targets().get(folder.style(image), REQUEST, lambda: extractor)
    targets = StyleTargets(folder.root, folder.root / "another cache")
    assert targets.images.take(folder.root / "s.png")[1] == image.digest
    (folder.root / "s.png").unlink()
    assert_equal(targets.get(folder.style(image), REQUEST, lambda: extractor), from_file)


# --- the same bits ---------------------------------------------------------------------------

WITH_THREADS = """
import sys
from pathlib import Path
import torch
from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.pictures.images import decode
from stylebatch.device.requests import TargetRequest
from stylebatch.device.style_targets import StyleTargets
from stylebatch.records import Style, StyleImage
from stylebatch.system.files import digest_bytes
from stylebatch.transfer.extractor import Extractor
from stylebatch.extractors.weights import find_weights, load_tensors

root, layers = Path(sys.argv[1]), ("conv1_1", "conv2_1", "conv3_1")
tensors = load_tensors(find_weights("vgg19", "random", root), layers)
extractor = Extractor(ARCHITECTURES["vgg19"], tensors, layers, mean=(0.5,) * 3, std=(0.25,) * 3)
for threads in (1, 2):
    torch.set_num_threads(threads)
    targets = StyleTargets(root, root / f"cache{threads}")
    for path in sorted(root.glob("*.png")):
        image = StyleImage(path.name, 1.0, digest_bytes(path.read_bytes()))
        style = Style(image.digest, "s", (image,), image.digest)
        for size in (24, 64, 97):
            request = TargetRequest(size, layers, "digest", "max", "zeros", "cpu")
            targets.get(style, request, lambda: extractor)
"""


@pytest.mark.slow
def test_one_and_two_threads_write_the_same_bytes(folder: Folder) -> None:
    for number, size in enumerate([(60, 40), (33, 47), (120, 24)]):
        folder.image(f"{number}.png", number, *size)
    assert run_process(WITH_THREADS, str(folder.root)) == (0, "", "")
    files = [
        {path.name: path.read_bytes() for path in (folder.root / f"cache{n}/grams").iterdir()}
        for n in (1, 2)
    ]
    assert len(files[0]) == 9
    assert files[0] == files[1]

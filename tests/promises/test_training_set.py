"""A folder that trains as it stands: formats, originals beside what is made of them, loaders."""

import importlib.util
import io
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.runs import COMMAND, PATIENCE_S, Small, command, contents, picture, small_project
from torchvision.datasets import ImageFolder

from stylebatch.system.crash_points import ENVIRONMENT_VARIABLE

pytestmark = pytest.mark.slow

FORMATS: dict[str, Any] = {
    ".png": "png",
    ".jpg": {"jpeg": {"quality": 90}},
    ".webp": "webp",
}
STYLISED = ("cats/a-s", "cats/a-t", "dogs/b-s", "dogs/b-t")
ORIGINALS = ("cats/a", "dogs/b")


def paths(suffix: str, *stems: str) -> set[str]:
    return {stem + suffix for stem in (stems or (*STYLISED, *ORIGINALS))}


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return small_project(tmp_path)


def opened(small: Small, path: str) -> Image.Image:
    return load(small.out / "images" / path)


def load(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


def crash(small: Small, point: str, turn: int) -> None:
    """Run in a process that ends at a point, as if it were killed."""
    done = subprocess.run(
        [*COMMAND, "run", str(small.write()), "--quiet"],
        env={**os.environ, ENVIRONMENT_VARIABLE: f"{point}@{turn}:{small.root / 'ended'}"},
        capture_output=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode not in (0, 1, 2, 3), done


# Formats


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_file_has_the_format_that_is_asked_for(small: Small, suffix: str) -> None:
    small.pair |= {"format": FORMATS[suffix], "originals": "copy"}
    assert small.run().code == 0
    assert small.images().keys() == paths(suffix)
    formats = {opened(small, path).format for path in small.images()}
    assert formats == {{".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP"}[suffix]}
    assert small.again() == set()
    for row in small.metadata().values():
        settings = json.loads((small.out / "settings.json").read_bytes())[row["settings_id"]]
        assert settings["format"] == FORMATS[suffix]


def test_pixels_are_the_same_in_png_and_webp(small: Small) -> None:
    assert small.run().code == 0
    made = {path: np.asarray(opened(small, f"{path}.png")) for path in STYLISED}
    small.pair["format"] = "webp"
    assert small.again("--keep-stale") == paths(".webp", *STYLISED)
    for path, pixels in made.items():
        assert np.array_equal(np.asarray(opened(small, f"{path}.webp")), pixels)


def test_another_format_is_another_set_and_the_old_one_goes_aside_with_its_logs(
    small: Small,
) -> None:
    small.pair["override"] |= {"side_by_side": True, "progress_at": [2]}
    assert small.run().code == 0
    logs = {path.name for path in (small.out / "losses").rglob("*.csv")}
    small.pair["format"] = "jpeg"
    assert small.again() == paths(".jpg", *STYLISED)
    assert small.images().keys() == small.metadata().keys() == paths(".jpg", *STYLISED)
    assert small.stale() == paths(".png", *STYLISED)
    (aside,) = (small.out / ".stylebatch/stale").iterdir()
    assert {path.name for path in (aside / "losses").rglob("*.csv")} == logs
    assert {path.name for path in (small.out / "losses").rglob("*.csv")} == {
        f"{Path(path).name}.jpg.csv" for path in STYLISED
    }
    for kept, suffix in ((aside, ""), (small.out, ".jpg")):
        rows = contents(kept / "side_by_side")
        assert rows.keys() == {f"{path}{suffix}.png" for path in STYLISED}
    # What is wanted again lies there.
    del small.pair["format"]
    assert small.run().code == 0
    assert (small.summary()["taken_back"], small.summary()["done"]) == (4, 0)


def test_another_quality_makes_the_files_again(small: Small) -> None:
    small.pair["format"] = "jpeg"
    assert len(small.again()) == 4
    small.pair["format"] = {"jpeg": {"quality": 95}}
    assert small.again() == set()
    small.pair["format"] = {"jpeg": {"quality": 50}}
    assert len(small.again()) == 4


def test_transparency_comes_out_on_white_and_the_plan_says_so(small: Small) -> None:
    clear = picture(5, 16, 16, "RGBA")
    clear.putalpha(0)
    clear.save(small.root / "photos/cats/clear.png")
    small.pair |= {"format": "jpeg", "originals": "copy", "content": "photos/cats"}
    told = command("plan", str(small.write())).out
    assert "(as in clear.png) comes out on white: JPEG has no transparency" in told
    assert small.run().code == 0
    for path in ("clear.jpg", "clear-s.jpg"):
        assert np.asarray(opened(small, path)).min() >= 250
    small.pair["format"] = "webp"
    assert "transparen" not in command("plan", str(small.write())).out
    assert small.run().code == 0
    for path in ("clear.webp", "clear-s.webp"):
        assert np.asarray(opened(small, path))[..., 3].max() == 0


def test_what_a_format_can_not_hold_fails_alone(small: Small) -> None:
    small.photo("cats/long.png", 5, 16_400, 16)
    small.pair |= {"format": "webp", "originals": "copy"}
    assert small.run().code == 3
    assert small.images().keys() == paths(".webp")
    reasons = (small.out / "failures.jsonl").read_text(encoding="utf-8")
    assert reasons.count("its file would have 16400×16 px; webp has at most 16,383 px") == 3


# Provenance


def described(image: Image.Image) -> dict[str, Any] | None:
    texts = getattr(image, "text", {}) or {}
    text = texts.get("Description") or image.getexif().get(270)
    return json.loads(text) if text else None


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_says_how_it_was_made(small: Small, suffix: str) -> None:
    small.pair |= {"format": FORMATS[suffix], "originals": "copy", "recipe": "gatys", "steps": 2}
    small.pair |= {"strength": [0.5, 2], "override": {"start": "noise", "levels": 1}}
    assert small.run().code == 0
    for path, row in small.metadata().items():
        told = described(opened(small, path))
        name = row["content"].rpartition("/")[2]
        if row["kind"] == "original":
            assert told == {"content": name}
            continue
        style = Path(row["style"]).stem
        told_of = {"content": name, "style": style, "recipe": "gatys"}
        assert told == {**told_of, "strength": row["strength"], "seed": row["seed"]}
        assert isinstance(row["seed"], int)


@pytest.mark.parametrize("suffix", FORMATS)
def test_it_can_be_left_out_and_what_is_there_stays_as_it_is(small: Small, suffix: str) -> None:
    small.pair |= {"format": FORMATS[suffix], "originals": "copy", "provenance": False}
    assert small.run().code == 0
    assert [described(opened(small, path)) for path in small.images()] == [None] * 6
    before = small.images()
    small.pair["provenance"] = True
    assert small.again() == set()
    assert small.images() == before


# Originals


def test_a_copy_is_upright_in_srgb_of_the_size_of_what_is_made(small: Small) -> None:
    image = picture(6, 60, 30)
    exif = Image.Exif()
    exif[274] = 6  # a quarter to the right
    exif[272] = "a camera"
    image.save(small.root / "photos/cats/turned.jpg", quality=100, subsampling=0, exif=exif)
    stored = load(small.root / "photos/cats/turned.jpg").convert("RGB")
    upright = stored.transpose(Image.Transpose.ROTATE_270)
    small.pair |= {"originals": "copy", "provenance": False}
    assert small.run().code == 0
    found = opened(small, "cats/turned.png")
    assert np.array_equal(np.asarray(found), np.asarray(upright))
    assert not found.getexif()
    small.pair["output_size"] = 20
    assert len(small.again()) == 9
    assert {opened(small, path).size for path in small.images() if "turned" in path} == {(10, 20)}
    wanted = upright.resize((10, 20), Image.Resampling.LANCZOS)
    assert np.array_equal(np.asarray(opened(small, "cats/turned.png")), np.asarray(wanted))


@pytest.mark.parametrize("size", ["work", 20, [24, 16]])
def test_originals_and_stylised_images_have_one_size(small: Small, size: Any) -> None:
    for number, edges in enumerate([(40, 24), (24, 40), (33, 33)]):
        small.photo(f"cats/{number}.png", number, *edges)
    small.pair |= {"originals": "copy", "output_size": size}
    assert small.run().code == 0
    sizes: dict[str, set[tuple[int, int]]] = {}
    for path, row in small.metadata().items():
        sizes.setdefault(row["content"], set()).add(opened(small, path).size)
    assert {len(found) for found in sizes.values()} == {1}


def test_a_link_is_the_file_itself(small: Small) -> None:
    small.pair["originals"] = "link"
    assert small.run().code == 0
    for path in ORIGINALS:
        photo, linked = small.root / f"photos/{path}.png", small.out / f"images/{path}.png"
        assert linked.samefile(photo)
    before = {path: path.read_bytes() for path in (small.root / "photos").rglob("*.png")}
    # Removed and wanted again, replaced, set aside: the photographs stay.
    small.photo("cats/a.png", 9)
    before[small.root / "photos/cats/a.png"] = (small.root / "photos/cats/a.png").read_bytes()
    assert small.run().code == 0
    assert small.summary()["done"] == 3
    assert (small.out / "images/cats/a.png").samefile(small.root / "photos/cats/a.png")
    small.pair["originals"] = "copy"
    assert small.run().code == 0
    small.pair["originals"] = "none"
    assert small.run().code == 0
    assert {path: path.read_bytes() for path in before} == before


def test_a_link_that_loaders_would_take_otherwise_fails_with_its_reason(small: Small) -> None:
    picture(1).save(small.root / "photos/cats/g.gif")
    exif = Image.Exif()
    exif[274] = 6
    picture(2).save(small.root / "photos/cats/turned.jpg", exif=exif)
    small.pair["originals"] = "link"
    assert small.run().code == 3
    reasons = (small.out / "failures.jsonl").read_text(encoding="utf-8")
    assert "loaders pass over .gif" in reasons
    assert "is turned by its EXIF orientation" in reasons
    assert {"cats/g-s.png", "cats/turned-s.png"} <= small.images().keys()


def test_a_link_needs_the_content_s_size(small: Small) -> None:
    small.pair |= {"originals": "link", "output_size": [20, 20]}
    ended = small.run()
    assert ended.code == 2
    assert "pairs[0].originals: found link, but output_size is [20, 20]" in ended.err
    assert "write `originals: copy`" in ended.err


def test_a_recipe_that_changes_leaves_the_originals(small: Small) -> None:
    small.pair["originals"] = "copy"
    assert small.run().code == 0
    small.pair["steps"] = 2
    assert small.again() == paths(".png", *STYLISED)
    small.pair["originals"] = {"how": "copy", "share": 1}
    assert small.again() == set()


def test_a_photograph_that_changes_is_replaced_and_one_that_is_gone_goes_aside(
    small: Small,
) -> None:
    small.pair["originals"] = "copy"
    assert small.run().code == 0
    small.photo("cats/a.png", 77)
    assert small.again() == paths(".png", "cats/a", "cats/a-s", "cats/a-t")
    small.remove_photo("dogs/b.png")
    assert small.run().code == 0
    assert small.images().keys() == small.metadata().keys()
    assert paths(".png", "dogs/b", "dogs/b-s", "dogs/b-t") <= small.stale()
    del small.pair["originals"]
    assert small.run().code == 0
    assert small.images().keys() == paths(".png", "cats/a-s", "cats/a-t")


def test_a_share_is_drawn_by_the_seed_and_stays_when_images_are_added(small: Small) -> None:
    for number in range(60):
        small.photo(f"cats/{number:03}.png", number)
    small.pair |= {"originals": {"how": "copy", "share": 0.5}, "styles": ["styles/s.png"]}

    def carried() -> set[str]:
        told = command("plan", str(small.write()), "--jobs").out.splitlines()
        return {job["output"] for job in map(json.loads, told) if not job["style"]}

    half = carried()
    assert 15 <= len(half) <= 47
    small.pair["originals"]["share"] = 0.8
    assert half < carried()
    small.pair["originals"]["share"] = 0.5
    small.photo("dogs/more.png", 1)
    assert carried() - {"dogs/more.png"} == half
    small.document["seed"] = 1
    assert carried() - {"dogs/more.png"} != half


def test_names_never_meet_and_what_is_made_keeps_its_own(small: Small) -> None:
    for name in ("a-s.png", "A-T.bmp", "c.png", "c.tif"):
        small.photo(f"cats/{name}", len(name))
    assert small.run().code == 0
    made = small.images()
    assert paths(".png", *STYLISED) <= made.keys()
    small.pair["originals"] = "copy"
    assert small.run().code == 0
    rows = small.metadata()
    assert rows.keys() == small.images().keys()
    assert made.items() <= small.images().items()
    originals = {row["content"]: path for path, row in rows.items() if row["kind"] == "original"}
    assert len(originals) == 6
    assert len({path.lower() for path in rows}) == len(rows)
    for content, path in originals.items():
        stem = Path(content).stem
        plain = stem in ("a", "b")
        assert (path == f"{Path(content).parts[1]}/{stem}.png") == plain
        wanted = load(small.root / content).convert("RGB")
        assert np.array_equal(np.asarray(opened(small, path)), np.asarray(wanted))


def test_a_sweep_and_pairs_of_one_content_share_their_originals(small: Small) -> None:
    small.pair |= {"originals": "copy", "sweep": [{"style_weight": [1, 5]}]}
    other = small.pair | {"name": "other", "styles": ["styles/s.png"], "sweep": None}
    other["override"] = other["override"] | {"style_weight": 9}
    other["into"], small.pair["styles"] = "", ["styles/t.png"]
    small.document["pairs"].append(other)
    assert small.run().code == 0
    kinds = [row["kind"] for row in small.metadata().values()]
    assert (kinds.count("original"), kinds.count("stylised")) == (2, 6)
    other["into"] = "own"
    assert small.run().code == 0
    assert paths(".png", "own/cats/a", "own/dogs/b") <= small.images().keys()


def test_shards_part_the_originals_and_a_merge_tells_of_all(small: Small) -> None:
    small.pair["originals"] = "copy"
    assert small.run().code == 0
    wanted = small.images()
    other = small_project(small.root / "other")
    other.pair["originals"] = "copy"
    other.write()
    for number in range(3):
        assert other.run("--shard", f"{number}/3").code == 0
    assert command("merge", str(other.manifest)).code == 0
    assert other.images() == wanted
    assert other.metadata().keys() == wanted.keys()


def test_they_are_counted_and_a_few_images_are_what_is_made(small: Small) -> None:
    small.pair["originals"] = "copy"
    told = command("plan", str(small.write())).out
    assert "all: 2 photographs are carried over beside what is made of them" in told
    assert command("run", str(small.manifest), "--dry-run").code == 0
    # One of each class, and of each style.
    assert small.again("--limit", "2") == paths(".png", "cats/a-s", "dogs/b-t")
    (found,) = json.loads(command("status", str(small.manifest), "--json").out)["pairs"].values()
    assert (found["planned"], found["done"], found["left"]) == (6, 2, 4)
    ended = command("run", str(small.manifest), "--preview", "9")
    assert ended.code == 0
    assert "4 images" in ended.out


def test_the_room_that_they_take_is_told(small: Small) -> None:
    for number in range(4):
        small.photo(f"cats/{number}.png", number, 400, 300)

    def told() -> float:
        out = command("run", str(small.write()), "--dry-run").out
        assert "images: 12" in out
        assert ("images: 12, and 6 photographs to carry over" in out) == ("originals" in small.pair)
        size, unit = re.findall(r"^disk: about ([\d.]+) (\w+);", out, re.MULTILINE)[0]
        return float(size) * {"kB": 1e3, "MB": 1e6}[unit]

    alone = told()
    small.pair["originals"] = "link"
    linked = told()
    small.pair["originals"] = "copy"
    copied = told()
    small.pair["format"] = "jpeg"
    in_jpeg = told()
    assert alone <= linked < copied
    assert in_jpeg < 0.6 * copied
    assert small.run().code == 0
    found = sum(map(len, small.images().values()))
    assert 0.5 * in_jpeg < found < 1.5 * in_jpeg


def test_an_image_that_can_not_be_read_fails_as_an_original_too(small: Small) -> None:
    (small.root / "photos/cats/broken.png").write_bytes(b"no image")
    small.pair["originals"] = "copy"
    assert small.run().code == 3
    lines = (small.out / "failures.jsonl").read_text(encoding="utf-8").splitlines()
    failed = [json.loads(line) for line in lines]
    assert {row["file_name"]: row["kind"] for row in failed} == {
        "images/cats/broken-s.png": "stylised",
        "images/cats/broken-t.png": "stylised",
        "images/cats/broken.png": "original",
    }


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    ("point", "turn"),
    [("temporary-written", 2), ("file-renamed", 1), ("file-renamed", 4), ("recording", 1)],
)
@pytest.mark.parametrize("how", ["copy", "link"])
def test_a_kill_leaves_no_trace(small: Small, suffix: str, point: str, turn: int, how: str) -> None:
    if how == "link" and suffix != ".png":
        pytest.skip("a link has no format")
    small.pair |= {"format": FORMATS[suffix], "originals": how}
    whole = small_project(small.root / "whole")
    whole.pair |= {"format": FORMATS[suffix], "originals": how}
    assert whole.run().code == 0
    crash(small, point, turn)
    assert small.run().code == 0
    assert small.images() == whole.images()
    rows, wanted = small.metadata(), whole.metadata()
    for row in (*rows.values(), *wanted.values()):
        row.pop("seconds")
    assert rows == wanted
    photos = {path: path.read_bytes() for path in (small.root / "photos").rglob("*.png")}
    assert {path.read_bytes() for path in (whole.root / "photos").rglob("*.png")} == set(
        photos.values()
    )


def test_workers_of_their_own_make_the_same(small: Small) -> None:
    small.pair |= {"format": "webp", "originals": "copy"}
    assert small.run().code == 0
    wanted = small.images()
    other = small_project(small.root / "other")
    other.pair |= {"format": "webp", "originals": "copy"}
    other.document["run"] |= {"executor": "local", "cpu_workers": 2}
    assert other.run().code == 0
    assert other.images() == wanted


# Loaders


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("how", ["copy", "link"])
def test_torchvision_loads_all_of_it(small: Small, suffix: str, how: str) -> None:
    small.pair |= {"format": FORMATS[suffix], "originals": how}
    assert small.run().code == 0
    loaded = ImageFolder(str(small.out / "images"))
    assert loaded.classes == ["cats", "dogs"]
    rows = small.metadata()
    found = {
        Path(path).relative_to(small.out / "images").as_posix(): label
        for path, label in loaded.samples
    }
    assert found.keys() == rows.keys()
    assert all(loaded.classes[label] == rows[path]["label"] for path, label in found.items())
    assert {loaded[index][0].size for index in range(len(loaded))} == {(16, 16)}


@pytest.mark.skipif(importlib.util.find_spec("datasets") is None, reason="needs datasets")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", FORMATS)
def test_hugging_face_loads_all_of_it(small: Small, suffix: str, tmp_path: Path) -> None:
    from datasets import load_dataset  # type: ignore[import-untyped]

    small.pair |= {"format": FORMATS[suffix], "originals": "copy"}
    assert small.run().code == 0
    cache = str(tmp_path / "hf")
    folder = str(small.out / "images")
    loaded = load_dataset("imagefolder", data_dir=folder, cache_dir=cache, split="train")
    assert len(loaded) == 6
    assert set(loaded["label"]) == {"cats", "dogs"}
    assert {image.size for image in loaded["image"]} == {(16, 16)}
    lines = str(small.out / "metadata.jsonl")
    table = load_dataset("json", data_files=lines, cache_dir=cache, split="train")
    assert sorted(table["kind"]) == ["original"] * 2 + ["stylised"] * 4
    assert [
        style
        for style, kind in zip(table["style"], table["kind"], strict=True)
        if kind == "original"
    ] == [None, None]

"""Files of styles: what is in them, read without our code, and that flipped bits are found."""

import hashlib
import io
import json
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from support.libraries import Shelf, header, told
from support.runs import command

from stylebatch.library.errors import LibraryError
from stylebatch.library.shelf import Library
from stylebatch.library.style_file import StyleFile


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    shelf = Shelf(tmp_path_factory.mktemp("exported"))
    shelf.small.photo("cats/a.png", 1, 100, 90)
    shelf.small.pair["size_px"] = 96
    shelf.export()
    return shelf


def test_a_file_holds_the_image_the_targets_and_where_they_come_from(exported: Shelf) -> None:
    path = exported.files / "s.safetensors"
    tensors, facts = load_file(path), told(path)
    style = (exported.root / "styles/s.png").read_bytes()
    assert tensors["image"].tobytes() == style
    assert facts["digest"] == hashlib.blake2b(style, digest_size=16).hexdigest()
    assert (facts["name"], facts["file"], facts["size"]) == ("s", "s.png", len(style))
    assert (facts["width"], facts["height"]) == (16, 16)
    assert facts["versions"]["stylebatch"]
    assert facts["made"].endswith("+00:00")
    thumbnail = io.BytesIO(tensors["thumbnail"].tobytes())
    with Image.open(thumbnail) as small, Image.open(exported.root / "styles/s.png") as image:
        assert np.array_equal(np.asarray(small), np.asarray(image.convert("RGB")))
    # Exactly what the cache has, under the same keys, and with each its request.
    cached = {each.stem: load_file(each) for each in (exported.cache / "grams").glob("*.saf*")}
    own = {name for name in tensors if name.partition("/")[0] in facts["targets"]}
    assert {name.partition("/")[0] for name in own} == facts["targets"].keys()
    for name in own:
        key, _, layer = name.partition("/")
        assert tensors[name].tobytes() == cached[key][layer].tobytes()
        assert tensors[name].shape == cached[key][layer].shape
        request = facts["targets"][key]["request"]
        assert request["layers"] == ["conv1_1"]
        assert request["size_px"] in (64, 96, 128)


def test_the_same_is_exported_to_the_same_bytes_but_for_the_time(exported: Shelf) -> None:
    path = exported.files / "t.safetensors"
    first, start = header(path.read_bytes())
    first_bytes = path.read_bytes()[start:]
    exported.export("t")
    again, start = header(path.read_bytes())
    assert path.read_bytes()[start:] == first_bytes
    facts = [json.loads(each.pop("__metadata__")["style"]) for each in (first, again)]
    assert first == again
    assert {**facts[0], "made": ""} == {**facts[1], "made": ""}


def test_every_flipped_bit_is_found(exported: Shelf, tmp_path: Path) -> None:
    """Wherever in a file: none is read as if nothing had been."""
    path = exported.files / "s.safetensors"
    good = path.read_bytes()
    where = random.Random(1)
    _, start = header(good)
    places = [where.randrange(len(good)) for _ in range(150)]
    places += [where.randrange(start) for _ in range(150)]
    bad = tmp_path / "bad.safetensors"
    missed = []
    for place in places:
        data = bytearray(good)
        data[place] ^= 1 << where.randrange(8)
        bad.write_bytes(bytes(data))
        try:
            StyleFile.open(bad, "bad").check()
        except LibraryError:
            continue
        missed.append(place)
    # Blanks that fill the header up say nothing.
    assert all(good[place : place + 1] == b" " for place in missed), missed


def test_notes_and_licences_go_along(exported: Shelf, tmp_path: Path) -> None:
    manifest = str(exported.small.manifest)
    target = str(tmp_path / "noted.safetensors")
    arguments = ("export", "s", "--manifest", manifest, "-o", target)
    exported.styles(*arguments, "--note", "a wave", "--licence", "CC0")
    facts = told(Path(target))
    assert (facts["note"], facts["licence"]) == ("a wave", "CC0")
    # What is exported of the library keeps what is not said anew, and can lose its image.
    cache = ("--cache", str(tmp_path / "another"))
    exported.styles("import", target, "--as", "wave", *cache)
    bare = tmp_path / "bare.safetensors"
    exported.styles("export", "wave", "-o", str(bare), "--without-image", "--note", "big", *cache)
    facts = told(bare)
    assert (facts["name"], facts["note"], facts["licence"]) == ("wave", "big", "CC0")
    assert "image" not in load_file(bare)
    assert load_file(bare).keys() == load_file(target).keys() - {"image"}


def test_a_style_is_exported_of_the_cache_alone(exported: Shelf, tmp_path: Path) -> None:
    target = tmp_path / "t.safetensors"
    cache = ("--cache", str(exported.cache))
    exported.styles("export", "t", "-o", str(target), *cache)
    of_manifest = load_file(exported.files / "t.safetensors")
    of_cache = load_file(target)
    assert of_cache.keys() == of_manifest.keys()
    assert all(np.array_equal(of_cache[name], of_manifest[name]) for name in of_cache)
    style = exported.root / "styles/t.png"
    kept = style.read_bytes()
    style.unlink()
    ended = command("styles", "export", "t", "-o", str(tmp_path / "u.safetensors"), *cache)
    assert ended.code == 2
    assert "t.png: can't be read" in ended.err
    style.write_bytes(kept)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["wawe"], "no style 'wawe'; there are styles/s.png, styles/t.png"),
        (["s", "t", "-o", "one.safetensors"], "one file for 2 styles"),
        (["s"], "is there already"),
    ],
)
def test_what_can_not_be_exported_is_told(
    exported: Shelf, tmp_path: Path, arguments: list[str], says: str
) -> None:
    (tmp_path / "s.safetensors").write_bytes(b"somebody's")
    where = ["-o", str(tmp_path)] if "-o" not in arguments else []
    manifest = ("--manifest", str(exported.small.manifest))
    ended = command("styles", "export", *arguments, *where, *manifest)
    assert ended.code == 2
    assert says in ended.err
    assert (tmp_path / "s.safetensors").read_bytes() == b"somebody's"


def test_a_blend_is_exported_by_its_images(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.use({"name": "both", "blend": {"styles/s.png": 1, "styles/t.png": 1}})
    manifest = str(shelf.small.write())
    ended = command("styles", "export", "--manifest", manifest, "-o", str(tmp_path))
    assert ended.code == 2
    assert "'blend:both' is a blend of 2 images" in ended.err
    assert "blend `library:NAME`" in ended.err


def test_names_that_are_taken_are_not_given_away(exported: Shelf, tmp_path: Path) -> None:
    library = Library(tmp_path)
    one, two = ((exported.files / f"{name}.safetensors").read_bytes() for name in "st")
    assert library.put(one, "wave")
    assert not library.put(one, "wave")
    with pytest.raises(LibraryError, match="has another style of the name 'wave'"):
        library.put(two, "wave")
    assert library.place("wave").read_bytes() == one
    assert library.put(two, "wave", is_replacing=True)
    assert library.place("wave").read_bytes() == two
    assert library.names() == ["wave"]
    assert [path.name for path in library.folder.iterdir()] == ["wave.safetensors"]


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a:b", "bell\a", "x" * 81])
def test_names_that_no_file_should_have_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LibraryError, match="allowed is a name without /"):
        Library(tmp_path).put(b"", name)
    assert not list(tmp_path.iterdir())


def test_what_is_imported_is_whole(exported: Shelf, tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    data = bytearray((exported.files / "s.safetensors").read_bytes())
    data[-1] ^= 1
    bad.write_bytes(bytes(data))
    ended = command("styles", "import", str(bad), "--cache", str(tmp_path))
    assert ended.code == 2
    assert "is damaged" in ended.err
    assert Library(tmp_path).names() == []


def test_a_file_of_a_newer_stylebatch_is_refused(exported: Shelf, tmp_path: Path) -> None:
    from stylebatch.library.style_file import as_array, encode_style
    from stylebatch.system.files import digest_bytes

    facts = StyleFile.open(exported.files / "s.safetensors", "s").told
    newer = type(facts)(
        **{
            **{name: getattr(facts, name) for name in facts.__dataclass_fields__},
            "format": 2,
            "targets": {},
            "tensors": {},
            "digest": digest_bytes(b"x"),
        }
    )
    path = tmp_path / "newer.safetensors"
    path.write_bytes(encode_style(newer, {}, {"image": as_array(b"x")}))
    with pytest.raises(LibraryError, match=r"newer stylebatch \(format 2\); known is 1; update"):
        StyleFile.open(path, "newer")


def test_what_is_replaced_while_it_is_read_is_not_taken_for_damaged(
    exported: Shelf, tmp_path: Path
) -> None:
    path = tmp_path / "wave.safetensors"
    path.write_bytes((exported.files / "s.safetensors").read_bytes())
    file = StyleFile.open(path, "library:wave")
    path.write_bytes((exported.files / "t.safetensors").read_bytes())
    for read in (file.image, file.thumbnail, lambda: file.targets(next(iter(file.told.targets)))):
        with pytest.raises(LibraryError, match="was replaced by another while it was read"):
            read()


@pytest.mark.parametrize(
    "arguments",
    [
        ["s", "--manifest", "MANIFEST", "--cache", "somewhere"],
        ["s", "--set", "seed=1"],
        [],
    ],
)
def test_options_that_would_be_passed_over_are_refused(
    exported: Shelf, tmp_path: Path, arguments: list[str]
) -> None:
    told = [str(exported.small.manifest) if each == "MANIFEST" else each for each in arguments]
    ended = command("styles", "export", *told, "-o", str(tmp_path))
    assert ended.code == 2
    assert "manifest" in ended.err
    assert not list(tmp_path.iterdir())

"""Whatever stands in a file that a user hands in: only errors of our own come out of it.

Whole files are changed at a few places: bytes lost, doubled, or replaced by what programs stumble
over. `hypothesis` looks for the places; what it once found stays in `.hypothesis`.
STYLEBATCH_FUZZ=5000 looks at so many of each; `python -m support.fuzzing` lets coverage lead.
"""

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.encoded import encode
from support.runs import Small, color_project

from stylebatch.annotations import coco, csv_table, segmentation, voc, yolo
from stylebatch.annotations.findings import Converted, MalformedError, converted
from stylebatch.annotations.geometry import Geometry, GeometryError
from stylebatch.data import StylisedDataset
from stylebatch.errors import UserError
from stylebatch.extractors.weights import find_weights, load_tensors
from stylebatch.extractors.weights.names import NORMALISATIONS
from stylebatch.library.cached import Of
from stylebatch.manifest import Split, StyleSource, load_manifest
from stylebatch.pictures.masks import read_mask
from stylebatch.plan.split_lists import SplitLists
from stylebatch.plan.style_table import read_table

if TYPE_CHECKING:
    from torch import Tensor

# What numbers, texts and structures may be that nobody expects.
TOKENS = (
    *(b"", b"\0", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n", b"\n\n", b"\t", b" ", b",", b";", b'"'),
    *(b"'", b"\\", b"/", b"..", b"../..", b"{", b"}", b"[", b"]", b":", b"-", b"- ", b"&a ", b"*a"),
    *(b"<", b">", b"</", b"<!--", b"&#0;", b"null", b"~", b"true", b"nan", b"NaN", b"inf", b"-1"),
    *(b"0", b"1e999", b"-1e308", b"0x10", b"1_0", b"9" * 40, b"9" * 5000, b"1e-400", b"\xd9\xa3"),
    *("\ud800".encode(errors="surrogatepass"), "🎨".encode(), b"\\ud800", b"!!python/name:os.x"),
    *(b"{}", b"[]", b"[[[[[[", b"2026-01-01", b"<<: *a", b"? ", b"|", b"%", b"#", b"@", b"`"),
)
FUZZ = settings(
    max_examples=int(os.environ.get("STYLEBATCH_FUZZ", "150")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    data = whole
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 0, 1, 1, 2, 5, 20, 200])))
        put = draw(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=4)))
        data = data[:start] + put * draw(st.sampled_from([1, 1, 1, 2, 50])) + data[end:]
    return data


def ours(read: Callable[[], object]) -> None:
    """Read something; an error that is not ours comes out."""
    with contextlib.suppress(UserError):
        read()


MANIFEST = {
    "version": 1,
    "output": "out",
    "seed": 3,
    "extractor": {"arch": "vgg19", "weights": "random", "normalisation": "imagenet"},
    "defaults": {"recipe": "balanced", "size_px": 64, "strength": [0.5, 2]},
    "pairs": [
        {
            "name": "all",
            "content": "photos",
            "split": {"shares": {"train": 0.8, "val": 0.2}},
            "include": ["**/*.png"],
            "levels": 12,
            "styles": [
                "styles/*.png",
                {"name": "dusk", "blend": {"styles/s.png": 0.5, "styles/t.png": 2}},
            ],
            "assign": {"sample": 1},
            "output_size": [24, 24],
            "format": {"jpeg": {"quality": 90}},
            "originals": {"how": "copy", "share": 0.5},
            "accept": {"closed": [0.5, None]},
            "override": {"style_layers": {"conv1_1": 1}, "start": {"content": 0.5, "noise": 0.5}},
            "sweep": [{"style_weight": [1, 2]}],
        }
    ],
    "run": {"deadline": "8h", "max_failures": "5%", "devices": ["cpu"]},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return color_project(tmp_path_factory.mktemp("fuzzed"))


def test_the_manifest_that_is_fuzzed_is_sound(project: Small) -> None:
    project.manifest.write_text(yaml.safe_dump(MANIFEST))
    assert len(load_manifest(project.manifest).pairs) == 2


@FUZZ
@given(data=damaged(yaml.safe_dump(MANIFEST, sort_keys=False).encode()))
def test_a_manifest(project: Small, data: bytes) -> None:
    project.manifest.write_bytes(data)
    ours(lambda: load_manifest(project.manifest))


def places_in(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [(*above, key) for key, _ in (inner if isinstance(value, dict | list) else ())]
    for place in list(found):
        child = value[place[-1]]
        if isinstance(child, dict | list):
            found += places_in(child, place)
    return found


# Not the root of all files: a machine may have a million pictures there, which would be planned.
SHORT = st.text(max_size=8).filter(lambda text: not text.startswith("/"))
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    SHORT,
    st.sampled_from(
        ["..", "/dev/null", "~", "a/../../b", "\0", "*", "[", "a" * 300, "8h", "-5%", "{}"]
    ),
    st.lists(st.one_of(st.none(), st.integers(), SHORT), max_size=3),
    st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.floats()), max_size=2),
)


@FUZZ
@given(place=st.sampled_from(places_in(MANIFEST)), odd=ODD)
def test_a_manifest_with_an_odd_value(project: Small, place: tuple[Any, ...], odd: Any) -> None:
    document = json.loads(json.dumps(MANIFEST))
    holder = document
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = odd
    try:
        text = yaml.safe_dump(document, sort_keys=False)
    except UnicodeEncodeError:
        return
    project.manifest.write_text(text, encoding="utf-8", errors="surrogatepass")
    ours(lambda: load_manifest(project.manifest))


@FUZZ
@given(data=damaged(b'content,style,variant\ncats/a.png,s,1\n"dogs/b.png",styles/t.png,2\n'))
def test_a_map(data: bytes) -> None:
    styles = [StyleSource(f"styles/{name}.png", name, ()) for name in "st"]
    ours(lambda: read_table(data, "map.csv", styles, root=Path("/nowhere")))


@FUZZ
@given(data=damaged(b"cats/a.png\n./dogs/b.png\n# more\ncats/c.jpg\r\n"))
def test_a_list_of_a_split(data: bytes) -> None:
    ours(lambda: SplitLists(Split("lists", ("train",), ("train",), ("t.txt",))).read(0, data))


def palette_mask() -> bytes:
    image = Image.fromarray(np.arange(24 * 16, dtype=np.uint8).reshape(16, 24) % 2).convert("P")
    image.putpalette([0, 0, 0, 128, 0, 0])
    return encode(image, transparency=0)


@FUZZ
@given(data=st.one_of(*(damaged(encode(Image.new(mode, (24, 16)))) for mode in ("1", "L", "LA"))))
def test_a_mask(data: bytes) -> None:
    ours(lambda: read_mask(data, "masks/a.png"))


@FUZZ
@given(data=damaged(palette_mask()))
def test_a_palette_mask(data: bytes) -> None:
    ours(lambda: read_mask(data, "masks/a.png"))


# --- annotations: what is wrong is a `Problem` with its line, and never an error that ends a run


GEOMETRY = Geometry(24, 16, (12, 12), True, lambda: 1)
WHOLE = Geometry(24, 16, (24, 16), False, lambda: 1)
YOLO = b"0 0.5 0.5 0.25 0.5\n1 0.1 0.2 0.3 0.4\n"
VOC = b"""<annotation><folder>a</folder><filename>a.png</filename><path>/a</path>
<size><width>24</width><height>16</height><depth>3</depth></size><object><name>cat</name>
<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>11</ymax></bndbox>
<polygon><x1>1</x1><y1>2</y1><x2>3</x2><y2>4</y2></polygon></object></annotation>"""
COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": 24, "height": 16}],
    "annotations": [
        {
            **{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 12},
            **{"iscrowd": 0, "segmentation": [[1, 2, 4, 2, 4, 6]], "keypoints": [1, 2, 2]},
        }
    ],
    "categories": [{"id": 1, "name": "cat"}],
}
CSV = b"file_name,xmin,ymin,xmax,ymax,width,height\na.png,1,2,9,11,24,16\n"


def finds(convert: Callable[[], Converted]) -> None:
    found = converted(convert)
    assert all(problem.reason for problem in found.problems)


@FUZZ
@given(data=damaged(YOLO), geometry=st.sampled_from([GEOMETRY, WHOLE]))
def test_yolo(data: bytes, geometry: Geometry) -> None:
    for told in (yolo.Told(), yolo.Told((2, 3), 4)):
        finds(lambda told=told: yolo.convert(data, geometry, told))  # type: ignore[misc]


@FUZZ
@given(data=damaged(VOC), geometry=st.sampled_from([GEOMETRY, WHOLE]))
def test_voc(data: bytes, geometry: Geometry) -> None:
    finds(lambda: voc.convert(data, geometry, "images/a.png"))


@FUZZ
@given(data=damaged(json.dumps(COCO).encode()))
def test_coco(data: bytes) -> None:
    def convert() -> Converted:
        document = coco.read(data)
        for entries in document.annotations.values():
            for entry in entries:
                coco.place(entry, GEOMETRY.placement((24, 16)))
        return Converted()

    finds(convert)


@FUZZ
@given(data=damaged(CSV))
def test_csv(data: bytes) -> None:
    def convert() -> Converted:
        table = csv_table.read(data, "", ())
        for _, row in table.rows:
            csv_table.told_size(table, row)
            csv_table.edges_of(table, row)
        return Converted()

    finds(convert)


@FUZZ
@given(data=damaged(palette_mask()), geometry=st.sampled_from([GEOMETRY, WHOLE]))
def test_segmentation(data: bytes, geometry: Geometry) -> None:
    finds(lambda: segmentation.convert(data, geometry))


# --- what we have written ourselves, and somebody has changed


@pytest.fixture(scope="module")
def metadata(project: Small) -> bytes:
    project.again()
    return (project.out / "metadata.jsonl").read_bytes()


@FUZZ
@given(choice=st.data())
def test_metadata(project: Small, metadata: bytes, choice: st.DataObject) -> None:
    (project.out / "metadata.jsonl").write_bytes(choice.draw(damaged(metadata)))
    ours(lambda: StylisedDataset(project.out))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from safetensors.numpy import save_file

    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    tensors = {
        "features.0.weight": np.zeros((64, 3, 3, 3), np.float32),
        "features.0.bias": np.zeros(64, np.float32),
    }
    save_file(tensors, path, {"mean": "0.5,0.5,0.5", "std": "0.2,0.2,0.2"})
    return path


@FUZZ
@given(choice=st.data())
def test_weights(weights: Path, choice: st.DataObject, tmp_path: Path) -> None:
    data = weights.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    changed = choice.draw(damaged(data[:header])) + data[header:]
    path = tmp_path / "w.safetensors"
    path.write_bytes(choice.draw(st.sampled_from([changed, changed[: header + 9]])))

    def read() -> None:
        found = find_weights("vgg19", str(path), tmp_path, NORMALISATIONS["imagenet"])
        load_tensors(found, ["conv1_1"])

    ours(read)


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from stylebatch.device.target_files import TargetFiles

    folder = tmp_path_factory.mktemp("targets")
    TargetFiles(folder, print).write("key", sound_targets(), Of())
    return folder / "key.safetensors"


def sound_targets() -> "dict[str, Tensor]":
    import torch

    gram = torch.arange(16, dtype=torch.float32).reshape(4, 4)
    return {"conv1_1": gram, "conv1_1.positions": torch.tensor(7)}


@FUZZ
@given(choice=st.data())
def test_cached_targets(targets: Path, choice: st.DataObject, tmp_path: Path) -> None:
    """They are what they were, or none."""
    from stylebatch.device.target_files import TargetFiles

    path, told = tmp_path / "key.safetensors", list[str]()
    path.write_bytes(choice.draw(damaged(targets.read_bytes())))
    found = TargetFiles(tmp_path, told.append).read("key")
    sound = sound_targets()
    if found is None:
        assert told or b"blake2b" not in path.read_bytes()
    else:
        assert found.keys() == sound.keys()
        assert all(bool((found[name] == sound[name]).all()) for name in sound)


# --- what was found so


@pytest.mark.parametrize("odd", [r'"a\0b"', r'"a\uD800b"'])
@pytest.mark.parametrize("key", ["output", "content"])
def test_characters_that_are_none_are_told_with_their_line(
    project: Small, key: str, odd: str
) -> None:
    text = yaml.safe_dump(MANIFEST, sort_keys=False).replace(f"{key}: ", f"{key}: {odd} #", 1)
    project.manifest.write_text(text)
    with pytest.raises(UserError, match=r"pipeline\.yaml:\d+: .*a character that is none"):
        load_manifest(project.manifest)


def test_a_cell_that_csv_does_not_hold_is_told() -> None:
    styles = [StyleSource("styles/s.png", "s", ())]
    data = b"content,style\n" + b"a" * 200_000 + b",s\n"
    with pytest.raises(UserError, match=r"^map\.csv:2: no CSV \(field larger"):
        read_table(data, "map.csv", styles, root=Path("/nowhere"))


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 5000])
def test_numbers_that_no_float_holds_are_problems(number: str) -> None:
    told = number.encode()
    of_voc, of_coco = VOC.replace(b">24<", b">%b<" % told), json.dumps(COCO).encode()
    of_yolo = b"%b 0.5 0.5 0.1 0.1\n" % told
    assert converted(lambda: voc.convert(of_voc, GEOMETRY, "images/a.png")).problems
    assert converted(lambda: yolo.convert(of_yolo, GEOMETRY, yolo.Told())).problems
    with contextlib.suppress(MalformedError):  # it is no JSON
        of_coco = of_coco.replace(b'"bbox": [1', b'"bbox": [%b' % told)
        assert coco.read(of_coco).problems
    table = csv_table.read(CSV.replace(b",24,", b",%b," % told), "", ())
    ((_, row),) = table.rows
    with pytest.raises((MalformedError, GeometryError)):
        GEOMETRY.placement(csv_table.told_size(table, row))

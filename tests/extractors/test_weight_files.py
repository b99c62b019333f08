"""Weights files as others make them: hostile, damaged, wrapped, large; and converted ones."""

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support.runs import Small, command, lines, run_process, small_project
from support.weights import Harmful, draw_weights

from stylebatch.extractors.weights import (
    NORMALISATIONS,
    WeightsError,
    find_weights,
    layers_digest,
    load_tensors,
)
from stylebatch.extractors.weights.digest import file_sha256, tensors_sha256

IMAGENET = NORMALISATIONS["imagenet"]
TOLD = {"mean": "0.485,0.456,0.406", "std": "0.229,0.224,0.225"}
NAME_OF = {True: "zip", False: "legacy"}


def project(root: Path, weights: Path, **extractor: str) -> Small:
    small = small_project(root / "project")
    small.document["extractor"] = {"weights": str(weights), **extractor}
    return small


def refused_by_a_run(small: Small, *parts: str) -> None:
    """Check that a run ends with exit code 2 and these parts on stderr, and has made nothing."""
    ended = small.run()
    assert (ended.code, ended.out) == (2, "")
    for part in parts:
        assert part in ended.err
    assert small.images() == {} if small.out.exists() else True
    assert "only if you" not in ended.err  # torch's advice to load it unsafely


# --- files that are refused ------------------------------------------------------------------


def _tar() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        member = tarfile.TarInfo("storages")
        member.size = len(pickle.dumps(0))
        archive.addfile(member, io.BytesIO(pickle.dumps(0)))
    return data.getvalue()


def _zip() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("notes.txt", "no weights")
    return data.getvalue()


def _saved(content: object, is_zip: bool = True) -> bytes:
    data = io.BytesIO()
    torch.save(content, data, _use_new_zipfile_serialization=is_zip)
    return data.getvalue()


BAD_PICKLES = {
    "empty": (b"", "is no weights file that can be read safely (it is cut)"),
    "tar": (_tar(), "legacy .tar format"),
    "text": (b"hello world", "(it begins with 'hello world', as no such file does)"),
    "a page": (b"<html><body>404</body></html>", "(it begins with '<html><body>', as no"),
    "git-lfs": (b"version https://git-lfs.github.com/spec/v1", "(it begins with 'version http'"),
    "zeros": (bytes(40), "(it begins with '"),
    "another pickle": (pickle.dumps({"a": 1}), "(it is a pickle that PyTorch did not write)"),
    "other zip": (_zip(), "is no weights file that can be read safely"),
    "cut zip": (_saved(draw_weights("conv1_2"))[:5000], "(it is cut)"),
    "cut legacy": (_saved(draw_weights("conv1_2"), False)[:5000], "unexpected EOF"),
    "a number": (_saved(3), "holds no state dict"),
    "empty dict": (_saved({}), "holds no state dict"),
    "no tensors": (_saved({"state_dict": {"epoch": 3}}), "holds no state dict"),
    "integers": (
        _saved({k: v.int() for k, v in draw_weights("conv2_1").items()}),
        "conv1_1 is stored as int32",
    ),
    "no numbers": (
        _saved({k: v.to("meta") for k, v in draw_weights("conv2_1").items()}),
        "conv1_1 is stored as float32 strided meta",
    ),
    "sparse": (
        _saved({k: v.to_sparse() for k, v in draw_weights("conv2_1").items()}),
        "conv1_1 is stored as float32 sparse_coo",
    ),
    "another network": (
        _saved(draw_weights("conv2_1") | {"features.0.weight": torch.zeros(64, 3, 11, 11)}),
        "conv1_1 has weight [64, 3, 11, 11]",
    ),
}


@pytest.mark.parametrize("kind", BAD_PICKLES)
def test_a_bad_pickle_starts_nothing_and_says_why(tmp_path: Path, kind: str) -> None:
    data, reason = BAD_PICKLES[kind]
    (tmp_path / "w.pth").write_bytes(data)
    small = project(tmp_path, tmp_path / "w.pth", normalisation="imagenet")
    refused_by_a_run(small, "w.pth", reason)


@pytest.mark.parametrize("is_zip", [True, False], ids=NAME_OF.get)
def test_a_run_on_a_pickle_with_code_in_it_does_not_run_it(tmp_path: Path, is_zip: bool) -> None:
    trace = tmp_path / "was-run"
    content = draw_weights("conv2_1") | {"features.7.weight": Harmful(trace)}
    (tmp_path / "w.pt").write_bytes(_saved(content, is_zip))
    small = project(tmp_path, tmp_path / "w.pt", normalisation="imagenet")
    refused_by_a_run(small, "w.pt: is no weights file that can be read safely (Unsupported global")
    assert (
        command(
            "weights",
            "convert",
            str(tmp_path / "w.pt"),
            str(tmp_path / "o.safetensors"),
            "--normalisation",
            "imagenet",
        ).code
        == 2
    )
    assert not trace.exists()
    torch.load(tmp_path / "w.pt", weights_only=False)  # it would have
    assert trace.exists()


def _lying(shape: list[int], offsets: list[int], size: int, length: int | None = None) -> bytes:
    tensor = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
    header = json.dumps({"features.0.weight": tensor}).encode()
    return struct.pack("<Q", length or len(header)) + header + bytes(size)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        _lying([64, 3, 3, 3], [0, 16], 16),
        _lying([4], [0, 16], 8),
        _lying([4], [0, 16], 99),
        _lying([4], [-16, 0], 16),
        _lying([4], [0, 16], 16, 2**62),
        _lying([2**40, 2**40], [0, 16], 16),
    ],
)
def test_a_safetensors_file_whose_header_lies_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "w.safetensors").write_bytes(data)
    refused_by_a_run(project(tmp_path, tmp_path / "w.safetensors"), "no readable safetensors file")


def test_a_safetensors_file_of_another_architecture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(draw_weights("conv2_1"), path, TOLD | {"arch": "vgg99"})
    small = project(tmp_path, path, arch="vgg19")
    refused_by_a_run(
        small,
        "is of arch 'vgg99' by its own metadata; asked for is 'vgg19'",
        "correct extractor.arch",
    )


def test_a_folder_or_a_pipe_is_no_weights_file(tmp_path: Path) -> None:
    (tmp_path / "w.pth").mkdir()
    small = project(tmp_path, tmp_path / "w.pth", normalisation="imagenet")
    refused_by_a_run(small, "(a folder)")
    os.mkfifo(tmp_path / "pipe.pth")
    small.document["extractor"]["weights"] = str(tmp_path / "pipe.pth")
    refused_by_a_run(small, "(no regular file)")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_file_that_may_not_be_read_is_told_as_such(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch(0o200)
    small = project(tmp_path, tmp_path / name, normalisation="imagenet")
    refused_by_a_run(small, "(Permission denied)")


# --- files that are taken --------------------------------------------------------------------


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_the_usual_wrappings_of_a_state_dict_are_taken_off(tmp_path: Path, wrapper: str) -> None:
    tensors = draw_weights("conv1_2")
    inner = {f"module.{name}": tensor for name, tensor in tensors.items()}
    torch.save({wrapper: inner, "epoch": 3, "optimizer": {"lr": 0.1}}, tmp_path / "w.pth")
    loaded = load_tensors(find_weights("vgg19", "w.pth", tmp_path, IMAGENET), ["conv1_2"])
    assert torch.equal(loaded["conv1_2"][0], tensors["features.2.weight"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_numbers_in_a_pickle_become_float32(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    tensors = {name: tensor.to(dtype) for name, tensor in draw_weights("conv1_1").items()}
    torch.save(tensors, tmp_path / "w.pth")
    loaded = load_tensors(find_weights("vgg19", "w.pth", tmp_path, IMAGENET), ["conv1_1"])
    assert loaded["conv1_1"][0].dtype == torch.float32
    assert torch.equal(loaded["conv1_1"][0], tensors["features.0.weight"].float())


# Peaks are of resident memory that no file backs: what is mapped can be dropped at any time.
MEASURE = """
import re, sys
from pathlib import Path
import torch
from safetensors.torch import load_file
from stylebatch.extractors.weights import NORMALISATIONS, find_weights, load_tensors
def anonymous_mb():
    text = Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", text)[1]) / 1e3
def peak_mb():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1e3
path = Path(sys.argv[1])
weights = find_weights("vgg19", path.name, path.parent, NORMALISATIONS["imagenet"])
load_tensors(find_weights("vgg19", "random", path.parent), ["conv1_1"])
before, peak_before = anonymous_mb(), peak_mb()
loaded = load_tensors(weights, ["conv2_1"])
kept = sum(x.untyped_storage().nbytes() for pair in loaded.values() for x in pair) / 1e6
print(kept, anonymous_mb() - before, peak_mb() - peak_before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_only_what_is_needed_is_read_and_kept(tmp_path: Path, kind: str) -> None:
    tensors = draw_weights("conv2_1") | {"classifier.0.weight": torch.zeros(50, 10**6)}
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "safetensors":
        save_file(tensors, path, TOLD)
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=kind == "zip")
    assert path.stat().st_size > 200e6
    ended = run_process(MEASURE, str(path))
    path.unlink()
    assert ended.code == 0, ended.err
    kept, grown, peak = map(float, ended.out.split())
    assert kept < 0.5
    assert grown < 40
    # Files from before torch 1.6 can't be mapped: they are in memory while they are read.
    assert kind == "legacy" or peak < 60


# --- converted files -------------------------------------------------------------------------


def convert(source: Path, target: Path, *options: str) -> None:
    ended = command("weights", "convert", str(source), str(target), *options)
    assert (ended.code, ended.err) == (0, "")


def metadata_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="np") as file:
        found: dict[str, str] = file.metadata()
        return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a whole network's file, as far as it matters: convolutions and a classifier."""
    tensors = draw_weights("conv2_2") | {"classifier.0.weight": torch.zeros(9)}
    torch.save(tensors, tmp_path / "whole.pth")
    return tmp_path / "whole.pth"


def test_a_converted_file_holds_the_convolutions_and_says_what_they_are(
    source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "new/small.safetensors"
    args = ("weights", "convert", str(source), str(target), "--normalisation", "imagenet")
    ended = command(*args)
    assert ended == (0, f"{target}: vgg19, conv1_1 to conv2_2, 0.993 MiB\n", "")
    tensors = load_file(target)
    wanted = draw_weights("conv2_2")
    assert tensors.keys() == wanted.keys()
    assert all(torch.equal(tensors[name], wanted[name]) for name in wanted)
    metadata = metadata_of(target)
    assert metadata.pop("tensors_sha256") == file_sha256(target)
    assert metadata == TOLD | {
        "arch": "vgg19",
        "layers": "conv1_1,conv1_2,conv2_1,conv2_2",
        "channels": "rgb",
    }
    assert find_weights("vgg19", str(target), tmp_path).normalisation == IMAGENET
    (row,) = command("weights", "list", str(target)).out.splitlines()[-1:]
    assert row.startswith(f"{target}")
    assert "vgg19, conv1_1 to conv2_2, normalisation imagenet" in row


def test_the_digest_is_the_published_one() -> None:
    tensors = {"b": torch.ones(2, 1), "a": torch.zeros(3)}
    published = b"a:3:" + bytes(12) + b"b:2,1:" + struct.pack("<2f", 1, 1)
    expected = sha256(published).hexdigest()
    assert tensors_sha256((k, v.numpy()) for k, v in tensors.items()) == expected


def test_a_layer_ends_a_converted_file_and_one_that_is_not_there_is_told(
    source: Path, tmp_path: Path
) -> None:
    convert(source, tmp_path / "o.safetensors", "--normalisation", "imagenet", "--to", "relu1_2")
    assert metadata_of(tmp_path / "o.safetensors")["layers"] == "conv1_1,conv1_2"
    for layer, reason in (("conv5_1", "does not have conv3_1"), ("conv9", "is no layer of vgg19")):
        arguments = ("--normalisation", "imagenet", "--to", layer)
        ended = command(
            "weights", "convert", str(source), str(tmp_path / "p.safetensors"), *arguments
        )
        assert ended.code == 2
        assert reason in ended.err
        assert not (tmp_path / "p.safetensors").exists()


def test_a_converted_file_takes_rgb_whatever_its_source_takes(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "o.safetensors"
    convert(source, target, "--normalisation", "caffe")
    caffe = find_weights("vgg19", str(source), tmp_path, NORMALISATIONS["caffe"])
    rgb = find_weights("vgg19", str(target), tmp_path)
    assert rgb.normalisation.channels == "rgb"
    assert (rgb.normalisation.mean, rgb.normalisation.std) == (
        caffe.normalisation.mean,
        caffe.normalisation.std,
    )
    before, after = (load_tensors(each, ["conv1_1"])["conv1_1"] for each in (caffe, rgb))
    assert torch.equal(before[0], after[0])


def test_a_normalisation_can_be_told_by_numbers(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "o.safetensors"
    convert(source, target, "--mean", "0.5,0.4,0.3", "--std", "0.25", "--channels", "bgr")
    metadata = metadata_of(target)
    assert (metadata["mean"], metadata["std"]) == ("0.5,0.4,0.3", "0.25,0.25,0.25")
    # What a file says itself need not be told again.
    convert(target, tmp_path / "again.safetensors")
    assert metadata_of(tmp_path / "again.safetensors") == metadata


@pytest.mark.parametrize("data", [b"", b"hello world", b"<html><body>404</body></html>"])
def test_what_is_no_safetensors_file_is_told_in_words(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "w.safetensors").write_bytes(data)
    small = project(tmp_path, tmp_path / "w.safetensors")
    refused_by_a_run(small, "safetensors file (it is cut, or another kind of file); copy")


def test_a_file_that_says_its_normalisation_is_not_contradicted(
    source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "o.safetensors"
    convert(source, target, "--normalisation", "imagenet")
    small = project(tmp_path, target, normalisation="caffe")
    refused_by_a_run(
        small,
        "pipeline.yaml:6: extractor.normalisation: ",
        "o.safetensors' says normalisation imagenet of its input, which normalisation caffe",
        "leave it out",
    )
    small.document["extractor"]["normalisation"] = {
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "channels": "bgr",
    }
    refused_by_a_run(small, "extractor.normalisation: ", "bgr contradicts")
    agreeing = small.document["extractor"]
    agreeing["normalisation"]["channels"] = "rgb"
    small.document["extractor"] = {"weights": "imagenet", "normalisation": "caffe"}
    refused_by_a_run(small, "extractor.normalisation: 'imagenet' says normalisation imagenet")
    small.document["extractor"] = agreeing
    assert small.run().code == 0


def test_a_set_is_named_as_the_list_names_it(tmp_path: Path) -> None:
    target = tmp_path / "o.safetensors"
    ended = command("weights", "convert", "slim/shipped", str(target))
    assert ended.code == 0, ended.err
    assert ended.out.startswith(f"{target}: slim, conv1_1 to conv3_3.head, ")
    ours, own = (find_weights("slim", name, Path()) for name in (str(target), "slim/shipped"))
    assert (ours.source, own.source) == (str(target), "shipped")
    assert layers_digest(ours, ["conv3_3"]) == layers_digest(own, ["conv3_3"])
    ended = command("weights", "convert", "slim/shipped", str(target), "--force", "--arch", "vgg16")
    assert ended.code == 2
    assert "--arch: 'vgg16' is not that of slim/shipped; slim; leave it out" in ended.err
    ended = command("weights", "convert", "vgg16/random", str(target), "--force", "--arch", "vgg16")
    assert ended.code == 2
    assert "is drawn, not read" in ended.err


def test_what_comes_with_the_package_need_not_be_fetched() -> None:
    for name in ("slim/shipped", "slim"):
        ended = command("weights", "fetch", name)
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.startswith(f"{name}: comes with stylebatch: ")


def test_bfloat16_becomes_readable_by_conversion(tmp_path: Path) -> None:
    tensors = {name: tensor.bfloat16() for name, tensor in draw_weights("conv1_1").items()}
    save_file(tensors, tmp_path / "b.safetensors", TOLD)
    convert(tmp_path / "b.safetensors", tmp_path / "o.safetensors")
    loaded = load_file(tmp_path / "o.safetensors")["features.0.weight"]
    assert torch.equal(loaded, tensors["features.0.weight"].float())


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["whole.pth", "o.safetensors"], "does not say how its input is normalised"),
        (["whole.pth", "o.pth", "--normalisation", "imagenet"], "no kind of OUT; .safetensors"),
        (["whole.pth", "there.safetensors", "--normalisation", "imagenet"], "is there already"),
        (["whole.pth", "o.safetensors", "--normalisation", "none"], "one of imagenet, caffe"),
        (["whole.pth", "o.safetensors", "--mean", "1,2,3"], "--normalisation, or --mean and --std"),
        (["whole.pth", "o.safetensors", "--mean", "1,2", "--std", "1"], "no usable mean and std"),
        (["gone.pth", "o.safetensors", "--normalisation", "imagenet"], "no such weights"),
        (["random", "o.safetensors"], "is drawn, not read"),
        (["whole.pth", "o.safetensors", "--arch", "vgg99"], "no known architecture"),
        (["whole.pth", "there.safetensors/o.safetensors", "--normalisation", "caffe"], "Not a dir"),
    ],
)
def test_what_can_not_be_converted_is_told(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], found: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.safetensors").write_bytes(b"precious")
    ended = command("weights", "convert", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert found in " ".join(ended.err.replace("│", " ").split())
    assert Path("there.safetensors").read_bytes() == b"precious"
    assert sorted(os.listdir()) == ["there.safetensors", "whole.pth"]


def test_force_replaces_a_file_even_the_source_itself(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "o.safetensors"
    convert(source, path, "--normalisation", "imagenet")
    convert(path, path, "--to", "conv1_1", "--force")
    assert load_file(path).keys() == {"features.0.weight", "features.0.bias"}


def test_a_flipped_bit_in_a_converted_file_is_refused(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "o.safetensors"
    convert(source, path, "--normalisation", "imagenet")
    data = bytearray(path.read_bytes())
    data[-7] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="is damaged: its tensors are not those of its tensors_"):
        find_weights("vgg19", path.name, tmp_path)
    refused_by_a_run(project(tmp_path, path), "is damaged", "convert it again")
    assert "is damaged" in command("weights", "list", str(path)).out


# --- in a data set ---------------------------------------------------------------------------


def test_weights_and_their_conversion_make_the_same_pixels(source: Path, tmp_path: Path) -> None:
    small = project(tmp_path, source, normalisation="imagenet")
    assert small.run().code == 0
    before, told = small.images(), digest_in_settings(small)
    convert(source, tmp_path / "o.safetensors", "--normalisation", "imagenet")
    small.document["extractor"] = {"weights": str(tmp_path / "o.safetensors")}
    assert len(small.again()) == 4  # of other weights, as far as can be told without torch
    assert small.images() == before
    assert digest_in_settings(small) != told


def test_the_digest_in_the_settings_is_of_the_tensors_that_are_needed(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    small = project(tmp_path, path)
    tensors = draw_weights("conv2_2")
    save_file(tensors, path, TOLD)
    assert small.run().code == 0
    told = digest_in_settings(small)
    save_file(tensors | {"features.7.bias": torch.zeros(128)}, path, TOLD)
    assert small.again() == set()
    assert digest_in_settings(small) == told
    save_file(tensors | {"features.5.bias": torch.zeros(128)}, path, TOLD)
    assert len(small.again()) == 4
    assert digest_in_settings(small) != told


def digest_in_settings(small: Small) -> str:
    """Return the weights' digest of the settings that the metadata's images name."""
    settings = json.loads((small.out / "settings.json").read_bytes())
    (settings_id,) = {row["settings_id"] for row in lines(small.out / "metadata.jsonl")}
    digest: str = settings[settings_id]["extractor"]["layers_digest"]
    return digest

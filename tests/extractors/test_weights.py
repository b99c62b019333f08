"""Weights: every way in which they can be wrong, their digests, and what is loaded of them."""

import pickle
import re
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support.weights import Harmful, Tensors, draw_weights
from torch import Tensor
from torchvision.models import get_weight

from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.extractors.weights import (
    NAMED_WEIGHTS,
    NORMALISATIONS,
    Normalisation,
    WeightsError,
    WeightSet,
    check_layers,
    find_download,
    find_weights,
    hub_folder,
    is_checked_without_torch,
    layers_digest,
    load_tensors,
)
from stylebatch.extractors.weights.names import NamedWeights
from stylebatch.transfer.extractor import Extractor

IMAGENET = NORMALISATIONS["imagenet"]
TOLD = {"mean": "0.5,0.4,0.3", "std": "0.25"}
NAMED = NAMED_WEIGHTS["vgg19", "imagenet"]


class Folder:
    """A folder in which tests write weights and find them again."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def safetensors(self, tensors: Tensors, metadata: dict[str, str] | None = None) -> WeightSet:
        save_file(tensors, self.root / "w.safetensors", TOLD if metadata is None else metadata)
        return self.find("w.safetensors")

    def pth(self, content: object, name: str = "w.pth", **options: bool) -> WeightSet:
        torch.save(content, self.root / name, **options)
        return self.find(name, IMAGENET)

    def find(self, name: str, normalisation: Normalisation | None = None) -> WeightSet:
        return find_weights("vgg19", name, self.root, normalisation)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def refused(act: Callable[[], object], *parts: str) -> None:
    """Check that something raises a WeightsError with these parts in its message."""
    with pytest.raises(WeightsError) as caught:
        act()
    assert caught.value.exit_code == 2
    for part in parts:
        assert part in str(caught.value)


# --- finding ---------------------------------------------------------------------------------


def test_an_unknown_architecture_is_told_with_those_there_are() -> None:
    refused(
        lambda: find_weights("vgg11", "random", Path()),
        "extractor.arch: 'vgg11' is no known architecture; one of vgg19, vgg16, alexnet, "
        "squeezenet1_1",
    )


def test_a_file_that_is_not_there_is_told_with_the_names_there_are(folder: Folder) -> None:
    refused(
        lambda: folder.find("imagenett"),
        "imagenett: no such weights for vgg19 (No such file or directory); "
        "a name (imagenet, random) or a .safetensors",
        "correct the path (relative to the manifest)",
    )
    (folder.root / "w.safetensors").mkdir()
    refused(lambda: folder.find("w.safetensors"), "no such weights for vgg19 (a folder)")


def test_a_file_of_another_kind_is_refused(folder: Folder) -> None:
    (folder.root / "w.onnx").write_bytes(b"something")
    refused(lambda: folder.find("w.onnx"), "w.onnx: '.onnx' is no kind of weights file", ".pth")


@pytest.mark.parametrize("content", [b"", b"no safetensors at all", b"\xff" * 64])
def test_a_file_that_is_no_safetensors_is_refused(folder: Folder, content: bytes) -> None:
    (folder.root / "w.safetensors").write_bytes(content)
    refused(lambda: folder.find("w.safetensors"), "is no readable safetensors file", "copy")


@pytest.mark.parametrize("keep", [4, 200, 0.5, -1])
def test_a_truncated_file_is_refused_before_any_work(folder: Folder, keep: float) -> None:
    folder.safetensors(draw_weights("conv1_1"))
    path = folder.root / "w.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    refused(lambda: folder.find("w.safetensors"), "is no readable safetensors file")


def test_tensors_of_another_shape_are_refused(folder: Folder) -> None:
    tensors = draw_weights("conv1_2")
    refused(
        lambda: folder.safetensors(tensors | {"features.2.weight": torch.zeros(32, 64, 3, 3)}),
        "conv1_2 has weight [32, 64, 3, 3] and bias [64]; weight [64, 64, 3, 3] and bias [64]",
        "correct extractor.arch",
    )
    del tensors["features.2.bias"]
    refused(lambda: folder.safetensors(tensors), "conv1_2 has weight [64, 64, 3, 3] and bias None")


def test_tensors_under_other_names_are_refused_with_what_they_are_called(folder: Folder) -> None:
    refused(
        lambda: folder.safetensors({"conv1_1.weight": torch.zeros(64, 3, 3, 3)}),
        "holds no layer of vgg19 (its tensors: conv1_1.weight, …)",
        "features.0.weight",
    )


def test_layers_that_a_file_lacks_are_named_with_what_it_has(shared: Path) -> None:
    weights = find_weights("vgg19", "vgg19_conv3_4.safetensors", shared / "weights")
    assert weights.layers is not None
    assert len(weights.layers) == 8
    check_layers(weights, ["conv1_1", "relu3_4", "pool3"])
    refused(
        lambda: check_layers(weights, ["relu5_1", "conv1_1"]),
        "vgg19_conv3_4.safetensors: does not have conv4_1, conv4_2, conv4_3, conv4_4, conv5_1; "
        "it has conv1_1 to conv3_4; choose a recipe or layers that end there, or weights",
    )
    assert weights.normalisation.mean == (0.48235, 0.45882, 0.40784)
    assert weights.normalisation.std == (1 / 255,) * 3


def test_a_file_with_a_gap_lacks_what_is_in_it(folder: Folder) -> None:
    tensors = draw_weights("conv2_1")
    weights = folder.safetensors({k: v for k, v in tensors.items() if "features.2." not in k})
    check_layers(weights, ["conv1_1"])
    refused(lambda: check_layers(weights, ["conv2_1"]), "does not have conv1_2; it has conv1_1 to")


@pytest.mark.parametrize("metadata", [{}, {"mean": "0.5"}, {"std": "1"}])
def test_a_file_that_does_not_say_its_normalisation_needs_it_from_the_user(
    folder: Folder, metadata: dict[str, Any]
) -> None:
    refused(
        lambda: folder.safetensors(draw_weights("conv1_1"), metadata),
        "w.safetensors: does not say how its input is normalised; extractor.normalisation: "
        "one of imagenet, caffe, caffe_rgb, or mean, std and channels; add it to the manifest",
    )
    assert folder.find("w.safetensors", NORMALISATIONS["caffe"]).normalisation.channels == "bgr"


@pytest.mark.parametrize(
    ("metadata", "part"),
    [
        (TOLD | {"mean": "grey"}, "holds no usable mean and std (could not convert"),
        (TOLD | {"mean": "1,2"}, "holds no usable mean and std (not enough values"),
        (TOLD | {"mean": "nan"}, "holds no usable mean and std ('nan' is not finite)"),
        (TOLD | {"std": "1,1,0"}, "holds no usable mean and std (std '1,1,0' is not above 0)"),
        (TOLD | {"channels": "gbr"}, "w.safetensors: says channels 'gbr'; rgb or bgr"),
    ],
)
def test_a_file_that_says_its_normalisation_wrongly_is_refused(
    folder: Folder, metadata: dict[str, str], part: str
) -> None:
    refused(lambda: folder.safetensors(draw_weights("conv1_1"), metadata), part)


def test_what_a_file_says_of_its_normalisation_is_read(folder: Folder) -> None:
    found = folder.safetensors(draw_weights("conv1_1"), TOLD | {"channels": "bgr"})
    assert found.normalisation == Normalisation((0.5, 0.4, 0.3), (0.25, 0.25, 0.25), "bgr")
    assert is_checked_without_torch(found)


# --- digests ---------------------------------------------------------------------------------


def test_the_digest_changes_where_a_tensor_that_is_needed_changes(folder: Folder) -> None:
    tensors = draw_weights("conv2_1")
    needed = [name for name in tensors if name != "features.5.weight"]
    before = layers_digest(folder.safetensors(tensors), ["relu1_2"])
    deeper = layers_digest(folder.safetensors(tensors), ["conv2_1"])
    assert before != deeper
    for name in ("features.0.weight", "features.0.bias", "features.2.weight", "features.2.bias"):
        assert name in needed
        changed = tensors[name].clone()
        changed.view(-1)[-1] += 1e-6
        assert layers_digest(folder.safetensors(tensors | {name: changed}), ["relu1_2"]) != before


def test_the_digest_does_not_change_with_what_is_not_needed(folder: Folder) -> None:
    tensors = draw_weights("conv2_1")
    before = layers_digest(folder.safetensors(tensors), ["conv1_2", "conv1_1"])
    other = tensors | {"features.5.weight": tensors["features.5.weight"] + 1}
    spare = {"classifier.0.weight": torch.zeros(3)}
    assert layers_digest(folder.safetensors(other | spare), ["conv1_2"]) == before
    cut = {name: tensors[name] for name in tensors if "features.5." not in name}
    assert layers_digest(folder.safetensors(cut), ["relu1_2"]) == before
    metadata = TOLD | {"trained": "by us"}
    assert layers_digest(folder.safetensors(tensors, metadata), ["conv1_2"]) == before


@pytest.mark.parametrize("changed", [{"mean": "0.5,0.4,0.31"}, {"std": "1"}, {"channels": "bgr"}])
def test_the_digest_changes_with_the_normalisation(folder: Folder, changed: dict[str, str]) -> None:
    tensors = draw_weights("conv1_1")
    before = layers_digest(folder.safetensors(tensors), ["conv1_1"])
    assert layers_digest(folder.safetensors(tensors, TOLD | changed), ["conv1_1"]) != before


def test_digests_tell_random_named_and_pth_weights_apart(folder: Folder) -> None:
    layers = ["conv1_1"]
    pth = folder.pth(draw_weights("conv1_2"))
    random, named = (find_weights("vgg19", name, folder.root) for name in ("random", "imagenet"))
    found = {layers_digest(weights, layers) for weights in (pth, random, named)}
    found |= {layers_digest(weights, ["conv1_2"]) for weights in (pth, random, named)}
    assert len(found) == 6
    assert layers_digest(folder.pth(draw_weights("conv1_1")), layers) not in found


def test_nan_and_infinite_numbers_are_refused_where_they_are_needed(folder: Folder) -> None:
    for bad in (float("nan"), float("inf")):
        tensors = draw_weights("conv1_2")
        tensors["features.2.bias"][3] = bad
        weights = folder.safetensors(tensors)
        parts = ("w.safetensors: conv1_2 holds NaN or infinite numbers",)
        refused(partial(layers_digest, weights, ["conv1_2"]), *parts)
        refused(partial(load_tensors, weights, ["conv1_2"]), *parts)
        layers_digest(weights, ["conv1_1"])
        assert load_tensors(weights, ["conv1_1"]).keys() == {"conv1_1"}
        pth = folder.pth(tensors)
        refused(partial(load_tensors, pth, ["conv1_2"]), "w.pth: conv1_2 holds NaN")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int32])
def test_tensors_of_a_type_that_can_not_be_checked_are_refused(
    folder: Folder, dtype: torch.dtype
) -> None:
    tensors = {name: tensor.to(dtype) for name, tensor in draw_weights("conv1_1").items()}
    weights = folder.safetensors(tensors)
    refused(
        lambda: layers_digest(weights, ["conv1_1"]), "conv1_1 is stored as ", "F16, F32, F64; `sty"
    )


def test_half_precision_is_loaded_as_float32(folder: Folder) -> None:
    tensors = {name: tensor.half() for name, tensor in draw_weights("conv1_1").items()}
    weights = folder.safetensors(tensors)
    assert layers_digest(weights, ["conv1_1"])
    weight, bias = load_tensors(weights, ["conv1_1"])["conv1_1"]
    assert weight.dtype == bias.dtype == torch.float32
    assert torch.equal(weight, tensors["features.0.weight"].float())


# --- pickled files ---------------------------------------------------------------------------


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", ["w.pth", "w.pt"])
def test_a_state_dict_is_loaded_with_the_normalisation_that_is_told(
    folder: Folder, is_zip: bool, name: str
) -> None:
    tensors = draw_weights("conv1_2")
    weights = folder.pth(tensors, name, _use_new_zipfile_serialization=is_zip)
    assert weights.layers is None
    assert not is_checked_without_torch(weights)
    check_layers(weights, ["conv5_1"])  # only torch can tell
    loaded = load_tensors(weights, ["conv1_2"])
    assert loaded.keys() == {"conv1_1", "conv1_2"}
    assert torch.equal(loaded["conv1_2"][0], tensors["features.2.weight"])
    refused(
        lambda: load_tensors(weights, ["conv2_1"]),
        f"{name}: does not have conv2_1; it has conv1_1 to conv1_2",
    )


def test_a_state_dict_needs_to_be_told_its_normalisation(folder: Folder) -> None:
    folder.pth(draw_weights("conv1_1"))
    refused(lambda: folder.find("w.pth"), "w.pth: does not say how its input is normalised")


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_code_in_a_pickle_is_refused_and_not_run(folder: Folder, is_zip: bool) -> None:
    trace = folder.root / "was-run"
    harmful = draw_weights("conv1_1") | {"features.2.weight": Harmful(trace)}
    weights = folder.pth(harmful, _use_new_zipfile_serialization=is_zip)
    layers_digest(weights, ["conv1_1"])
    refused(lambda: load_tensors(weights, ["conv1_1"]), "is no weights file that can be read safel")
    assert not trace.exists()
    (folder.root / "w.pth").write_bytes(pickle.dumps(Harmful(trace)))
    refused(lambda: load_tensors(weights, ["conv1_1"]), "is no weights file that can be read safel")
    assert not trace.exists()


@pytest.mark.parametrize("content", [b"", b"no pickle at all", b"PK\x03\x04 and no zip"])
def test_a_file_that_is_no_pickle_is_refused(folder: Folder, content: bytes) -> None:
    (folder.root / "w.pth").write_bytes(content)
    weights = folder.find("w.pth", IMAGENET)
    refused(
        lambda: load_tensors(weights, ["conv1_1"]), "w.pth: is no weights file that can be read"
    )


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, torch.zeros(2)])
def test_a_pickle_that_is_no_state_dict_is_refused(folder: Folder, content: object) -> None:
    weights = folder.pth(content)
    refused(lambda: load_tensors(weights, ["conv1_1"]), "w.pth: holds no state dict; a dict of nam")


def test_a_state_dict_of_other_shapes_is_refused(folder: Folder) -> None:
    tensors = draw_weights("conv1_1") | {"features.0.weight": torch.zeros(64, 1, 3, 3)}
    weights = folder.pth(tensors)
    refused(lambda: load_tensors(weights, ["conv1_1"]), "conv1_1 has weight [64, 1, 3, 3]")


# --- loading ---------------------------------------------------------------------------------


def test_random_weights_are_the_same_at_every_draw_and_depth() -> None:
    random = find_weights("vgg19", "random", Path())
    shallow, deep = load_tensors(random, ["conv1_2"]), load_tensors(random, ["relu3_1"])
    assert list(deep) == ["conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1"]
    for layer, (weight, bias) in shallow.items():
        assert torch.equal(weight, deep[layer][0])
        assert torch.equal(bias, deep[layer][1])
    torch.manual_seed(5)  # of the generator that everybody shares
    assert torch.equal(load_tensors(random, ["conv1_1"])["conv1_1"][0], shallow["conv1_1"][0])
    assert random.layers is not None
    assert len(random.layers) == 16


def test_random_filters_keep_the_variance_and_differ_between_layers() -> None:
    drawn = load_tensors(find_weights("vgg19", "random", Path()), ["conv3_2"])
    for layer in ARCHITECTURES["vgg19"].convolutions(["conv3_2"]):
        weight = drawn[layer.name][0]
        assert weight.std().item() == pytest.approx((2 / (9 * layer.channels_in)) ** 0.5, rel=0.05)
    assert not torch.equal(drawn["conv2_1"][0][:64, :64], drawn["conv1_2"][0])


# sha256 of filters as they were drawn when VGG-19 was the only network.
DRAWN_BEFORE = {
    "conv1_1": "3081aa917c282b6d",
    "conv3_3": "26ce785830227337",
    "conv5_4": "97a518a2b24be95c",
}


def test_random_filters_are_those_that_earlier_versions_drew() -> None:
    drawn = load_tensors(find_weights("vgg19", "random", Path()), ["conv5_4"])
    for layer, digest in DRAWN_BEFORE.items():
        assert sha256(drawn[layer][0].numpy().tobytes()).hexdigest().startswith(digest)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_random_filters_of_every_architecture_fit_and_differ(arch: str) -> None:
    architecture = ARCHITECTURES[arch]
    drawn = load_tensors(find_weights(arch, "random", Path()), architecture.tappable)
    assert list(drawn) == [part.name for part in architecture.convolutions()]
    firsts = set()
    for part in architecture.convolutions():
        weight, bias = drawn[part.name]
        assert weight.shape == part.shape
        assert bias.shape == (part.channels_out,)
        fan_in = weight[0].numel()
        assert weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05), part.name
        firsts.add(round(float(weight.flatten()[0]) * fan_in**0.5, 4))
    assert len(firsts) == len(drawn)


# --- an expansion is one layer of two convolutions -------------------------------------------


def draw_squeezenet(*layers: str) -> Tensors:
    drawn = load_tensors(find_weights("squeezenet1_1", "random", Path()), layers)
    tensors: Tensors = {}
    for part in ARCHITECTURES["squeezenet1_1"].convolutions(layers):
        tensors[f"{part.parameters}.weight"], tensors[f"{part.parameters}.bias"] = drawn[part.name]
    return tensors


def test_both_convolutions_of_an_expansion_are_needed_and_digested(tmp_path: Path) -> None:
    def found(tensors: Tensors) -> WeightSet:
        save_file(tensors, tmp_path / "w.safetensors", TOLD)
        return find_weights("squeezenet1_1", "w.safetensors", tmp_path)

    tensors = draw_squeezenet("fire2_expand")
    weights = found(tensors)
    check_layers(weights, ["conv1", "fire2"])
    loaded = load_tensors(weights, ["fire2"])
    assert list(loaded) == ["conv1", "fire2_squeeze", "fire2_expand1x1", "fire2_expand3x3"]
    for size, name in ((1, "features.3.expand1x1"), (3, "features.3.expand3x3")):
        weight, _ = loaded[f"fire2_expand{size}x{size}"]
        assert torch.equal(weight, tensors[f"{name}.weight"])
    before = layers_digest(weights, ["fire2"])
    for name in ("features.3.expand1x1.bias", "features.3.expand3x3.weight"):
        assert layers_digest(found(tensors | {name: tensors[name] + 1}), ["fire2"]) != before
    cut = {key: value for key, value in tensors.items() if "expand3x3" not in key}
    refused(
        lambda: check_layers(found(cut), ["fire2_expand"]),
        "does not have fire2_expand3x3; it has conv1 to fire2_expand1x1",
    )
    swapped = tensors | {"features.3.expand1x1.weight": torch.zeros(64, 16, 3, 3)}
    refused(
        lambda: found(swapped),
        "fire2_expand1x1 has weight [64, 16, 3, 3] and bias [64]; weight [64, 16, 1, 1]",
    )


def test_weights_of_another_architecture_are_refused(folder: Folder) -> None:
    save_file(draw_squeezenet("conv1"), folder.root / "w.safetensors", TOLD)
    refused(
        lambda: find_weights("alexnet", "w.safetensors", folder.root),
        "conv1 has weight [64, 3, 3, 3] and bias [64]; weight [64, 3, 11, 11]",
        "use a file of this architecture, or correct extractor.arch",
    )


def features(weights: WeightSet, image: Tensor) -> Tensor:
    told = weights.normalisation
    tensors = load_tensors(weights, ["conv1_1"])
    network = Extractor(ARCHITECTURES["vgg19"], tensors, ["conv1_1"], mean=told.mean, std=told.std)
    return network(image)["conv1_1"]


def test_weights_that_take_bgr_see_what_rgb_weights_see_of_the_flipped_image(
    folder: Folder,
) -> None:
    tensors = draw_weights("conv1_1")
    image = torch.rand((1, 3, 12, 10), generator=torch.Generator().manual_seed(0))
    told = {"std": "0.2,0.25,0.5", "mean": "0.4,0.5,0.6"}
    bgr = folder.safetensors(tensors, told | {"channels": "bgr"})
    loaded = load_tensors(bgr, ["conv1_1"])["conv1_1"]
    assert torch.equal(loaded[0], tensors["features.0.weight"].flip(1))
    assert torch.equal(loaded[1], tensors["features.0.bias"])
    seen = features(bgr, image)
    # The same filters, fed by hand with the blue channel first.
    flipped = folder.safetensors(tensors, {"mean": "0.6,0.5,0.4", "std": "0.5,0.25,0.2"})
    assert torch.allclose(seen, features(flipped, image.flip(1)), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(seen, features(flipped, image), atol=0.1)


def test_the_caffe_normalisation_subtracts_the_mean_pixel_from_bytes() -> None:
    caffe = NORMALISATIONS["caffe"]
    for mean, std, in_bytes in zip(caffe.mean, caffe.std, (123.68, 116.779, 103.939), strict=True):
        assert (200 / 255 - mean) / std == pytest.approx(200 - in_bytes)


# --- the named set ---------------------------------------------------------------------------


@pytest.mark.parametrize(("arch", "name"), NAMED_WEIGHTS)
def test_the_named_sets_are_torchvisions(arch: str, name: str) -> None:
    named = NAMED_WEIGHTS[arch, name]
    theirs = get_weight(named.identifier)
    assert named.identifier == str(theirs)
    assert named.url == theirs.url
    transform = theirs.transforms()
    ours = find_weights(arch, name, Path()).normalisation
    assert (list(ours.mean), list(ours.std)) == (transform.mean, transform.std)
    assert ours.channels == "rgb"
    assert re.fullmatch("[0-9a-f]{8}", named.sha256_start)


def test_names_are_those_of_the_architecture() -> None:
    assert find_weights("vgg16", "features", Path()).normalisation == NORMALISATIONS["caffe_rgb"]
    refused(
        lambda: find_weights("vgg16", "feature", Path()),
        "for vgg16 (No such file or directory); a name (imagenet, features, random) or a .safet",
    )
    refused(lambda: find_weights("alexnet", "features", Path()), "a name (imagenet, random)")


def test_digests_tell_named_sets_and_architectures_apart() -> None:
    every = [*NAMED_WEIGHTS, *((arch, "random") for arch in ARCHITECTURES)]
    digests = {
        layers_digest(find_weights(arch, name, Path()), ARCHITECTURES[arch].content_layers)
        for arch, name in every
    }
    assert len(digests) == len(every)


def test_two_networks_never_stand_in_digests_under_one_name() -> None:
    """Of random filters nothing but names is digested."""
    names = [architecture.digest_name for architecture in ARCHITECTURES.values()]
    assert len(set(names)) == len(names)
    assert ARCHITECTURES["slim-2026-11"].digest_name == "slim"


@pytest.mark.parametrize("named", NAMED_WEIGHTS.values(), ids=lambda named: named.identifier)
def test_the_sizes_of_named_sets_are_those_that_torchvision_tells(named: NamedWeights) -> None:
    assert named.size_mib == get_weight(named.identifier).meta["_file_size"]


@pytest.mark.parametrize(
    "variables",
    [
        {"TORCH_HOME": "{root}/torch"},
        {"XDG_CACHE_HOME": "{root}/cache"},
        {"TORCH_HOME": "{root}/torch", "XDG_CACHE_HOME": "{root}/cache"},
        {"HOME": "{root}"},
        {"TORCH_HOME": "~/here", "HOME": "{root}"},
    ],
)
def test_downloads_are_looked_for_where_torch_puts_them(
    variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(root=tmp_path))
    assert hub_folder() == Path(torch.hub.get_dir()) / "checkpoints"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch/hub/checkpoints"


def test_without_a_network_the_error_says_what_to_put_where(hub: Path) -> None:
    weights = find_weights("vgg19", "imagenet", Path())
    assert find_download(weights) is NAMED
    assert NAMED.place == hub / NAMED.file_name
    assert not is_checked_without_torch(weights)
    refused(
        lambda: load_tensors(weights, ["conv1_1"]),
        "VGG19_Weights.IMAGENET1K_V1: could not be downloaded from "
        "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth (",
        f"a copy of vgg19-dcbb9e9d.pth (sha256 dcbb9e9d…) in {hub};",
        "or take `--arch slim`, which comes with stylebatch, or `--weights PATH` of a file (",
        "`stylebatch weights convert`",
    )


def test_a_folder_that_can_not_be_made_is_told_in_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file/torch"))
    weights = find_weights("vgg19", "imagenet", Path())
    refused(lambda: load_tensors(weights, ["conv1_1"]), "could not be downloaded", "PATH")


@pytest.mark.parametrize("content", ["nothing", "noise", "other weights", "code"])
def test_another_file_under_the_name_of_the_download_is_refused_and_not_run(
    hub: Path, content: str
) -> None:
    hub.mkdir(parents=True)
    path, trace = hub / NAMED.file_name, hub / "was-run"
    torch.save(draw_weights("conv1_1"), path)
    if content != "other weights":
        data = {"nothing": b"", "noise": b"\x80no pickle", "code": pickle.dumps(Harmful(trace))}
        path.write_bytes(data[content])
    weights = find_weights("vgg19", "imagenet", Path())
    assert find_download(weights) is None
    start = sha256(path.read_bytes()).hexdigest()[:8]
    refused(
        lambda: load_tensors(weights, ["conv1_1"]),
        f"{path}: is not VGG19_Weights.IMAGENET1K_V1: its sha256 starts with {start}; dcbb9e9d; "
        "delete it, and it will be downloaded again",
    )
    assert not trace.exists()


def test_the_right_file_under_that_name_is_loaded(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.mkdir(parents=True)
    tensors = draw_weights("conv1_1")
    torch.save(tensors, hub / NAMED.file_name)
    # The real file has half a gigabyte: let this one count as the right one.
    start = sha256((hub / NAMED.file_name).read_bytes()).hexdigest()[:8]
    monkeypatch.setattr(type(NAMED), "sha256_start", start)
    loaded = load_tensors(find_weights("vgg19", "imagenet", Path()), ["relu1_1"])
    assert torch.equal(loaded["conv1_1"][0], tensors["features.0.weight"])

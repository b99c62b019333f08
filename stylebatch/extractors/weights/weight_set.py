"""Names and paths of weights → what was found there, checked, and its digest. No torch here."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from math import isclose, isfinite
from pathlib import Path

from safetensors import SafetensorError, safe_open

from stylebatch.errors import UserError
from stylebatch.extractors.architectures import ARCHITECTURES, Convolution
from stylebatch.extractors.weights.digest import TENSORS_SHA256, file_sha256
from stylebatch.extractors.weights.names import (
    NAMED_WEIGHTS,
    NORMALISATIONS,
    SHIPPED_WEIGHTS,
    Normalisation,
    names_of,
)
from stylebatch.system.files import DIGEST_BYTES, digest_file, why_unreadable
from stylebatch.system.paths import expand_home

PICKLED = (".pth", ".pt")
# Of safetensors files: what numpy reads.
DTYPES = ("F16", "F32", "F64")


class WeightsError(UserError):
    """Weights that are missing, damaged, or lack a layer."""


class NormalisationError(WeightsError):
    """A normalisation that was told and is not what the weights say of themselves."""


@dataclass(frozen=True, slots=True)
class WeightSet:
    """Weights that were found, but not yet read.

    Attributes:
        source: `random`, a named set, or the path as the user wrote it.
        path: the file; None for `random` and for a set that torchvision downloads.
        layers: the convolutions in the file; None where only torch can tell (`.pth`).
    """

    arch: str
    source: str
    path: Path | None
    normalisation: Normalisation
    layers: frozenset[str] | None


def find_weights(
    arch: str, weights: str | None, root: Path, normalisation: Normalisation | None = None
) -> WeightSet:
    """Find weights by name (`imagenet`, `random`) or by path from `root`, without torch.

    Args:
        weights: None for the architecture's own: `imagenet`, of `slim` the file that is shipped. A
            name may stand behind its architecture, as `weights list` writes it: `vgg19/imagenet`.
        normalisation: where the user told it; of weights that don't say it themselves.

    Raises:
        NormalisationError: the file, or the table of names, says another normalisation.
        WeightsError: unknown architecture, no such file, not a weights file, no normalisation.
    """
    if arch not in ARCHITECTURES:
        allowed = f"one of {', '.join(ARCHITECTURES)}"
        raise WeightsError("extractor.arch", f"'{arch}' is no known architecture", allowed)
    weights = _short_name(arch, weights or names_of(arch)[0])
    every = frozenset(part.name for part in ARCHITECTURES[arch].convolutions())
    if weights == "random":
        found = normalisation or NORMALISATIONS["imagenet"]
        return WeightSet(arch, weights, None, found, every)
    if named := NAMED_WEIGHTS.get((arch, weights)):
        found = _agreed(normalisation, NORMALISATIONS[named.normalisation], weights)
        return WeightSet(arch, weights, None, found, every)
    path = root / expand_home(weights)
    if shipped := SHIPPED_WEIGHTS.get((arch, weights)):
        path = Path(__file__).parent / shipped
    return _find_file(arch, weights, path.resolve(), normalisation)


def _short_name(arch: str, weights: str) -> str:
    name = weights.removeprefix(f"{arch}/")
    return name if name in names_of(arch) else weights


def _find_file(
    arch: str, weights: str, path: Path, normalisation: Normalisation | None
) -> WeightSet:
    allowed = f"a name ({', '.join(names_of(arch))}) or a .safetensors, .pth or .pt file"
    if reason := why_unreadable(path):
        todo = "correct the path (relative to the manifest)"
        raise WeightsError(weights, f"no such weights for {arch} ({reason})", allowed, todo)
    if path.suffix in PICKLED:
        if normalisation is None:
            raise _no_normalisation(weights)
        return WeightSet(arch, weights, path, normalisation, None)
    if path.suffix != ".safetensors":
        raise WeightsError(weights, f"'{path.suffix}' is no kind of weights file", allowed)
    metadata, shapes = _read_header(path, weights)
    _check_arch(arch, metadata, weights)
    layers = _layers_in(arch, shapes, weights)
    if normalisation is None or {"mean", "std"} <= metadata.keys():
        normalisation = _agreed(normalisation, read_normalisation(metadata, weights), weights)
    _check_digest(path, metadata, weights)
    return WeightSet(arch, weights, path, normalisation, layers)


def _agreed(given: Normalisation | None, own: Normalisation, weights: str) -> Normalisation:
    """Return the normalisation; nobody may contradict what weights say of themselves."""
    if given is None:
        return own
    numbers = zip((*given.mean, *given.std), (*own.mean, *own.std), strict=True)
    # The same numbers, but for how many digits are written; 0.1 % is less than named sets differ.
    is_same = all(isclose(one, other, rel_tol=1e-3, abs_tol=1e-6) for one, other in numbers)
    if not is_same or given.channels != own.channels:
        found = f"'{weights}' says {describe_normalisation(own)} of its input"
        told = describe_normalisation(given)
        raise NormalisationError(
            "normalisation",
            f"{found}, which {told} contradicts",
            "allowed is what the weights say",
            "leave it out: it is only for weights that don't say it themselves",
        )
    return given


def describe_normalisation(found: Normalisation) -> str:
    """Put a normalisation into words: by its name, where it has one."""
    names = [name for name, known in NORMALISATIONS.items() if known == found]
    if names:
        return f"normalisation {names[0]}"
    mean, std = (",".join(f"{each:.5g}" for each in part) for part in (found.mean, found.std))
    return f"mean {mean}, std {std}, {found.channels}"


def _no_normalisation(weights: str) -> WeightsError:
    return WeightsError(
        weights,
        "does not say how its input is normalised",
        f"extractor.normalisation: one of {', '.join(NORMALISATIONS)}, or mean, std and channels",
        "add it to the manifest, or to a file of its own by `stylebatch weights convert`",
    )


def _read_header(path: Path, weights: str) -> tuple[dict[str, str], dict[str, list[int]]]:
    try:
        with safe_open(path, framework="np") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
            return file.metadata() or {}, shapes
    except (SafetensorError, OSError) as error:
        todo = "copy the file again, or convert it again"
        raise WeightsError(
            weights, f"is no readable safetensors file ({_header_reason(error)})", "", todo
        ) from error


def _header_reason(error: Exception) -> str:
    text = str(error)
    # So the library says that the first eight bytes are no length of a header.
    is_other = "header too" in text.lower()
    return "it is cut, or another kind of file" if is_other else text


def _check_arch(arch: str, metadata: dict[str, str], weights: str) -> None:
    # Shapes alone don't tell: VGG-16 and VGG-19 begin alike.
    if (told := metadata.get("arch", arch)) != arch:
        found = f"is of arch '{told}' by its own metadata"
        todo = "correct extractor.arch, or use a file of this architecture"
        raise WeightsError(weights, found, f"asked for is '{arch}'", todo)


def _check_digest(path: Path, metadata: dict[str, str], weights: str) -> None:
    told = metadata.get(TENSORS_SHA256)
    if told is not None and file_sha256(path) != told:
        raise WeightsError(
            weights,
            f"is damaged: its tensors are not those of its {TENSORS_SHA256} ({told[:8]}…)",
            "",
            "copy the file again, or convert it again",
        )


def _layers_in(arch: str, shapes: dict[str, list[int]], weights: str) -> frozenset[str]:
    found = set()
    for part in ARCHITECTURES[arch].convolutions():
        if shape := shapes.get(f"{part.parameters}.weight"):
            check_shape(part, list(shape), shapes.get(f"{part.parameters}.bias"), weights)
            found.add(part.name)
    if not found:
        raise WeightsError(
            weights,
            f"holds no layer of {arch} (its tensors: {', '.join(sorted(shapes)[:4])}, …)",
            "torchvision's names (features.0.weight, features.0.bias, …)",
        )
    return frozenset(found)


def check_shape(part: Convolution, weight: list[int], bias: list[int] | None, weights: str) -> None:
    wanted = list(part.shape)
    if weight != wanted or bias != [part.channels_out]:
        raise WeightsError(
            weights,
            f"{part.name} has weight {weight} and bias {bias}",
            f"weight {wanted} and bias [{part.channels_out}]",
            "use a file of this architecture, or correct extractor.arch",
        )


def read_normalisation(metadata: Mapping[str, str], weights: str) -> Normalisation:
    """Read `mean` and `std` (one number, or three with commas, in RGB order) and `channels`.

    Args:
        weights: what to call their file in errors.

    Raises:
        WeightsError: one that is missing, or can't be.
    """
    if "mean" not in metadata or "std" not in metadata:
        raise _no_normalisation(weights)
    channels = metadata.get("channels", "rgb")
    if channels not in ("rgb", "bgr"):
        raise WeightsError(weights, f"says channels '{channels}'", "rgb or bgr")
    try:
        mean, std = _triple(metadata["mean"]), _triple(metadata["std"])
        if min(std) <= 0:
            raise ValueError(f"std '{metadata['std']}' is not above 0")
        return Normalisation(mean, std, channels)
    except ValueError as error:
        raise WeightsError(
            weights, f"holds no usable mean and std ({error})", "one or three numbers"
        ) from error


def _triple(text: str) -> tuple[float, float, float]:
    numbers = [float(part) for part in text.split(",")]
    if len(numbers) == 1:
        numbers *= 3
    red, green, blue = numbers
    if not all(isfinite(number) for number in numbers):
        raise ValueError(f"'{text}' is not finite")
    return red, green, blue


def check_layers(weights: WeightSet, layers: Iterable[str]) -> None:
    """Check that the weights reach every named layer, as far as that is known without torch.

    Raises:
        WeightsError: a layer that the file does not reach, with what it has.
        UnknownLayerError: a layer that the architecture does not have.
    """
    needed = ARCHITECTURES[weights.arch].convolutions(layers)
    if weights.layers is None:
        return
    missing = [part.name for part in needed if part.name not in weights.layers]
    if missing:
        raise missing_layers(weights, missing, weights.layers)


def missing_layers(weights: WeightSet, missing: list[str], has: Iterable[str]) -> WeightsError:
    known = set(has)
    order = [part.name for part in ARCHITECTURES[weights.arch].convolutions() if part.name in known]
    return WeightsError(
        weights.source,
        f"does not have {', '.join(missing)}",
        f"it has {order[0]} to {order[-1]}" if order else "it has no layer of this architecture",
        "choose a recipe or layers that end there, or weights that go deeper",
    )


def layers_digest(weights: WeightSet, layers: Iterable[str]) -> str:
    """Return a digest of the tensors that the layers need and of the normalisation; no torch.

    A `.pth` file can't be taken apart without torch: the whole file's digest stands for its layers.

    Raises:
        WeightsError: a tensor that can't be read, or holds NaN or infinities.
    """
    state = blake2b(digest_size=DIGEST_BYTES)
    needed = ARCHITECTURES[weights.arch].convolutions(layers)
    named_after = ARCHITECTURES[weights.arch].digest_name
    state.update(json.dumps([named_after, asdict(weights.normalisation)]).encode())
    if weights.path is None:
        named = NAMED_WEIGHTS.get((weights.arch, weights.source))
        state.update((named.file_name if named else "random").encode())
        state.update(needed[-1].name.encode())
    elif weights.path.suffix in PICKLED:
        state.update(digest_file(weights.path).encode())
        state.update(needed[-1].name.encode())
    else:
        for name, data in _tensor_bytes(weights, needed):
            state.update(name.encode())
            state.update(data)
    return state.hexdigest()


def _tensor_bytes(
    weights: WeightSet, needed: tuple[Convolution, ...]
) -> Iterable[tuple[str, bytes]]:
    import numpy as np

    assert weights.path is not None
    with safe_open(weights.path, framework="np") as file:
        for part in needed:
            for kind in ("weight", "bias"):
                name = f"{part.parameters}.{kind}"
                dtype = file.get_slice(name).get_dtype()
                if dtype not in DTYPES:
                    raise _wrong_dtype(weights, part.name, dtype)
                tensor = np.asarray(file.get_tensor(name))
                if not np.isfinite(tensor).all():
                    raise not_finite(weights, part.name)
                yield f"{part.name}.{kind}", tensor.tobytes()


def _wrong_dtype(weights: WeightSet, layer: str, dtype: str) -> WeightsError:
    found = f"{layer} is stored as {dtype}"
    todo = "`stylebatch weights convert` also reads BF16"
    return WeightsError(weights.source, found, ", ".join(DTYPES), todo)


def not_finite(weights: WeightSet, layer: str) -> WeightsError:
    todo = "copy or train the file again"
    return WeightsError(weights.source, f"{layer} holds NaN or infinite numbers", "", todo)


def is_checked_without_torch(weights: WeightSet) -> bool:
    """Whether `find_weights` and `layers_digest` have seen all that can be wrong with them."""
    is_safetensors = weights.path is not None and weights.path.suffix not in PICKLED
    return is_safetensors or weights.source == "random"

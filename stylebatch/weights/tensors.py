"""The tensors of a weight set: loaded, downloaded or drawn. torch is imported when called."""

from collections.abc import Iterable
from contextlib import redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any

from stylebatch.architectures import ARCHITECTURES, Convolution
from stylebatch.files import sha256_file
from stylebatch.weights.found import (
    PICKLED,
    WeightsError,
    WeightSet,
    check_shape,
    missing_layers,
    not_finite,
)
from stylebatch.weights.names import NAMED_WEIGHTS, NamedWeights, hub_folder

if TYPE_CHECKING:
    from torch import Tensor


def load_tensors(weights: WeightSet, layers: Iterable[str]) -> "dict[str, tuple[Tensor, Tensor]]":
    """Load (or download, or draw) what the layers need: convolution → weight and bias.

    (O, I, k, k) and (O,), float32 on the CPU, input channels in RGB order whatever the file's is.

    Raises:
        WeightsError: no download, damaged file, a layer that is missing, NaN or infinite numbers.
    """
    architecture = ARCHITECTURES[weights.arch]
    needed = architecture.convolutions(layers)
    if weights.source == "random" and weights.path is None:
        return _draw(needed)
    tensors = _state_dict(weights)
    has = {x.name for x in architecture.convolutions() if f"{x.parameters}.weight" in tensors}
    if missing := [part.name for part in needed if part.name not in has]:
        raise missing_layers(weights, missing, has)
    return {part.name: _checked(weights, part, tensors) for part in needed}


def _state_dict(weights: WeightSet) -> "dict[str, Tensor]":
    if weights.path is None:
        return _downloaded(NAMED_WEIGHTS[weights.arch, weights.source])
    if weights.path.suffix not in PICKLED:
        from safetensors.torch import load_file

        return load_file(weights.path)
    import torch

    try:
        loaded: Any = torch.load(weights.path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for a file that is none
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise WeightsError(
            weights.source, f"is no weights file that can be read safely ({reason})"
        ) from error
    if not isinstance(loaded, dict) or not all(torch.is_tensor(v) for v in loaded.values()):
        raise WeightsError(weights.source, "holds no state dict", "a dict of names and tensors")
    return loaded


def _downloaded(named: NamedWeights) -> "dict[str, Tensor]":
    from torchvision.models import get_weight

    _check_download(named)
    try:
        # It tells of the download on stdout, where only a run's result belongs.
        with redirect_stdout(StringIO()):
            tensors: dict[str, Tensor] = get_weight(named.identifier).get_state_dict(
                progress=False, check_hash=True, weights_only=True
            )
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            named.identifier,
            f"could not be downloaded from {named.url} ({error})",
            f"a copy of {named.file_name} in {hub_folder()}",
            "put it there, or write `weights: PATH` of a .safetensors or .pth file under extractor",
        ) from error
    return tensors


def _check_download(named: NamedWeights) -> None:
    """Check a file that is there already: torchvision checks what it downloads, and only then."""
    path = hub_folder() / named.file_name
    try:
        digest = sha256_file(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise WeightsError(str(path), f"can't be read ({error.strerror})") from error
    if not digest.startswith(named.sha256_start):
        raise WeightsError(
            str(path),
            f"is not {named.identifier}: its sha256 starts with {digest[:8]}",
            named.sha256_start,
            "delete it, and it will be downloaded again",
        )


def _checked(
    weights: WeightSet, part: Convolution, tensors: "dict[str, Tensor]"
) -> "tuple[Tensor, Tensor]":
    weight, bias = tensors[f"{part.parameters}.weight"], tensors.get(f"{part.parameters}.bias")
    shape = None if bias is None else list(bias.shape)
    check_shape(part, list(weight.shape), shape, weights.source)
    assert bias is not None
    weight, bias = weight.detach().float(), bias.detach().float()
    if not (weight.isfinite().all() and bias.isfinite().all()):
        raise not_finite(weights, part.name)
    # Only the first convolution sees colours.
    if part.channels_in == 3 and weights.normalisation.channels == "bgr":
        weight = weight.flip(1)
    return weight.contiguous(), bias.contiguous()


def _draw(needed: tuple[Convolution, ...]) -> "dict[str, tuple[Tensor, Tensor]]":
    """Draw He-normal filters; each convolution has a seed of its own, so depth changes none.

    Random filters carry texture. Source: He, Wang & Hopcroft 2016; Ustyuzhaninov et al. 2016.
    """
    import torch

    drawn = {}
    for part in needed:
        # torch takes 64 bits, which long names exceed.
        seed = int.from_bytes(part.name.encode(), "big") % (2**63 - 1)
        generator = torch.Generator().manual_seed(seed)
        scale = (2 / part.fan_in) ** 0.5
        drawn[part.name] = (
            torch.randn(part.shape, generator=generator) * scale,
            torch.zeros(part.channels_out),
        )
    return drawn

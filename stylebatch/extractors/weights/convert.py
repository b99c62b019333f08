"""Any weights file → a small one: the architecture's convolutions, float32, safetensors."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.extractors.weights.digest import TENSORS_SHA256, tensors_sha256
from stylebatch.extractors.weights.names import Normalisation
from stylebatch.extractors.weights.tensors import load_all_tensors, load_tensors
from stylebatch.extractors.weights.weight_set import WeightsError, WeightSet
from stylebatch.system.files import write_atomic

if TYPE_CHECKING:
    from torch import Tensor


def convert_weights(weights: WeightSet, target: Path, deepest: str | None = None) -> list[str]:
    """Write the convolutions down to a layer (None: as deep as they go); return their names.

    Tensors keep torchvision's names. Filters that took BGR are turned, so that the file's channels
    are RGB. The metadata says arch, layers, mean, std, channels and `digest.tensors_sha256`.

    Raises:
        WeightsError: as `load_tensors`; a target that can't be written.
        UnknownLayerError: a layer that the architecture does not have.
    """
    loaded = load_all_tensors(weights) if deepest is None else load_tensors(weights, [deepest])
    write_weights(target, weights.arch, loaded, weights.normalisation, {})
    return list(loaded)


def write_weights(
    target: Path,
    arch: str,
    loaded: "Mapping[str, tuple[Tensor, Tensor]]",
    normalisation: Normalisation,
    facts: Mapping[str, str],
) -> None:
    """Write a file that vouches for its tensors, which take RGB.

    Args:
        loaded: convolution → weight and bias, float32 on the CPU.
        facts: what else its metadata says.

    Raises:
        WeightsError: a target that can't be written.
    """
    tensors: dict[str, Tensor] = {}
    for part in ARCHITECTURES[arch].convolutions():
        if part.name in loaded:
            kinds = zip(("weight", "bias"), loaded[part.name], strict=True)
            tensors |= {f"{part.parameters}.{kind}": tensor for kind, tensor in kinds}
    metadata = {
        "arch": arch,
        "layers": ",".join(loaded),
        "mean": ",".join(map(repr, normalisation.mean)),
        "std": ",".join(map(repr, normalisation.std)),
        "channels": "rgb",
        TENSORS_SHA256: tensors_sha256((name, each.numpy()) for name, each in tensors.items()),
        **facts,
    }
    # Here and not above: it brings torch.
    from safetensors.torch import save

    try:
        write_atomic(target, save(tensors, metadata))
    except OSError as error:
        found, todo = f"can't be written ({error.strerror})", "choose another place"
        raise WeightsError(str(target), found, "", todo) from error

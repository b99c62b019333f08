"""Names and paths of weights → digests without torch, and tensors on request.

Normalisation and channel order belong to the weights, never to a recipe: a file says them in its
metadata, a named set in the table of names, or the manifest says them.
"""

from stylebatch.extractors.weights.convert import convert_weights
from stylebatch.extractors.weights.downloads import (
    DownloadError,
    fetch,
    find_download,
    find_named,
    find_named_set,
    is_fetched,
)
from stylebatch.extractors.weights.names import (
    NAMED_WEIGHTS,
    NORMALISATIONS,
    SHIPPED_WEIGHTS,
    NamedWeights,
    Normalisation,
    hub_folder,
)
from stylebatch.extractors.weights.tensors import ChangedWeightsError, load_planned, load_tensors
from stylebatch.extractors.weights.weight_set import (
    NormalisationError,
    WeightsError,
    WeightSet,
    check_layers,
    describe_normalisation,
    find_weights,
    is_checked_without_torch,
    layers_digest,
    read_normalisation,
)

__all__ = [
    "NAMED_WEIGHTS",
    "NORMALISATIONS",
    "SHIPPED_WEIGHTS",
    "ChangedWeightsError",
    "DownloadError",
    "NamedWeights",
    "Normalisation",
    "NormalisationError",
    "WeightSet",
    "WeightsError",
    "check_layers",
    "convert_weights",
    "describe_normalisation",
    "fetch",
    "find_download",
    "find_named",
    "find_named_set",
    "find_weights",
    "hub_folder",
    "is_checked_without_torch",
    "is_fetched",
    "layers_digest",
    "load_planned",
    "load_tensors",
    "read_normalisation",
]

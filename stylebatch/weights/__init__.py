"""Names and paths of weights → digests without torch, and tensors on request.

Normalisation and channel order belong to the weights, never to a recipe: a file says them in its
metadata, a named set in the table of names, or the manifest says them.
"""

from stylebatch.weights.convert import convert_weights
from stylebatch.weights.downloads import fetch, find_download, find_named, is_fetched
from stylebatch.weights.found import (
    WeightsError,
    WeightSet,
    check_layers,
    find_weights,
    is_checked_without_torch,
    layers_digest,
    read_normalisation,
)
from stylebatch.weights.names import (
    NAMED_WEIGHTS,
    NORMALISATIONS,
    SHIPPED_WEIGHTS,
    Normalisation,
    hub_folder,
)
from stylebatch.weights.tensors import load_tensors

__all__ = [
    "NAMED_WEIGHTS",
    "NORMALISATIONS",
    "SHIPPED_WEIGHTS",
    "Normalisation",
    "WeightSet",
    "WeightsError",
    "check_layers",
    "convert_weights",
    "fetch",
    "find_download",
    "find_named",
    "find_weights",
    "hub_folder",
    "is_checked_without_torch",
    "is_fetched",
    "layers_digest",
    "load_tensors",
    "read_normalisation",
]

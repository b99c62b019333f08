"""Recipes: named objectives and solver settings, one YAML file each beside this module."""

import json
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib import resources
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from stylebatch.weights import WeightSet

LayerWeights = Annotated[dict[str, Annotated[float, Field(gt=0)]], Field(min_length=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]

# What a reader is told and no pixel depends on: not part of a fingerprint.
PROSE = ("title", "source", "notes")


class Recipe(BaseModel):
    """An objective, a start, sizes, an optimiser and its budget. Complete: nothing is implied.

    `F`, `P`: feature maps (C, N) of the image and of the content; `G`, `A`: Gram matrices F·Fᵀ of
    the image and of the style. Losses are those of `transfer/losses.py`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    title: str = Field(description="one line: what it is")
    source: str = Field(description="where the formulas and the numbers come from")
    notes: str = Field("", description="where it departs from its source, and why")

    content_layers: LayerWeights = Field(description="layers by paper name, and their weights")
    content_loss: Literal["relative", "mean", "sum"] = Field(
        description="relative: mean (F-P)² / mean P²; mean: mean (F-P)²; sum: Σ (F-P)²"
    )
    content_weight: float = Field(ge=0, description="factor of the content term")
    style_layers: LayerWeights = Field(description="layers by paper name, and their weights")
    style_loss: Literal["relative", "mean", "sum"] = Field(
        description="relative: ‖G-A‖² / ‖A‖²; mean: mean (G-A)²; sum: Σ (G-A)²"
    )
    gram_divisor: Literal["none", "n", "cn"] = Field(
        description="what a Gram matrix is divided by: nothing, its N positions, or C·N"
    )
    style_weight: float = Field(gt=0, description="factor of the style term")
    layer_reduction: Literal["mean", "sum"] = Field(
        description="how a term's layers are put together, by their weights"
    )
    tv_weight: float = Field(ge=0, description="factor of the total variation Σ(dx² + dy²)")
    strength: float = Field(gt=0, le=1e6, description="scales the style term")

    pooling: Literal["max", "average"] = Field(description="2×2 pooling of the extractor")
    padding: Literal["zeros", "reflect", "replicate"] = Field(description="of its convolutions")

    start: Literal["content", "noise"] = Field(description="the image that it starts from")
    size_px: int = Field(ge=16, le=16384, description="longest edge while optimising, at most")
    bucket_px: int = Field(ge=1, le=512, description="work edges are multiples of this")
    style_size_px: Literal["match"] | Annotated[int, Field(ge=16, le=16384)] = Field(
        description="longest edge of the style image; match: by the content's work size"
    )
    output_size: Literal["content", "work"] = Field(
        description="content: resampled to the content's own size; work: as optimised"
    )

    optimizer: Literal["lbfgs", "adam"] = Field(description="both project onto [0, 1]")
    steps: int = Field(ge=1, le=100_000, description="evaluations at most, all levels together")
    tolerance: Fraction = Field(
        description="stop when `window` evaluations lower the loss by a smaller share; 0: never"
    )
    window: int = Field(ge=1, le=10_000, description="evaluations over which progress is judged")
    keep: Literal["best", "last"] = Field(description="the iterate that is kept")
    levels: Literal["auto"] | Annotated[int, Field(ge=1, le=8)] = Field(
        description="pyramid levels, each half the next; auto: 1 below 512 px, 2 below 1024 px, …"
    )
    history: int = Field(ge=1, le=100, description="L-BFGS: curvature pairs")
    preconditioner_levels: int = Field(
        ge=0, le=6, description="L-BFGS: scales of the initial Hessian's preconditioner; 0: none"
    )
    first_rms_change: float = Field(gt=0, le=1, description="L-BFGS: RMS change of the first step")
    max_rms_change: float = Field(gt=0, le=1, description="L-BFGS: RMS change of a step at most")
    max_change: float = Field(gt=0, le=1, description="L-BFGS: change of one pixel at most")
    tolerated_rise: Fraction = Field(description="L-BFGS: a step may raise the loss by this share")
    learning_rate: float = Field(gt=0, le=10, description="Adam: pixels are in [0, 1]")
    learning_rate_schedule: Literal["cosine", "constant"] = Field(description="Adam")
    betas: tuple[Fraction, Fraction] = Field(description="Adam")
    epsilon: float = Field(gt=0, le=1, description="Adam")

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers that its terms read, each once."""
        return tuple(dict.fromkeys((*self.content_layers, *self.style_layers)))

    @property
    def uses_noise(self) -> bool:
        """Whether its pixels depend on a noise seed."""
        return self.start == "noise"

    def deciding_fields(self) -> dict[str, Any]:
        """What decides pixels: every field but prose, and but strength, which each job has."""
        return self.model_dump(mode="json", exclude={*PROSE, "strength"})


@dataclass(frozen=True, slots=True)
class Settings:
    """A recipe resolved for a pair, with the weights it runs on.

    Attributes:
        id: 16 hex digits of a hash of the rest; names it in metadata and `settings.json`.
        layers_digest: of the weights that the recipe's layers need, their normalisation included.
        precision: as asked for: float32 | bfloat16 | auto.
    """

    id: str
    recipe: Recipe
    weights: WeightSet
    layers_digest: str
    precision: str


def make_settings(
    recipe: Recipe, weights: WeightSet, layers_digest: str, precision: str
) -> Settings:
    """Put settings together under an id that is a hash of all that they decide."""
    deciding = [recipe.deciding_fields(), weights.arch, layers_digest, precision]
    text = json.dumps(deciding, sort_keys=True, separators=(",", ":"))
    settings_id = blake2b(text.encode(), digest_size=8).hexdigest()
    return Settings(settings_id, recipe, weights, layers_digest, precision)


def recipe_names() -> list[str]:
    """Return the names of the recipes that ship with the package, sorted."""
    entries = resources.files(__name__).iterdir()
    return sorted(entry.name[:-5] for entry in entries if entry.name.endswith(".yaml"))


@cache
def recipe_fields(name: str) -> dict[str, Any]:
    """Return a shipped recipe as the plain fields of its file; KeyError for an unknown name."""
    if name not in recipe_names():
        raise KeyError(name)
    text = resources.files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    fields: dict[str, Any] = yaml.safe_load(text)
    return fields

"""The manifest as it is written: which keys there are, and what each of them may hold.

Every key may be left out or `null` here. What a pair must have can also stand in `defaults`, so
that is checked when both are put together; `json_schema` names it for editors.
"""

from collections.abc import Iterable, Iterator
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model
from pydantic_core import PydanticCustomError

from stylebatch.extractors.architectures import ARCHITECTURES, DEFAULT_ARCHITECTURE
from stylebatch.extractors.weights import NORMALISATIONS
from stylebatch.recipes import LAYER_FIELDS, PROSE, Recipe, recipe_names
from stylebatch.system.paths import expand_home

DURATION = r"^([0-9]+(\.[0-9]+)?[wdhms])+$"
SHARE = r"^[0-9]+(\.[0-9]+)?%$"
DEVICE = r"^(cuda(:[0-9]+)?|mps|cpu)$"
DEFAULT_RECIPE = "balanced"
# Stands in a list for an entry whose problem is already noted.
LEFT_OUT = "\0"


class Section(BaseModel):
    """A mapping of the manifest: no other keys, no silent conversions, no infinities."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def _one_of(names: Iterable[str]) -> tuple[AfterValidator, Any]:
    """Allow the names of a table, in the JSON Schema too."""
    known = list(names)

    def check(name: str) -> str:
        if name not in known:
            raise PydanticCustomError("unknown_name", "unknown name")
        return name

    return AfterValidator(check), Field(json_schema_extra={"enum": list(known)})


_ARCH, _ARCH_ENUM = _one_of(ARCHITECTURES)
_RECIPE, _RECIPE_ENUM = _one_of(recipe_names())
_NORMALISATION, _NORMALISATION_ENUM = _one_of(NORMALISATIONS)

Positive = Annotated[float, Field(gt=0)]
# What a pair and its recipe both name has one set of bounds: the recipe's.
Strength = Annotated[float, Recipe.model_fields["strength"]]
Triple = tuple[float, float, float]
# A path that is read or written; of weights, names are too, and `find_weights` tells them apart.
Place = Annotated[str, Field(min_length=1), AfterValidator(expand_home)]
StylePath = Annotated[
    str,
    AfterValidator(expand_home),
    Field(
        min_length=1, json_schema_extra={"examples": ["styles/wave.jpg", "styles", "styles/*.jpg"]}
    ),
]


def _recipe_fields() -> Iterator[tuple[str, Any, str | None]]:
    """Yield the recipe's fields, its prose aside: name, type with its bounds, description."""
    for name, info in Recipe.model_fields.items():
        if name not in PROSE:
            kind = info.rebuild_annotation()
            own = Literal["default", "before_activation"] | kind if name in LAYER_FIELDS else kind
            yield name, own, info.description


def _override() -> type[Section]:
    fields: dict[str, Any] = {
        name: (kind | None, Field(None, description=description))
        for name, kind, description in _recipe_fields()
    }
    doc = "Any field of the recipe; wins over everything else but a sweep."
    return create_model("Override", __base__=Section, __doc__=doc, **fields)


def _sweep() -> type[Section]:
    known = [*_recipe_fields(), ("recipe", Annotated[str, _RECIPE, _RECIPE_ENUM], "recipes")]
    fields: dict[str, Any] = {
        name: (
            GenericAlias(list, kind) | None,
            Field(None, min_length=1, description=f"points; {description}"),
        )
        for name, kind, description in known
    }
    doc = "Fields of the recipe, each with the values that it takes: every combination is a point."
    return create_model("Sweep", __base__=Section, __doc__=doc, **fields)


if TYPE_CHECKING:
    Override = Section
    Sweep = Section
else:
    Override = _override()
    Sweep = _sweep()


class NormalisationFields(Section):
    """(RGB in [0, 1] - mean) / std, in RGB order, then brought into the order of `channels`."""

    mean: Triple
    """red, green, blue"""
    std: tuple[Positive, Positive, Positive]
    """red, green, blue"""
    channels: Literal["rgb", "bgr"] = "rgb"
    """the order in which the first convolution takes them"""


class Extractor(Section):
    """The network whose feature maps are compared."""

    arch: Annotated[str, _ARCH, _ARCH_ENUM] = DEFAULT_ARCHITECTURE
    """a row of the architectures table"""
    weights: Annotated[str, Field(min_length=1)] | None = None
    """a named set of the architecture (imagenet: downloaded once, checked; of slim shipped: comes
    with the package; each the default), random, or a .safetensors or .pth file"""
    normalisation: (
        Annotated[str, _NORMALISATION, _NORMALISATION_ENUM] | NormalisationFields | None
    ) = None
    """for a file that does not say it itself"""


class Blend(Section):
    """A style entry of several images, mixed by weight."""

    name: Annotated[str, Field(min_length=1)]
    """what stands in file names and metadata"""
    blend: Annotated[
        dict[Annotated[str, AfterValidator(expand_home)], Positive], Field(min_length=1)
    ]
    """image files and their weights; only the weights' proportions count"""


class Choice(Section):
    """Not all styles for each image, but some."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    sample: Annotated[int, Field(ge=1)] | None = None
    """so many styles for each image, drawn by `seed`, evenly and stable when images are added"""
    map: Place | None = None
    """a CSV file that says which image gets which style"""


class Defaults(Section):
    """What every pair has that does not say otherwise."""

    recipe: Annotated[str, _RECIPE, _RECIPE_ENUM] | None = None
    """a named objective and solver setting: `stylebatch recipes`"""
    content: Place | None = None
    """folder of photographs, searched recursively; its sub-folders (classes) are kept"""
    masks: Place | None = None
    """folder with a mask for each image, at its path below content: white stylised, black kept"""
    styles: Annotated[list[StylePath | Blend], Field(min_length=1)] | None = None
    """image files, folders, globs, or named blends"""
    assign: Literal["all"] | Choice | None = None
    """which styles each image gets; all by default"""
    size_px: Annotated[int, Recipe.model_fields["size_px"]] | None = None
    """longest edge while optimising, at most"""
    output_size: Recipe.model_fields["output_size"].rebuild_annotation() | None = None  # type: ignore[valid-type]
    """of the files: content (the content's own), work (as optimised), 224 (longest edge), or
    [224, 224] (cut from the centre)"""
    strength: Strength | tuple[Strength, Strength] | None = None
    """how much style: 0 the photograph, 1 the recipe, 2 much more; [LOW, HIGH] is drawn for each
    image"""
    steps: Annotated[int, Recipe.model_fields["steps"]] | None = None
    """evaluations at most"""
    variants: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """results for each image and style, where something random tells them apart; 1 by default"""
    into: str | None = None
    """a folder under images/ of its own"""
    override: Override | None = None
    """any field of the recipe"""
    sweep: Annotated[list[Sweep], Field(min_length=1)] | None = None
    """variants of every result, one for each point: fields of the recipe, and recipes"""


class PairFields(Defaults):
    """A content folder and the styles that it gets."""

    model_config = ConfigDict(json_schema_extra={"required": ["name"]})

    name: Annotated[str, Field(min_length=1)] | None = None
    """unique, a path component"""


class Run(Section):
    """How and where it runs; decides no pixel but by `precision`."""

    executor: Literal["inline", "local"] = "local"
    """inline: in the calling process; local: one process per device"""
    devices: (
        Literal["auto"]
        | Annotated[
            list[
                Annotated[
                    str,
                    Field(pattern=DEVICE, json_schema_extra={"examples": ["cuda:0", "mps", "cpu"]}),
                ]
            ],
            Field(min_length=1),
        ]
    ) = "auto"
    """auto: every GPU, else the CPU"""
    cpu_workers: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = "auto"
    """how many workers share the CPU's usable cores"""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """of the convolutions; all else is float32"""
    deadline: (
        Positive
        | Annotated[
            str, Field(pattern=DURATION, json_schema_extra={"examples": ["8h", "90m", "1h30m"]})
        ]
        | None
    ) = None
    """stop after this time, resumable; a number is in seconds; none by default"""
    cache: Place | None = None
    """folder for style targets; else $STYLEBATCH_CACHE, else the platform's cache folder"""
    max_deaths: Annotated[int, Field(ge=1, le=100)] = 2
    """an image that ends so many workers on its own is failed"""
    max_retries: Annotated[int, Field(ge=0, le=100)] = 2
    """how often an image is tried again whose failure may pass (a network folder, memory)"""
    max_failures: (
        Annotated[int, Field(ge=1)]
        | Annotated[str, Field(pattern=SHARE, json_schema_extra={"examples": ["5%"]})]
        | None
    ) = None
    """begin nothing more after so many failed images, or such a share of those to make"""
    image_timeout: (
        Positive
        | Annotated[str, Field(pattern=DURATION, json_schema_extra={"examples": ["30m", "90s"]})]
    ) = "30m"
    """a worker that makes no evaluation for so long is ended and replaced"""


class ManifestFields(Section):
    """A stylebatch manifest: which folders get which styles, and how. Paths are relative to it."""

    model_config = ConfigDict(json_schema_extra={"required": ["version", "output", "pairs"]})

    version: Literal[1] | None = None
    """of the manifest's format"""
    output: Place | None = None
    """the data set's root"""
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    """decides style assignment, drawn strengths and noise"""
    extractor: Extractor | None = None
    """the network whose feature maps are compared"""
    defaults: Defaults | None = None
    """any field of a pair but its name"""
    pairs: Annotated[list[PairFields], Field(min_length=1)] | None = None
    """content folders and the styles that each of them gets"""
    run: Run | None = None
    """how and where it runs"""


def json_schema() -> dict[str, Any]:
    """Return the manifest's JSON Schema, for editors (`yaml-language-server: $schema=FILE`)."""
    schema = ManifestFields.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}

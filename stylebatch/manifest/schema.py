"""The manifest as it is written: which keys there are, and what each of them may hold.

Every key may be left out or `null` here. What a pair must have can also stand in `defaults`, so
that is checked when both are put together; `json_schema` names it for editors.
"""

from collections.abc import Iterable, Iterator
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, create_model
from pydantic_core import PydanticCustomError

from stylebatch.extractors.architectures import ARCHITECTURES, DEFAULT_ARCHITECTURE
from stylebatch.extractors.weights import NORMALISATIONS
from stylebatch.manifest.acceptance_fields import AcceptFields
from stylebatch.manifest.annotation_fields import AnnotationFields
from stylebatch.manifest.file_fields import FormatFields, OriginalsFields
from stylebatch.manifest.run_fields import Run
from stylebatch.manifest.section import Place, Positive, Section, key
from stylebatch.recipes import LAYER_FIELDS, PROSE, Recipe, recipe_names
from stylebatch.system.paths import expand_home

DEFAULT_RECIPE = "balanced"
OF_RECIPE = "the recipe's"
# Stands in a list for an entry whose problem is already noted.
LEFT_OUT = "\0"


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

# What a pair and its recipe both name has one set of bounds: the recipe's.
Strength = Annotated[float, Recipe.model_fields["strength"]]
Triple = tuple[float, float, float]
Names = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
_STYLE_PATHS = ["styles/wave.jpg", "styles", "styles/*.jpg", "library:wave"]
StylePath = Annotated[
    str,
    AfterValidator(expand_home),
    Field(min_length=1, json_schema_extra={"examples": _STYLE_PATHS}),
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

    mean: Triple = Field(examples=[[0.485, 0.456, 0.406]])
    """red, green, blue"""
    std: tuple[Positive, Positive, Positive] = Field(examples=[[0.229, 0.224, 0.225]])
    """red, green, blue"""
    channels: Literal["rgb", "bgr"] = key("bgr", "rgb")
    """the order in which the first convolution takes them"""


class Extractor(Section):
    """The network whose feature maps are compared."""

    arch: Annotated[str, _ARCH, _ARCH_ENUM] = key("slim", DEFAULT_ARCHITECTURE)
    """the network: `stylebatch weights list`"""
    weights: Annotated[str, Field(min_length=1)] | None = key(
        "imagenet", otherwise="the architecture's own"
    )
    """a named set of the architecture (imagenet: downloaded once, checked; of slim shipped: comes
    with the package; each the default), random, or a .safetensors or .pth file"""
    normalisation: (
        Annotated[str, _NORMALISATION, _NORMALISATION_ENUM] | NormalisationFields | None
    ) = key("caffe", otherwise="the weights' own")
    """for a file that does not say it itself"""


class StyleFields(Section):
    """A style entry with more to say than a path: a blend, or a weight in the draw."""

    path: StylePath | None = key("styles/wave.jpg", otherwise="required, or name and blend")
    """an image file, a folder, a glob or library:NAME"""
    name: Annotated[str, Field(min_length=1)] | None = key("dusk", otherwise="of a blend required")
    """of a blend: what stands in file names and metadata"""
    blend: (
        Annotated[dict[Annotated[str, AfterValidator(expand_home)], Positive], Field(min_length=1)]
        | None
    ) = key({"styles/a.jpg": 0.7, "styles/b.jpg": 0.3})
    """image files (or library:NAME) and their weights in it; only these' proportions count"""
    weight: Positive | None = key(2, otherwise="1")
    """how often each of its styles is drawn, beside 1 for the others"""


class Choice(Section):
    """Not all styles for each image, but some."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 2})

    sample: Annotated[int, Field(ge=1)] | None = key(2)
    """so many styles for each image, drawn by `seed`: in every class each style equally often"""
    map: Place | None = key("map.csv")
    """a CSV file with the columns content,style: which image gets which style"""
    draw: Literal["even", "hash"] | None = key("hash", otherwise="even")
    """of sample: even, or hash: each image by itself, even up to chance (the only one until
    November 2026)"""


class SplitBy(Section):
    """Splits that are not the content's folders; each is a folder of the output."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    lists: Annotated[dict[str, Place], Field(min_length=1)] | None = key(
        {"train": "train.txt", "val": "val.txt"}
    )
    """text files with an image a line, its path below content: what is in none is left out"""
    shares: (
        Annotated[dict[str, Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)] | None
    ) = key({"train": 0.8, "val": 0.1, "test": 0.1})
    """parts of each class that sum to 1, drawn by `seed`; copies of a photograph stay together"""


class Defaults(Section):
    """What every pair has that does not say otherwise."""

    recipe: Annotated[str, _RECIPE, _RECIPE_ENUM] | None = key("deep", otherwise=DEFAULT_RECIPE)
    """a named objective and solver setting: `stylebatch recipes`"""
    content: Place | None = key("photos", otherwise="required")
    """folder of photographs, searched recursively; its sub-folders (classes) are kept. Also one in
    an object store (s3://BUCKET/PREFIX, gs://, az://), as are masks and styles"""
    split: Literal["auto", "folders", "none"] | SplitBy | None = key(
        {"shares": {"train": 0.9, "val": 0.1}}, otherwise="auto"
    )
    """auto: by the folders below content if they are named train, val, test and the like; folders:
    by whichever there are; none; or by lists or shares"""
    stylise: Names | None = key(["train"], otherwise="the train one")
    """the splits that are stylised; the others come out as `originals:` only"""
    include: Names | None = key(["**/*.jpg"], otherwise="all")
    """globs on an image's path below content: only what one of them matches"""
    exclude: Names | None = key(["**/*_blurred.*"])
    """likewise: not what one of them matches"""
    classes: Names | None = key(["cats", "dogs"], otherwise="all")
    """only these: first folders below the split, or below content where there is none"""
    max_images: Annotated[int, Field(ge=1)] | None = key(500, otherwise="all")
    """so many of each class in each split, drawn by `seed`"""
    masks: Place | None = key("masks")
    """folder with a mask for each image, at its path below content: white stylised, black kept"""
    levels: Literal["auto", "full"] | Annotated[int, Field(ge=8, le=16)] | None = key(
        12, otherwise="auto"
    )
    """how many bits photographs of 16-bit grey hold: auto: 8, 10 or 12 where all values lie within
    these, else 16; full: 16; or so many"""
    styles: Annotated[list[StylePath | StyleFields], Field(min_length=1)] | None = key(
        ["styles/wave.jpg", "styles/van_gogh"], otherwise="required"
    )
    """image files, folders, globs, or named blends; `{path: …, weight: 2}`: drawn twice as often"""
    copies: Annotated[int, Field(ge=1, le=10_000)] | None = key(3)
    """so many results for each image, of distinct styles drawn evenly; in place of assign and
    variants"""
    assign: Literal["all"] | Choice | None = key({"sample": 2}, otherwise="all")
    """which styles each image gets"""
    size_px: Annotated[int, Recipe.model_fields["size_px"]] | None = key(256, otherwise=OF_RECIPE)
    """longest edge while optimising, at most"""
    output_size: Recipe.model_fields["output_size"].rebuild_annotation() | None = key(  # type: ignore[valid-type]
        [224, 224], otherwise=OF_RECIPE
    )
    """of the files: content (the content's own), work (as optimised), 224 (longest edge), or
    [224, 224] (cut from the centre)"""
    format: Literal["png", "jpeg", "webp"] | FormatFields | None = key(
        {"jpeg": {"quality": 90}}, otherwise="png"
    )
    """of the files: png, jpeg (of quality 95) or webp (without loss), or one with its options"""
    provenance: bool | None = key(False, otherwise="true")
    """whether files say how they were made: content, style, recipe, strength, seed, version"""
    originals: Literal["none", "link", "copy"] | OriginalsFields | None = key(
        "copy", otherwise="none"
    )
    """the photographs themselves beside what is made of them: copied at the size and in the format
    of the other files, or linked as they are; or a share of them"""
    strength: Strength | tuple[Strength, Strength] | None = key([0.5, 2], otherwise=OF_RECIPE)
    """how much style: 0 the photograph, 1 the recipe, 2 much more; [LOW, HIGH] is drawn for each
    image"""
    steps: Annotated[int, Recipe.model_fields["steps"]] | None = key(40, otherwise=OF_RECIPE)
    """evaluations at most"""
    variants: Annotated[int, Field(ge=1, le=10_000)] | None = key(3, otherwise="1")
    """results for each image and style, where something random tells them apart"""
    accept: AcceptFields | None = key({"closed": [0.5, None], "speckle": [None, 2]})
    """what an image has to be worth, by the scores of the metadata; else it is rejected, made again
    or flagged"""
    annotations: AnnotationFields | None = key({"yolo": "labels"})
    """boxes, masks and other files of the photographs, which come out for each result"""
    into: str | None = key("own")
    """a folder under images/ of its own"""
    override: Override | None = key({"color": "content"})
    """any field of the recipe"""
    sweep: Annotated[list[Sweep], Field(min_length=1)] | None = key([{"style_weight": [5, 10, 20]}])
    """variants of every result, one for each point: fields of the recipe, and recipes"""


class PairFields(Defaults):
    """A content folder and the styles that it gets."""

    model_config = ConfigDict(json_schema_extra={"required": ["name"]})

    name: Annotated[str, Field(min_length=1)] | None = key("paintings")
    """unique, and a name that a file could have: no slash, no leading dot, no colon"""


class ManifestFields(Section):
    """A stylebatch manifest: which folders get which styles, and how. Paths are relative to it."""

    model_config = ConfigDict(json_schema_extra={"required": ["version", "output", "pairs"]})

    version: Literal[1] | None = key(1)
    """of the manifest's format"""
    output: Place | None = key("out")
    """the data set's root: a folder, or a prefix of an object store such as s3://BUCKET/PREFIX"""
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = key(7, 0)
    """decides style assignment, drawn strengths and noise"""
    extractor: Extractor | None = key(
        {"arch": "slim"}, otherwise=f"{DEFAULT_ARCHITECTURE} with its own weights"
    )
    """the network whose feature maps are compared"""
    defaults: Defaults | None = key({"size_px": 256})
    """any field of a pair but its name"""
    pairs: Annotated[list[PairFields], Field(min_length=1)] | None = key(
        [{"name": "a", "content": "photos", "styles": ["styles"]}]
    )
    """content folders and the styles that each of them gets"""
    run: Run | None = key({"deadline": "8h"}, otherwise="as below")
    """how and where it runs"""


def json_schema() -> dict[str, Any]:
    """Return the manifest's JSON Schema, for editors (`yaml-language-server: $schema=FILE`)."""
    schema = ManifestFields.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}

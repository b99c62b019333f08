"""A recipe: an objective, a start, sizes, an optimiser and its budget, as plain fields."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_serializer, model_validator

from stylebatch.pictures.sizes import work_size
from stylebatch.recipes.color_transfer import check_strength, complete, own_fields
from stylebatch.recipes.field_kinds import ADDED, PROSE, SAME_TIME

LayerWeights = Annotated[dict[str, Annotated[float, Field(gt=0)]], Field(min_length=1)]
Scales = Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1, max_length=6)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Factor = Annotated[float, Field(gt=0, le=100)]
Scale = Annotated[float, Field(gt=0, le=1e6)]
Edge = Annotated[int, Field(ge=16, le=16384)]
StartImage = Literal["content", "style", "noise"]
Resampling = Literal["lanczos", "bicubic", "bilinear", "nearest"]
_LAYERS = (
    "layers by paper name, and their weights; default: the architecture's own; "
    "before_activation: what these rectify"
)


class SecondPass(BaseModel):
    """A second optimisation at a larger size, from the enlarged result of the first."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    size_px: Edge = Field(description="in the place of the recipe's size_px; not below it")
    steps: int = Field(ge=1, le=100_000, description="evaluations at most, in this pass")


class Recipe(BaseModel):
    """An objective, a start, sizes, an optimiser and its budget.

    A field without a default has to be written in every recipe; a default is a feature that is
    switched off. `F`, `P`: feature maps (C, N) of the image and of the content; `G`, `A`: Gram
    matrices F·Fᵀ of the image and of the style. Losses are those of `transfer/losses.py`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    title: str = Field(description="one line: what it is")
    source: str = Field(description="where the formulas and the numbers come from")
    notes: str = Field("", description="where it departs from its source, and why")

    # --- the objective
    color_transfer: Literal["mean_std", "covariance", "histogram"] | None = Field(
        None,
        description="of recipe color-transfer, which optimises nothing: the mean and std of lαβ, "
        "mean and covariance of RGB, or histograms of RGB that photographs get from the style",
    )
    content_layers: LayerWeights = Field(description=_LAYERS)
    content_loss: Literal["relative", "mean", "sum"] = Field(
        description="relative: mean (F-P)² / mean P²; mean: mean (F-P)²; sum: Σ (F-P)²"
    )
    content_weight: float = Field(ge=0, description="factor of the content term")
    style_layers: LayerWeights = Field(description=_LAYERS)
    scales: Scales = Field(
        (1.0,), description="of the image on which the style is matched, weights: full, ½, ¼, …"
    )
    content_scales: Scales = Field(
        (1.0,), description="of the image on which the content is compared, likewise"
    )
    statistic: Literal["gram", "mean_std", "mean_covariance", "wasserstein"] = Field(
        "gram",
        description="what of the style is matched: Gram matrices; (AdaIN) mean and std; mean and "
        "covariance, half each; or both by their squared Wasserstein-2 distance",
    )
    style_loss: Literal["relative", "mean", "sum"] = Field(
        description="relative: ‖G-A‖² / ‖A‖²; mean: mean (G-A)²; sum: Σ (G-A)²"
    )
    style_powers: tuple[Literal[2, 4], ...] = Field(
        (2,), min_length=1, max_length=2, description="of G-A: squares, fourth powers, or both"
    )
    gram_divisor: Literal["none", "n", "cn", "2cn", "image"] = Field(
        description="what a Gram matrix is divided by: nothing, its N positions, C·N, 2·C·N, or "
        "the image's own 2·3·height·width"
    )
    style_weight: float = Field(gt=0, description="factor of the style term")
    style_weight_px: Edge | None = Field(
        None,
        description="the edge √(height·width) at which style_weight is meant: it grows in "
        "proportion; none: it is the same at every size",
    )
    weights_in_square: bool = Field(
        False, description="layer weight × factor stand inside the square: (wF-wP)², (wG-wA)²"
    )
    layer_reduction: Literal["mean", "sum"] = Field(
        description="how a term's layers are put together, by their weights"
    )
    tv_weight: float = Field(ge=0, description="factor of the total variation Σ (dx²+dy²)^power")
    tv_divisor: Literal["none", "edge", "n"] = Field(
        "none",
        description="what it is divided by: nothing, the edge √(height·width), or the pixels",
    )
    tv_border: bool = Field(
        False,
        description="whether it takes in the last row and column, as if the border went on; "
        "published ones leave them out",
    )
    tv_power: float = Field(1.0, ge=1, le=4, description="of the total variation; 1: squares")
    strength: float = Field(ge=0, le=1e6, description="how much style; see the next")
    strength_acts_on: Literal["style_weight", "statistics"] = Field(
        "style_weight",
        description="style_weight: a factor of it; statistics: an axis, 0 the photograph, 1 the "
        "style, between them statistics between both; above 1 a factor strength³ of the style term",
    )

    # --- what the extractor sees
    pooling: Literal["max", "average", "average_scaled"] = Field(
        description="of the extractor, each window as large as the network has it; average_scaled: "
        "2 × average, which keeps the magnitudes that max pooling gives"
    )
    padding: Literal["zeros", "reflect", "replicate", "replicate_shallow"] = Field(
        description="of its convolutions; replicate_shallow: of the first three, zeros of the rest"
    )
    normalisation: Literal["weights", "none"] = Field(
        "weights", description="of its input: the weights' own mean and std, or none"
    )
    input_range: float = Field(
        255, gt=0, le=1e6, description="white in its input, on the scale where 255 is usual"
    )
    input_stretch: Literal["none", "min_max"] = Field(
        "none", description="min_max: each image stretched to the full range before all else"
    )
    pixel_scale: Scale | tuple[Scale, Scale, Scale] = Field(
        1.0,
        description="white less black in the source's pixel variable (1, 255; one number or red, "
        "green, blue): learning_rate, epsilon, noise_scale and total variation are stated in it",
    )

    tile_px: Literal["auto", "none"] | Annotated[int, Field(ge=64, le=16384)] = Field(
        "auto",
        description="edge of the tiles in which an image with more pixels is evaluated: the same "
        "but for rounding, in less memory; auto: on a CPU above 2 megapixels, on a GPU where "
        "memory does not suffice; none: never",
    )

    # --- start and sizes
    start: (
        StartImage
        | Annotated[dict[StartImage, Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)]
    ) = Field(description="the image that it starts from, or a mix by shares around the mean pixel")
    noise: Literal["uniform", "normal", "integers"] = Field(
        "uniform", description="uniform: in [0, 1]; normal, integers: around the mean pixel"
    )
    noise_scale: float = Field(
        1.0, gt=0, le=1e6, description="normal: standard deviation; integers: largest magnitude"
    )
    fit: Literal["longest", "shortest", "stretch", "crop"] = Field(
        "longest",
        description="what size_px is: the longest or shortest edge, or the longest edge of a box "
        "of `aspect` that the image is stretched to, or that is cropped from its centre",
    )
    aspect: tuple[Annotated[int, Field(ge=1, le=100)], Annotated[int, Field(ge=1, le=100)]] = Field(
        (1, 1), description="width : height of that box"
    )
    enlarge: bool = Field(False, description="also enlarge images that are smaller than size_px")
    size_px: Edge = Field(description="edge while optimising; see fit")
    bucket_px: int = Field(ge=1, le=512, description="work edges are multiples of this")
    resampling: Resampling = Field("lanczos", description="of content and style to their sizes")
    style_size_px: Literal["match", "same"] | Edge = Field(
        description="edge of the style image, see fit; same: size_px; match: longest edge, by the "
        "content's work size"
    )
    style_scale: Factor = Field(1.0, description="times the style's size")
    style_scales: Annotated[tuple[Factor, ...], Field(min_length=1, max_length=8)] = Field(
        (1.0,), description="sizes whose targets are averaged, as factors of the style's size"
    )

    # --- what comes out
    output_size: Literal["content", "work"] | Edge | tuple[Edge, Edge] = Field(
        description="of the files. content: the content's own size; work: as optimised; 224: that "
        "longest edge; [224, 224]: that width and height, cut from the centre"
    )
    output_resampling: Resampling = Field("lanczos", description="to the output's size")
    rounding: Literal["nearest", "truncate"] = Field("nearest", description="to 8 bits")
    brightness: Annotated[float, Field(ge=0, le=10)] = Field(1.0, description="of the output, ×")
    saturation: Annotated[float, Field(ge=0, le=10)] = Field(1.0, description="of the output, ×")
    sharpness: Annotated[float, Field(ge=0, le=10)] = Field(1.0, description="of the output, ×")
    color: Literal["style", "content", "matched"] = Field(
        "style",
        description="content: luminance of the result, colours of the content; matched: the style "
        "image is given the content's mean and covariance of colours first",
    )
    progress_at: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (), description="evaluations after which the image so far is saved under progress/"
    )
    progress_every: int = Field(0, ge=0, description="the same after every so many; 0: never")
    side_by_side: bool = Field(
        False, description="save content, result and style in one picture under side_by_side/"
    )

    # --- the optimiser
    optimizer: Literal["lbfgs", "adam"] = Field(description="lbfgs: ours, projected onto [0, 1]")
    steps: int = Field(ge=1, le=100_000, description="evaluations at most, all levels together")
    second_pass: SecondPass | None = Field(None, description="larger, from the first's result")
    tolerance: Fraction = Field(
        description="stop when `window` evaluations lower the loss by a smaller share; 0: never"
    )
    window: int = Field(ge=1, le=10_000, description="evaluations over which progress is judged")
    max_content: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="refuse steps that take the content term beyond this: a guard against too "
        "much style",
    )
    keep: Literal["best", "last", "after_best", "after_last"] = Field(
        description="the iterate that is kept; after_: the one that its update led to"
    )
    levels: Literal["auto", "quarters"] | Annotated[int, Field(ge=1, le=8)] = Field(
        description="pyramid levels, each half the next; auto: 1 where the start is the content, "
        "else 2 from 192 px, 3 from 384 px, …; quarters: each a quarter of the next, 2 from "
        "192 px, 3 from 512 px, …, with few evaluations on each"
    )
    history: int = Field(ge=1, le=100, description="L-BFGS: curvature pairs")
    preconditioner_levels: int = Field(
        ge=0, le=6, description="L-BFGS: scales that the preconditioner tells apart; 0: none"
    )
    first_rms_change: float = Field(gt=0, le=1, description="L-BFGS: RMS change of the first step")
    max_rms_change: float = Field(gt=0, le=1, description="L-BFGS: RMS change of a step at most")
    max_change: float = Field(gt=0, le=1, description="L-BFGS: change of one pixel at most")
    tolerated_rise: Fraction = Field(description="L-BFGS: a step may raise the loss by this share")
    learning_rate: float = Field(gt=0, le=1e4, description="Adam: in units of pixel_scale")
    learning_rate_schedule: Literal["cosine", "constant"] = Field(description="Adam")
    betas: tuple[Fraction, Fraction] = Field(description="Adam")
    epsilon: float = Field(gt=0, le=1, description="Adam: in units of pixel_scale")
    clamp: bool = Field(True, description="Adam: project onto [0, 1] after each step")

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, fields: Any) -> Any:
        return complete(fields, cls.model_fields) if isinstance(fields, Mapping) else fields

    @model_serializer(mode="wrap")
    def _tell(self, tell_all: Any) -> dict[str, Any]:
        return own_fields(tell_all(self))

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        check_strength(self.color_transfer, self.strength)
        if self.fit == "crop" and self.output_size != "work":
            raise ValueError("fit: crop cuts edges off: it needs output_size: work")
        for name in ("scales", "content_scales"):
            if not any(getattr(self, name)):
                raise ValueError(f"{name}: at least one weight above 0")
        if self.second_pass is not None:
            if self.second_pass.size_px < self.size_px:
                raise ValueError("second_pass: its size_px has to be size_px or above")
            if self.levels not in ("auto", "quarters", 1):
                raise ValueError("second_pass needs levels: 1")
        return self

    @property
    def pixel_scales(self) -> tuple[float, float, float]:
        """White less black in the source's pixel variable: red, green, blue."""
        scale = self.pixel_scale
        return scale if isinstance(scale, tuple) else (scale, scale, scale)

    @property
    def needs_network(self) -> bool:
        """Whether anything is optimised: a colour transfer needs no network and no device."""
        return self.color_transfer is None

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers that its terms read, each once."""
        named = (*self.content_layers, *self.style_layers) if self.needs_network else ()
        return tuple(dict.fromkeys(named))

    @property
    def start_shares(self) -> Mapping[str, float]:
        """The start as a mix: image → share."""
        if isinstance(self.start, str):
            return {self.start: 1.0}
        return {str(name): share for name, share in self.start.items()}

    @property
    def uses_noise(self) -> bool:
        """Whether its pixels depend on a noise seed."""
        return "noise" in self.start_shares

    @property
    def max_evaluations(self) -> int:
        """Evaluations of an image at most, those of a second pass included; one is a transfer."""
        return self.steps + (self.second_pass.steps if self.second_pass else 0)

    @property
    def ends_early(self) -> bool:
        """Whether images may take fewer evaluations than that."""
        return self.tolerance > 0

    @property
    def time_fields(self) -> dict[str, Any]:
        """The fields that decide how long an evaluation of some size takes."""
        return self.model_dump(mode="json", exclude=SAME_TIME)

    @property
    def final_size_px(self) -> int:
        """The size of the last pass."""
        return self.second_pass.size_px if self.second_pass else self.size_px

    def work_size(self, width: int, height: int, smallest_px: int = 1) -> tuple[int, int]:
        """Return (width, height) at which an upright image leaves the optimiser.

        Args:
            smallest_px: the smallest edge that its layers can do with.
        """
        return work_size(
            width,
            height,
            self.final_size_px,
            self.bucket_px,
            fit=self.fit,
            aspect=self.aspect,
            enlarge=self.enlarge,
            smallest_px=smallest_px,
        )

    def file_size(self, width: int, height: int, work: tuple[int, int]) -> tuple[int, int]:
        """Return (width, height) of the file of an upright image that is worked on at `work`."""
        if self.output_size == "content":
            return width, height
        if self.output_size == "work":
            return work
        if isinstance(self.output_size, tuple):
            return self.output_size
        longest = max(width, height, 1)
        edges = (max(1, round(edge * self.output_size / longest)) for edge in (width, height))
        return next(edges), next(edges)

    def deciding_fields(self) -> dict[str, Any]:
        """What decides what comes out: every field but prose and strength, which each job has."""
        told = self.model_dump(mode="json", exclude={*PROSE, "strength"})
        before = {name: type(self).model_fields[name].default for name in ADDED}
        unchanged = {name for name, value in before.items() if getattr(self, name) == value}
        return {name: value for name, value in told.items() if name not in unchanged}

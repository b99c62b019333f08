"""A recipe, on weights with these constants → what `transfer` takes."""

from stylebatch.extractors.weights import Normalisation
from stylebatch.recipes import Recipe
from stylebatch.transfer.objective import ObjectiveSpec
from stylebatch.transfer.optimizers.protocol import OptimizerSpec
from stylebatch.transfer.problem import SecondPassSpec, SolverSpec
from stylebatch.transfer.sizes import SMALLEST_EDGE_PX
from stylebatch.transfer.starts import StartSpec

Triple = tuple[float, float, float]


def input_constants(recipe: Recipe, normalisation: Normalisation) -> tuple[Triple, Triple]:
    """Return (mean, std) for RGB in [0, 1], the recipe's input range brought into them."""
    if recipe.normalisation == "none":
        normalisation = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    usual = 255 / recipe.input_range
    return _times(normalisation.mean, usual), _times(normalisation.std, usual)


def _times(values: Triple, factor: float) -> Triple:
    red, green, blue = (value * factor for value in values)
    return red, green, blue


def objective_spec(recipe: Recipe) -> ObjectiveSpec:
    """Return a recipe's objective."""
    return ObjectiveSpec(
        content_layers=recipe.content_layers,
        content_loss=recipe.content_loss,
        content_weight=recipe.content_weight,
        style_layers=recipe.style_layers,
        style_loss=recipe.style_loss,
        gram_divisor=recipe.gram_divisor,
        style_weight=recipe.style_weight,
        style_weight_px=recipe.style_weight_px,
        layer_reduction=recipe.layer_reduction,
        tv_weight=recipe.tv_weight,
        statistic=recipe.statistic,
        scales=recipe.scales,
        content_scales=recipe.content_scales,
        strength_acts_on=recipe.strength_acts_on,
        style_powers=recipe.style_powers,
        weights_in_square=recipe.weights_in_square,
        tv_divisor=recipe.tv_divisor,
        tv_border=recipe.tv_border,
        tv_power=recipe.tv_power,
        pixel_scale=recipe.pixel_scales,
    )


def solver_spec(
    recipe: Recipe, normalisation: Normalisation, smallest_px: int = SMALLEST_EDGE_PX
) -> SolverSpec:
    """Return a recipe's start, budget and optimiser for an extractor with these constants.

    Args:
        smallest_px: the smallest edge that its layers can do with.
    """
    mean, _ = input_constants(recipe, normalisation)
    start = StartSpec(
        shares=recipe.start_shares,
        noise=recipe.noise,
        noise_scale=recipe.noise_scale,
        mean=mean,
        pixel_scale=recipe.pixel_scales,
        clamp=recipe.clamp or recipe.optimizer == "lbfgs",
    )
    return SolverSpec(
        start=start,
        steps=recipe.steps,
        tolerance=recipe.tolerance,
        window=recipe.window,
        keep=recipe.keep,
        max_content=recipe.max_content,
        levels=recipe.levels,
        optimizer=_optimizer_spec(recipe),
        second_pass=_second_pass(recipe),
        progress_at=frozenset(recipe.progress_at),
        progress_every=recipe.progress_every,
        smallest_px=max(SMALLEST_EDGE_PX, smallest_px),
    )


def _second_pass(recipe: Recipe) -> SecondPassSpec | None:
    second = recipe.second_pass
    return None if second is None else SecondPassSpec(recipe.size_px, recipe.fit, second.steps)


def _optimizer_spec(recipe: Recipe) -> OptimizerSpec:
    return OptimizerSpec(
        optimizer=recipe.optimizer,
        history=recipe.history,
        preconditioner_levels=recipe.preconditioner_levels,
        first_rms_change=recipe.first_rms_change,
        max_rms_change=recipe.max_rms_change,
        max_change=recipe.max_change,
        tolerated_rise=recipe.tolerated_rise,
        learning_rate=recipe.learning_rate,
        learning_rate_schedule=recipe.learning_rate_schedule,
        betas=recipe.betas,
        epsilon=recipe.epsilon,
        clamp=recipe.clamp,
        pixel_scale=recipe.pixel_scales,
    )

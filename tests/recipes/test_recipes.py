from typing import Any

import pytest
from pydantic import ValidationError

from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.recipes import PROSE, Recipe, needs_network, recipe_fields, recipe_names, recipe_on
from stylebatch.recipes.field_kinds import ADDED


def recipe(name: str = "balanced", **fields: Any) -> Recipe:
    return recipe_on("vgg19", recipe_fields(name) | fields)


# The literature's page as a table. Layers: content, then style.
CONV_1 = "conv1_1 conv2_1 conv3_1 conv4_1 conv5_1"
RELU_1 = "relu1_1 relu2_1 relu3_1 relu4_1 relu5_1"
FIRST_FIVE = "conv1_1 conv1_2 conv2_1 conv2_2 conv3_1"
LAYERS = {
    "augment": ("conv3_3", "relu1_1 relu2_1 relu3_1"),
    "balanced": ("conv3_3", "relu1_1 relu2_1 relu3_1"),
    "balanced-2026-11": ("conv3_3", "conv1_1 conv2_1 conv3_1"),
    "deep": ("conv4_2", RELU_1),
    "deep-2026-11": ("conv4_2", CONV_1),
    "feili": ("relu4_2", RELU_1),
    "gatys": ("relu4_2", RELU_1),
    "keras": ("relu5_2", RELU_1),
    "matlab": ("conv4_2", CONV_1),
    "neural-style": ("relu4_2", RELU_1),
    "perceptual": ("conv2_2", FIRST_FIVE),
    "pytorch-tutorial": ("conv2_2", FIRST_FIVE),
}
# Optimiser, evaluations, what is kept, start.
MIX = {"noise": 0.7, "content": 0.3}
SOLVING: dict[str, tuple[str, int, str, Any]] = {
    "augment": ("lbfgs", 12, "best", "content"),
    "balanced": ("lbfgs", 100, "best", "content"),
    "balanced-2026-11": ("lbfgs", 100, "best", "content"),
    "deep": ("lbfgs", 100, "best", "content"),
    "deep-2026-11": ("lbfgs", 100, "best", "content"),
    "feili": ("lbfgs", 300, "last", "content"),
    "gatys": ("lbfgs", 520, "last", "content"),
    "keras": ("lbfgs", 525, "last", "content"),
    "matlab": ("adam", 2500, "after_best", MIX),
    "neural-style": ("lbfgs", 1000, "last", "noise"),
    "perceptual": ("adam", 200, "after_last", "content"),
    "pytorch-tutorial": ("lbfgs", 320, "last", "content"),
}
# Work sizes of a photograph of 1200×800 and of one of 120×160, resampling, pooling, output.
SIZES = {
    "augment": ((96, 64), (64, 96), "lanczos", "max", "content"),
    "balanced": ((512, 352), (128, 160), "lanczos", "max", "content"),
    "balanced-2026-11": ((512, 352), (128, 160), "lanczos", "max", "content"),
    "deep": ((512, 352), (128, 160), "lanczos", "max", "content"),
    "deep-2026-11": ((512, 352), (128, 160), "lanczos", "max", "content"),
    "feili": ((256, 256), (256, 256), "bilinear", "max", "work"),
    "gatys": ((768, 512), (512, 682), "bilinear", "max", "work"),
    "keras": ((500, 500), (500, 500), "nearest", "max", "work"),
    "matlab": ((512, 384), (512, 384), "bicubic", "average", "content"),
    "neural-style": ((512, 341), (384, 512), "bilinear", "max", "work"),
    "perceptual": ((256, 256), (256, 256), "bilinear", "max", "work"),
    "pytorch-tutorial": ((768, 512), (512, 682), "bilinear", "max", "work"),
}
OURS = ("augment", "balanced", "balanced-2026-11", "deep", "deep-2026-11")
OPTIMISING = [name for name in recipe_names() if needs_network(name)]
LITERATURE = [name for name in LAYERS if name not in OURS]


def test_all_of_the_literature_is_there_and_names_are_sorted() -> None:
    assert sorted(LAYERS) == OPTIMISING


@pytest.mark.parametrize("name", OPTIMISING)
def test_a_recipe_states_every_field_that_has_no_default_and_no_default_twice(name: str) -> None:
    stated = set(recipe_fields(name))
    required = {key for key, field in Recipe.model_fields.items() if field.is_required()}
    assert required <= stated
    for key in stated - required:
        assert getattr(recipe(name), key) != Recipe.model_fields[key].default, key


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_says_what_it_is_where_it_comes_from_and_how_it_departs(name: str) -> None:
    assert len(recipe(name).title) < 90
    assert recipe(name).source
    if name in LITERATURE and recipe(name).optimizer == "lbfgs":
        assert "stylebatch's own projected L-BFGS" in recipe(name).notes


@pytest.mark.parametrize("name", LAYERS)
def test_content_and_style_are_read_at_the_published_layers(name: str) -> None:
    found = recipe(name)
    layers = " ".join(found.content_layers), " ".join(found.style_layers)
    assert layers == LAYERS[name]


@pytest.mark.parametrize("name", LAYERS)
def test_style_layers_weigh_what_is_published(name: str) -> None:
    published = {
        "gatys": [1000 / n**2 for n in (64, 128, 256, 512, 512)],
        "keras": [0.1, 0.1, 0.4, 0.3, 0.1],
        "matlab": [0.5, 1, 1.5, 3, 4],
    }
    weights = list(recipe(name).style_layers.values())
    assert weights == published.get(name, [1] * len(weights))


@pytest.mark.parametrize("name", SOLVING)
def test_optimiser_budget_kept_image_and_start_are_the_published_ones(name: str) -> None:
    found = recipe(name)
    assert (found.optimizer, found.steps, found.keep, found.start) == SOLVING[name]


@pytest.mark.parametrize("name", SIZES)
def test_sizes_resampling_pooling_and_output_are_the_published_ones(name: str) -> None:
    found = recipe(name)
    sizes = found.work_size(1200, 800), found.work_size(120, 160)
    others = found.resampling, found.pooling, found.output_size
    assert (*sizes, *others) == SIZES[name]


@pytest.mark.parametrize("name", LITERATURE)
def test_a_recipe_of_the_literature_runs_to_its_end_at_one_exact_size(name: str) -> None:
    found = recipe(name)
    assert (found.tolerance, found.levels, found.bucket_px) == (0, 1, 1)
    assert found.style_size_px == "same"
    assert found.layer_reduction == "sum"


def test_the_literatures_adam_steps_in_its_own_pixels_and_is_not_clamped() -> None:
    perceptual, matlab = recipe("perceptual"), recipe("matlab")
    assert perceptual.learning_rate == 0.003
    assert perceptual.pixel_scale == pytest.approx((1 / 0.229, 1 / 0.224, 1 / 0.225))
    assert (matlab.learning_rate, matlab.pixel_scale) == (2, 255)
    for found in (perceptual, matlab):
        assert (found.betas, found.epsilon) == ((0.9, 0.999), 1e-8)
        assert (found.learning_rate_schedule, found.clamp) == ("constant", False)


def test_what_is_saved_beside_and_after_the_image_is_as_published() -> None:
    keras, matlab = recipe("keras"), recipe("matlab")
    # After rounds 1, 6, 11, 16, 21 and 25 of 21 evaluations.
    assert keras.progress_at == (21, 126, 231, 336, 441, 525)
    assert (keras.brightness, keras.saturation, keras.sharpness) == (1.2, 1.2, 1.2)
    assert keras.rounding == "truncate"
    assert (matlab.progress_at, matlab.progress_every) == ((1,), 50)
    assert (matlab.side_by_side, matlab.output_resampling) == (True, "bicubic")


def test_what_the_extractor_sees_is_as_published() -> None:
    not_normalised = {name for name in LAYERS if recipe(name).normalisation == "none"}
    ranges = {name: recipe(name).input_range for name in LAYERS}
    stretched = {name for name in LAYERS if recipe(name).input_stretch == "min_max"}
    assert not_normalised == {"pytorch-tutorial"}
    assert {name for name, white in ranges.items() if white != 255} == {"neural-style"}
    assert ranges["neural-style"] == 256
    assert stretched == {"matlab"}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gatys", {"second_pass": {"size_px": 800, "steps": 220}}),
        ("gatys", {"pooling": "average"}),
        ("pytorch-tutorial", {"size_px": 128, "start": "noise", "pooling": "average"}),
        ("keras", {"brightness": 1, "saturation": 1, "sharpness": 1}),
        ("keras", {"style_powers": [4]}),
        ("keras", {"style_powers": [2, 4], "content_weight": 10, "tv_weight": 5}),
        ("keras", {"style_layers": {"relu3_1": 1}, "style_weight": 100}),
        ("matlab", {"start": {"noise": 0.2, "content": 0.3, "style": 0.5}}),
        ("matlab", {"start": "style", "content_layers": {"conv3_2": 0.5, "conv4_2": 1}}),
        ("feili", {"style_weight": 100, "style_scales": [0.5, 1, 2]}),
        ("neural-style", {"optimizer": "adam", "clamp": False, "progress_every": 100}),
        ("neural-style", {"start": "content", "style_scale": 0.5, "color": "content"}),
        ("perceptual", {"start": "noise", "tv_weight": 1e-4, "statistic": "mean_std"}),
    ],
)
def test_the_options_of_the_sources_are_overrides(name: str, options: dict[str, Any]) -> None:
    changed = recipe(name, **options).deciding_fields()
    assert changed != recipe(name).deciding_fields()


@pytest.mark.parametrize("name", OPTIMISING)
def test_the_layers_of_a_recipe_are_those_of_both_vggs(name: str) -> None:
    layers = recipe(name).layers
    assert len(set(layers)) == len(layers)
    for arch in ("vgg19", "vgg16"):
        assert ARCHITECTURES[arch].up_to(layers)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_balanced_takes_each_architectures_own_layers(arch: str) -> None:
    own, found = ARCHITECTURES[arch], recipe_on(arch, recipe_fields("balanced"))
    assert found.content_layers == dict.fromkeys(own.content_layers, 1)
    assert found.style_layers == dict.fromkeys(own.style_layers, 1)
    written = recipe_on(arch, recipe_fields("balanced") | {"content_layers": {"conv1": 2}})
    assert written.content_layers == {"conv1": 2}
    assert written.style_layers == found.style_layers


@pytest.mark.parametrize("name", ["balanced", "balanced-2026-11"])
def test_settings_of_a_recipe_on_vgg19_are_those_of_the_layers_written_out(name: str) -> None:
    content, style = (dict.fromkeys(layers.split(), 1) for layers in LAYERS[name])
    layers = {"content_layers": content, "style_layers": style}
    assert recipe(name) == Recipe(**recipe_fields(name) | layers)


def test_deep_is_balanced_with_deeper_layers() -> None:
    for ending in ("", "-2026-11"):
        shallow, deep = (recipe(name + ending).deciding_fields() for name in ("balanced", "deep"))
        different = {name for name in shallow.keys() | deep if shallow.get(name) != deep.get(name)}
        assert different <= {"content_layers", "style_layers", "tolerance"}
        assert {"content_layers", "style_layers"} <= different


def test_an_unknown_recipe_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        recipe_fields("blanced")


def test_reading_a_recipe_twice_gives_fields_of_its_own() -> None:
    changed = recipe_fields("balanced") | {"steps": 3}
    assert recipe_fields("balanced")["steps"] != changed["steps"]


def test_prose_and_strength_decide_no_settings() -> None:
    plain = recipe().deciding_fields()
    assert recipe(title="x", source="y", notes="z", strength=3).deciding_fields() == plain
    defaults = {name for name in ADDED if name not in recipe_fields("balanced")}
    assert set(plain) == set(Recipe.model_fields) - {*PROSE, "strength", *defaults}
    assert recipe(steps=99).deciding_fields() != plain


def test_noise_is_used_where_the_recipe_starts_from_it() -> None:
    assert [name for name in recipe_names() if recipe(name).uses_noise] == [
        "matlab",
        "neural-style",
    ]
    assert recipe(start="noise").uses_noise


@pytest.mark.parametrize(
    "fields",
    [
        {"steps": 0},
        {"size_px": -5},
        {"strength": -0.1},
        {"strength": float("nan")},
        {"style_layers": {}},
        {"style_layers": "defaults"},
        {"style_layers": "after_activation"},
        {"scales": []},
        {"scales": [1, -1]},
        {"scales": [1] * 7},
        {"scales": [0, 0]},
        {"content_scales": []},
        {"content_scales": [0.0]},
        {"content_scales": 1},
        {"statistic": "covariance"},
        {"tv_divisor": "pixels"},
        {"strength_acts_on": "content"},
        {"content_layers": {"conv3_3": 0}},
        {"pooling": "median"},
        {"unheard_of": 1},
    ],
)
def test_absurd_fields_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        recipe(**fields)

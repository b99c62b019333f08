"""The manifests in `examples/`: they load, and mean what they say."""

import re
import shutil
from pathlib import Path

import pytest
from support.paths import ROOT
from support.runs import command

from stylebatch.demo import write_demo
from stylebatch.manifest import Manifest, load_manifest

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"
ALL_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")

# Of `sources/002_9b4ec912280819b9.txt`, the article behind the recipe: name, field, value.
KERAS_SWEEPS = [
    ("content_weight=0.1", "content_weight", 0.1),
    ("content_weight=1", "content_weight", 1),
    ("content_weight=5", "content_weight", 5),
    ("content_weight=10", "content_weight", 10),
    ("style_weight=1", "style_weight", 1),
    ("style_weight=100", "style_weight", 100),
    ("style_layers=relu1_1", "style_layers", {"relu1_1": 1}),
    ("style_layers=relu2_1", "style_layers", {"relu2_1": 1}),
    ("style_layers=relu3_1", "style_layers", {"relu3_1": 1}),
    ("style_layers=relu4_1", "style_layers", {"relu4_1": 1}),
    ("style_layers=relu5_1", "style_layers", {"relu5_1": 1}),
    ("style_layers=#1", "style_layers", dict.fromkeys(ALL_LAYERS, 1)),
    (
        "style_layers=#2",
        "style_layers",
        dict(zip(ALL_LAYERS, (0.5, 0.5, 0.4, 0.4, 1), strict=True)),
    ),
    ("tv_weight=1", "tv_weight", 1),
    ("tv_weight=5", "tv_weight", 5),
    ("tv_weight=10", "tv_weight", 10),
    ("style_powers=#1", "style_powers", (4,)),
    ("style_powers=#2", "style_powers", (4, 2)),
]


@pytest.fixture
def keras_sweeps(tmp_path: Path) -> Manifest:
    """The example beside the demonstration, as in the repository after `stylebatch demo demo`."""
    write_demo(tmp_path / "demo")
    (tmp_path / "examples").mkdir()
    shutil.copy(EXAMPLES / "keras-sweeps.yaml", tmp_path / "examples")
    return load_manifest(tmp_path / "examples/keras-sweeps.yaml")


def test_the_example_of_sweeps_has_the_article_s_experiments(keras_sweeps: Manifest) -> None:
    found = [
        (pair.name, getattr(pair.settings.recipe, field))
        for pair, (_, field, _) in zip(keras_sweeps.pairs, KERAS_SWEEPS, strict=True)
    ]
    assert found == [(f"keras:{label}", value) for label, _, value in KERAS_SWEEPS]


def test_its_points_change_one_field_of_the_recipe_each(keras_sweeps: Manifest) -> None:
    for pair, (_, field, _) in zip(keras_sweeps.pairs, KERAS_SWEEPS, strict=True):
        recipe = pair.settings.recipe
        assert recipe.content_layers == {"relu5_2": 1}
        assert (recipe.size_px, recipe.steps, recipe.fit) == (128, 30, "stretch")
        assert field == "content_weight" or recipe.content_weight == 0.08
        assert field == "tv_weight" or recipe.tv_weight == 1
        assert field == "style_powers" or recipe.style_powers == (2,)
        assert field == "style_layers" or len(recipe.style_layers) == 5


def test_the_example_of_splits_stylises_some_and_leaves_the_others(tmp_path: Path) -> None:
    write_demo(tmp_path / "demo")
    (tmp_path / "examples").mkdir()
    manifest = Path(shutil.copy(EXAMPLES / "splits.yaml", tmp_path / "examples"))
    out = command("plan", str(manifest)).out
    rows = re.findall(r"^photographs +(train|val) +(\d+) +(stylised|not stylised)$", out, re.M)
    assert [(split, told) for split, _, told in rows] == [
        ("train", "stylised"),
        ("val", "not stylised"),
    ]
    counts = [int(count) for _, count, _ in rows]
    assert min(counts) > 0
    assert sum(counts) == len(list((tmp_path / "demo/photos").rglob("*.*")))

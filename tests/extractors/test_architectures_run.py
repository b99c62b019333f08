"""Every architecture at work: a small run of `balanced`, with its own layers and random filters."""

import csv
from pathlib import Path
from typing import Any

import pytest
from support.runs import command, picture, small_project

from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.manifest import ManifestError, load_manifest

SMALL = {"bucket_px": 16, "tolerance": 0, "style_size_px": 16}


@pytest.mark.parametrize("arch", ["alexnet", "squeezenet1_1"])
def test_balanced_runs_with_the_architectures_own_layers(arch: str, tmp_path: Path) -> None:
    """AlexNet's conv4 sees nothing of 16 px: photographs and styles are worked on larger."""
    small = small_project(tmp_path)
    small.document["extractor"]["arch"] = arch
    small.pair |= {"override": SMALL, "steps": 6}
    assert small.run().code == 0
    assert len(small.images()) == 4
    own = ARCHITECTURES[arch]
    (pair,) = load_manifest(small.manifest).pairs
    assert set(pair.settings.recipe.layers) == {*own.content_layers, *own.style_layers}
    for image in small.images():
        with (small.out / "losses" / image).with_suffix(".csv").open() as file:
            totals = [float(row["total"]) for row in csv.DictReader(file)]
        assert len(totals) == 6
        assert min(totals) < 0.9 * totals[0]
    assert small.again() == set()


def refusal(small: Any) -> str:
    with pytest.raises(ManifestError) as caught:
        load_manifest(small.write())
    return str(caught.value)


def test_a_recipe_that_names_layers_of_another_architecture_is_refused_with_ways_out(
    tmp_path: Path,
) -> None:
    small = small_project(tmp_path)
    small.document["extractor"]["arch"] = "alexnet"
    small.pair |= {"recipe": "gatys", "override": {}}
    message = refusal(small)
    assert "pairs[0].recipe: 'relu4_2' is no layer of alexnet; alexnet has conv1, conv2" in message
    assert "it is one of vgg19, vgg16: use `recipe: balanced`" in message
    small.pair["override"] = {"content_layers": "default", "style_layers": "default"}
    (pair,) = load_manifest(small.write()).pairs
    assert pair.settings.recipe.content_layers == {"conv4": 1}
    small.pair["override"] = {"content_layers": "defualt"}
    allowed = "allowed is one of default, before_activation or a mapping of"
    assert f"found 'defualt'; {allowed}" in refusal(small)
    assert "did you mean 'default'?" in refusal(small)


def test_default_layers_may_stand_in_a_sweep(tmp_path: Path) -> None:
    small = small_project(tmp_path)
    words = ["default", "before_activation", {"conv1_1": 1}]
    small.pair["sweep"] = [{"style_layers": words}]
    own, before, written = load_manifest(small.write()).pairs
    assert own.name == "all:style_layers=default"
    assert list(own.settings.recipe.style_layers) == ["relu1_1", "relu2_1", "relu3_1"]
    assert before.name == "all:style_layers=before_activation"
    assert list(before.settings.recipe.style_layers) == ["conv1_1", "conv2_1", "conv3_1"]
    assert written.settings.recipe.style_layers == {"conv1_1": 1}


def stylize(tmp_path: Any, *options: str) -> tuple[int, str]:
    for number, name in enumerate(["content.png", "style.png"]):
        picture(number, 40, 32).save(tmp_path / name)
    images = [str(tmp_path / "content.png"), str(tmp_path / "style.png")]
    cheap = ["--weights", "random", "--device", "cpu", "--size", "48", "--steps", "2"]
    out = ["-o", str(tmp_path / "out.png"), "--force"]
    ended = command("stylize", *images, *out, *cheap, *options)
    return ended.code, ended.err


def test_the_command_takes_an_architecture(tmp_path: Path) -> None:
    assert stylize(tmp_path, "--arch", "squeezenet1_1") == (0, "")
    assert (tmp_path / "out.png").exists()
    code, complaint = stylize(tmp_path, "--arch", "vgg11")
    assert code == 2
    assert "--arch: 'vgg11' is no known architecture; one of vgg19, vgg16, alexnet" in complaint
    code, complaint = stylize(tmp_path, "--arch", "alexnet", "--recipe", "perceptual")
    assert code == 2
    assert "'conv2_2' is no layer of alexnet" in complaint


def test_recipes_are_listed_and_compared_on_an_architecture(tmp_path: Path) -> None:
    assert "not on alexnet" not in command("recipes").out
    listed = command("recipes", "--arch", "alexnet").out
    assert "conv4" in listed
    assert "not on alexnet" in listed
    assert "conv4: 1.0" in command("recipes", "balanced", "--arch", "alexnet").out
    assert command("recipes", "--arch", "vgg11").code == 2
    stylize(tmp_path)
    images = [str(tmp_path / "content.png"), str(tmp_path / "style.png")]
    cheap = ["--weights", "random", "--device", "cpu", "--size", "48", "--steps", "2"]
    sheet = tmp_path / "sheet.png"
    ended = command(
        "recipes", "balanced", "gatys", "--compare", *images, "-o", str(sheet), *cheap,
        "--arch", "alexnet",
    )  # fmt: skip
    assert ended.code == 0
    assert sheet.exists()

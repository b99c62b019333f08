import contextlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.manifests import GOOD, changed, load, write_inputs

from stylebatch.errors import UserError
from stylebatch.manifest import Assign, RunOptions, json_schema, load_manifest, parse_duration
from stylebatch.recipes import Recipe, SecondPass, recipe_fields, recipe_on


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photographs and styles, which is the working directory."""
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_manifest_without_problems_is_resolved(root: Path) -> None:
    manifest = load(GOOD)
    (pair,) = manifest.pairs
    assert (manifest.root, manifest.output, manifest.seed) == (Path(), Path("out"), 0)
    assert (pair.name, pair.content, pair.assign, pair.into) == (
        "paintings",
        "photos",
        Assign("all"),
        "",
    )
    assert (pair.strength, pair.variants, pair.line) == ((1.0, 1.0), 1, 9)
    assert pair.settings.recipe.size_px == 128
    assert manifest.run == RunOptions(executor="inline")


@pytest.mark.usefixtures("root")
def test_scalars_are_read_as_yaml_1_2_reads_them() -> None:
    text = changed("name: paintings", "name: no").replace("size_px: 128", "size_px: 0100")
    (pair,) = load(text.replace("inline", "inline\n  deadline: 1e3")).pairs
    assert pair.name == "no"
    assert pair.settings.recipe.size_px == 100


@pytest.mark.usefixtures("root")
def test_anchors_and_merges_save_repetition() -> None:
    text = changed(
        "run:\n",
        "  - <<: {content: photos, styles: [styles/b.jpg], size_px: 64}\n"
        "    name: second\n    size_px: 96\nrun:\n",
    )
    second = load(text).pairs[1]
    assert [style.key for style in second.styles] == ["styles/b.jpg"]
    assert second.settings.recipe.size_px == 96


@pytest.mark.usefixtures("root")
def test_sections_and_values_that_are_left_empty_count_as_not_written() -> None:
    text = changed("size_px: 128", "size_px:").replace("  executor: inline\n", "")
    manifest = load(text)
    assert manifest.run == RunOptions()
    assert manifest.pairs[0].settings.recipe.size_px == recipe_fields("balanced")["size_px"]


@pytest.mark.usefixtures("root")
def test_recipe_then_defaults_then_pair_then_override_decide() -> None:
    def resolved(defaults: str, pair: str) -> tuple[Any, ...]:
        text = changed("recipe: balanced", defaults).replace("size_px: 128", pair)
        found = load(text).pairs[0]
        recipe = found.settings.recipe
        return recipe.steps, recipe.size_px, found.strength

    own = recipe_fields("balanced")
    unchanged = (own["steps"], own["size_px"], (1.0, 1.0))
    assert resolved("{}", "into: x") == unchanged
    assert resolved("steps: 11", "into: x") == (11, *unchanged[1:])
    assert resolved("steps: 11", "steps: 12") == (12, *unchanged[1:])
    assert resolved("steps: 11", "override: {steps: 13}") == (13, *unchanged[1:])
    both = "steps: 12\n    override: {steps: 13, size_px: 64, strength: 3}"
    assert resolved("steps: 11", both) == (13, 64, (3.0, 3.0))
    assert resolved("override: {steps: 10}", "steps: 12") == (12, *unchanged[1:])
    assert resolved("strength: [1, 2]", "into: x")[2] == (1.0, 2.0)
    assert resolved("strength: [1, 2]", "strength: 5")[2] == (5.0, 5.0)
    assert resolved("strength: 5", "strength: [1, 2]")[2] == (1.0, 2.0)


@pytest.mark.usefixtures("root")
def test_any_field_of_the_recipe_can_be_overridden() -> None:
    recipe = recipe_on("vgg19", recipe_fields("balanced"))
    for name, value in recipe.model_dump(mode="json", exclude={"title", "source", "notes"}).items():
        written = yaml.safe_dump({name: value}, default_flow_style=True).strip()
        assert load(changed("size_px: 128", f"override: {written}")).pairs[0].settings.recipe == (
            recipe
        )


# What an override holds, and what the recipe has then.
OVERRIDES = [
    ("start: {content: 0.3, noise: 0.7}", "start", {"content": 0.3, "noise": 0.7}),
    ("start: style", "start", "style"),
    ("second_pass: {size_px: 700, steps: 9}", "second_pass", SecondPass(size_px=700, steps=9)),
    ("style_powers: [2, 4]", "style_powers", (2, 4)),
    ("aspect: [4, 3]", "aspect", (4, 3)),
    ("style_scales: [0.5, 1]", "style_scales", (0.5, 1.0)),
    ("progress_at: [1, 50]", "progress_at", (1, 50)),
    ("pixel_scale: [4, 4.5, 5]", "pixel_scale", (4.0, 4.5, 5.0)),
    ("pixel_scale: 255", "pixel_scale", 255.0),
    ("clamp: false", "clamp", False),
    ("style_size_px: 96", "style_size_px", 96),
]


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(("override", "name", "value"), OVERRIDES)
def test_values_of_every_kind_can_be_overridden(override: str, name: str, value: Any) -> None:
    (pair,) = load(changed("size_px: 128", f"override: {{{override}}}")).pairs
    assert getattr(pair.settings.recipe, name) == value


@pytest.mark.usefixtures("root")
def test_a_null_in_an_override_is_not_written() -> None:
    override = "override: {fit: null, size_px: null, second_pass: null, style_layers: null}"
    (pair,) = load(changed("size_px: 128", f"size_px: 96\n    {override}")).pairs
    fields = recipe_fields("balanced") | {"size_px": 96}
    assert pair.settings.recipe == recipe_on("vgg19", fields)


@pytest.mark.usefixtures("root")
def test_a_recipe_that_crops_can_be_told_not_to() -> None:
    override = "override: {fit: longest, output_size: content}"
    (pair,) = load(changed("size_px: 128", f"recipe: feili\n    {override}")).pairs
    assert (pair.settings.recipe.fit, pair.settings.recipe.output_size) == ("longest", "content")


@pytest.mark.usefixtures("root")
def test_masks_are_a_folder_of_the_pair_or_of_the_defaults() -> None:
    assert load(GOOD).pairs[0].masks == ""
    assert load(changed("size_px: 128", "masks: ./styles/more/")).pairs[0].masks == "styles/more"
    text = changed("recipe: balanced", "masks: styles")
    assert load(text).pairs[0].masks == "styles"
    assert load(text.replace("size_px: 128", "masks: styles/more")).pairs[0].masks == "styles/more"


@pytest.mark.usefixtures("root")
def test_equal_settings_share_an_id_and_others_do_not() -> None:
    def ids(second: str) -> tuple[str, str]:
        pair = f"  - {{name: b, content: photos, styles: [styles], {second}}}\nrun:\n"
        one, other = load(changed("run:\n", pair)).pairs
        return one.settings.id, other.settings.id

    one, other = ids("override: {size_px: 128}, strength: 3")
    assert one == other
    assert len(one) == 16
    for second in ("size_px: 129", "size_px: 128, override: {tv_weight: 1.0e-6}"):
        one, other = ids(second)
        assert one != other
    as_bfloat16 = load(changed("executor: inline", "precision: bfloat16")).pairs[0].settings
    assert as_bfloat16.id != one
    assert as_bfloat16.precision == "bfloat16"


def keys(text: str) -> list[str]:
    return [style.key for style in load(changed("[styles/a.png]", text)).pairs[0].styles]


def test_styles_are_files_folders_globs_and_each_image_once(root: Path) -> None:
    (root / "styles/.hidden.png").write_bytes(b"")
    assert keys("[styles]") == ["styles/a.png", "styles/b.jpg", "styles/more/c.png"]
    assert keys("['styles/*']") == ["styles/a.png", "styles/b.jpg"]
    assert keys("['styles/**/*.png']") == ["styles/a.png", "styles/more/c.png"]
    assert keys("[styles/b.jpg, ./styles/, styles/../styles/a.png]") == [
        "styles/b.jpg",
        "styles/a.png",
        "styles/more/c.png",
    ]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(root: Path) -> None:
    Image.new("RGB", (4, 4)).save(root / "styles/[a].png")
    assert keys("['styles/[a].png']") == ["styles/[a].png"]


def test_styles_outside_the_folder_have_keys_relative_to_it(root: Path) -> None:
    other = root / "projects/first"
    other.mkdir(parents=True)
    text = changed(
        "[styles/a.png]", f"[../../styles/a.png, {root}/styles/b.jpg, {root}/styles/a.png]"
    )
    path = other / "pipeline.yaml"
    path.write_text(text.replace("content: photos", f"content: {root}/photos"))
    (pair,) = load_manifest(path).pairs
    assert [style.key for style in pair.styles] == ["../../styles/a.png", "../../styles/b.jpg"]
    assert pair.styles[1].images == ((f"{root}/styles/b.jpg", 1.0),)
    assert pair.content == f"{root}/photos"


@pytest.mark.usefixtures("root")
def test_the_weights_of_a_blend_sum_to_one() -> None:
    text = changed("[styles/a.png]", "[{name: dusk, blend: {styles/a.png: 3, ./styles/b.jpg: 1}}]")
    (style,) = load(text).pairs[0].styles
    assert (style.key, style.name) == ("blend:dusk", "dusk")
    assert style.images == (("styles/a.png", 0.75), ("styles/b.jpg", 0.25))


@pytest.mark.usefixtures("root")
def test_assignments_variants_and_places_are_resolved() -> None:
    def pair(line: str) -> Any:
        return load(changed("size_px: 128", line).replace("[styles/a.png]", "[styles]")).pairs[0]

    assert pair("assign: {sample: 2}").assign == Assign("sample", count=2)
    assert pair("assign: {map: ./map.csv}").assign == Assign("map", table="map.csv")
    assert pair("into: a/b/").into == "a/b"
    assert pair("variants: 3\n    strength: [1, 2]").variants == 3
    assert pair("variants: 3\n    override: {start: noise}").variants == 3


@pytest.mark.usefixtures("root")
def test_run_options_are_resolved() -> None:
    text = changed(
        "executor: inline",
        "executor: local\n  devices: [cuda:0, cpu]\n  cpu_workers: 2\n  precision: float32\n"
        "  deadline: 1h30m\n  cache: cache\n  max_deaths: 5",
    )
    assert load(text).run == RunOptions(
        executor="local",
        devices=("cuda:0", "cpu"),
        cpu_workers=2,
        precision="float32",
        deadline_s=5400.0,
        cache=Path("cache"),
        max_deaths=5,
    )
    assert load(changed("executor: inline", "deadline: 90")).run.deadline_s == 90.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("8h", 28800), ("90m", 5400), ("30s", 30), ("1.5h", 5400), ("1d2h", 93600), (0.5, 0.5)],
)
def test_durations_are_read(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "8", "8 h", "h", "-1h", "0s", 0, -3, float("inf"), "1h30"])
def test_what_is_no_duration_is_refused(text: str | float) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


def test_the_design_s_example_is_right(root: Path, shared: Path) -> None:
    example = (shared / "design.md").read_text().split("```yaml\n")[1].split("```")[0]
    for path in ("styles/wave.jpg", "styles/van_gogh/a.jpg", "styles/a.jpg", "styles/b.jpg"):
        (root / path).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(root / path)
    manifest = load(example)
    (pair,) = manifest.pairs
    assert [style.name for style in pair.styles] == ["wave", "a", "dusk"]
    assert manifest.run == replace(RunOptions(), deadline_s=28800.0)
    assert_fits(yaml.safe_load(example), json_schema(), json_schema())


def assert_fits(value: Any, schema: dict[str, Any], whole: dict[str, Any]) -> None:
    """Check what a JSON Schema says of keys: the part of it that an editor completes."""
    if "$ref" in schema:
        schema = whole["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    options = [whole["$defs"][s["$ref"].rsplit("/", 1)[-1]] if "$ref" in s else s
               for s in schema.get("anyOf", [schema])]  # fmt: skip
    if isinstance(value, dict):
        (mapping,) = [option for option in options if option.get("type") == "object"]
        assert set(mapping.get("required", [])) <= set(value)
        for key, inner in value.items():
            values = mapping.get("additionalProperties")
            assert_fits(inner, values if values else mapping["properties"][key], whole)
    elif isinstance(value, list):
        (items,) = [option["items"] for option in options if option.get("type") == "array"]
        for inner in value:
            assert_fits(inner, items, whole)


def test_the_json_schema_describes_every_key() -> None:
    schema = json_schema()
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert schema["required"] == ["version", "output", "pairs"]
    sections = [schema, *schema["$defs"].values()]
    for section in sections:
        assert section["description"]
        for name, field in section["properties"].items():
            assert field.get("description"), f"{section['title']}.{name} has no description"
    override = schema["$defs"]["Override"]["properties"]
    assert set(override) == set(Recipe.model_fields) - {"title", "source", "notes"}
    json.dumps(schema)


def test_reading_a_manifest_does_not_import_torch(root: Path) -> None:
    Path("pipeline.yaml").write_text(GOOD)
    program = (
        "import sys; from pathlib import Path; from stylebatch.manifest import load_manifest\n"
        "load_manifest(Path('pipeline.yaml')); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_a_damaged_manifest_is_a_manifest_or_a_user_error(root: Path, data: st.DataObject) -> None:
    lines = GOOD.splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        number = data.draw(st.integers(0, len(lines) - 1))
        key = lines[number].split(":")[0]
        value = data.draw(
            st.sampled_from(["", "[]", "{}", "-1", "x", "[[x]]", "{a: 1}", "true", "'", ".nan"])
        )
        lines[number] = f"{key}: {value}"
    with contextlib.suppress(UserError):
        assert load("\n".join(lines)).pairs

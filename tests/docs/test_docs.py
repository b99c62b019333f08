"""What the documents say holds: links, commands, manifests, and the tables of what there is."""

import posixpath
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from PIL import Image
from support.documents import PAGES, anchors, blocks, code, prose, table
from support.libraries import named_style
from support.paths import ROOT
from typer.main import get_command

from stylebatch.cli.main import COMMANDS, app, load_command
from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.extractors.weights import NAMED_WEIGHTS, NORMALISATIONS, SHIPPED_WEIGHTS
from stylebatch.library.shelf import Library
from stylebatch.manifest import Manifest, load_manifest
from stylebatch.manifest.run_fields import Run
from stylebatch.manifest.schema import ManifestFields
from stylebatch.recipes import recipe_fields, recipe_names, recipe_on
from stylebatch.system.files import default_cache_folder, write_synced

# Written in a pair, not in a recipe.
OF_A_PAIR = {"masks", "name", "recipe"}
RECIPES, WEIGHTS = "docs/recipes.md", "docs/weights.md"
COMMAND = re.compile(r"(?:^|/|exec |&& )stylebatch ((?:weights |export |styles )?[a-z]+)\b(.*)")
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
FOLDERS = "stylebatch|tests|benchmarks|examples|training|docs"

every_page = pytest.mark.parametrize("page", PAGES)


def test_sizes_of_weights_are_those_of_their_files() -> None:
    text = prose(WEIGHTS)
    told = re.findall(r"(?m)^\| `(\w[\w-]*)`.*?(\d[\d.]*) MiB", text)
    sizes = {arch: named.size_mib for (arch, _), named in NAMED_WEIGHTS.items()}
    folder = ROOT / "stylebatch/extractors/weights"
    for (arch, _), name in SHIPPED_WEIGHTS.items():
        sizes[arch] = (folder / name).stat().st_size / 2**20
    assert {arch for arch, _ in told} == sizes.keys()
    for arch, size in told:
        assert float(size) == pytest.approx(sizes[arch], abs=0.5 if "." not in size else 0.05)
    slim = f"{sizes['slim']:.1f} MiB"
    assert f"its weights ({slim}) come with the package" in text
    assert f"The file ({slim})" in prose("docs/slim.md")
    assert not re.search(r"\d MB\b", text)


# --- links and files -------------------------------------------------------------------------


@every_page
def test_every_link_leads_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", prose(page)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
        assert (ROOT / target).exists(), link
        assert not anchor or anchor in anchors(target), link


@every_page
def test_every_file_that_is_named_exists(page: str) -> None:
    named = re.findall(rf"(?<![\w./-])(?:{FOLDERS})/[\w./-]*", "\n".join(code(page)))
    assert [name for name in named if not (ROOT / name).exists() and "NAME" not in name] == []


def test_what_contributing_says_stands_where_it_says() -> None:
    told = re.findall(r"`(\w+)` (?:protocol )?\(`([\w/.-]+\.py)`\)", PAGES["CONTRIBUTING.md"])
    assert len(told) > 15
    missing = [
        (name, path)
        for name, path in told
        if not re.search(rf"^(?:class |def |){name}\b", (ROOT / path).read_text(), re.MULTILINE)
    ]
    assert missing == []


def test_the_tests_that_contributing_runs_are_there() -> None:
    (named,) = re.findall(r"pytest (tests/[\w/.]+)::(test_\w+)", PAGES["CONTRIBUTING.md"])
    assert f"def {named[1]}(" in (ROOT / named[0]).read_text(encoding="utf-8")


def test_the_index_has_every_page_once() -> None:
    listed = re.findall(r"^- \[.*?\]\((.*?)\): ", PAGES["docs/README.md"], re.MULTILINE)
    docs = ROOT / "docs"
    there = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")} - {"README.md"}
    assert sorted(listed) == sorted(there)


# --- commands --------------------------------------------------------------------------------


def options_by_command() -> dict[str, set[str]]:
    """Return the options of every command, `weights list` and the like included."""
    found = {}
    for name in COMMANDS:
        command = load_command(name)
        inner = getattr(command, "commands", {})
        params = command.params
        found[name] = {one for each in params for one in (*each.opts, *each.secondary_opts)}
        found[name].add("--help")
        for sub, each in inner.items():
            found[f"{name} {sub}"] = {option for part in each.params for option in part.opts}
    return found


def commands(page: str) -> list[tuple[str, list[str]]]:
    found = [match for line in code(page) for match in COMMAND.findall(line)]
    return [(name, OPTION.findall(rest)) for name, rest in found]


@every_page
def test_every_command_and_option_exists(page: str) -> None:
    known = options_by_command()
    for name, options in commands(page):
        assert name in known, name
        assert set(options) <= known[name], (name, options)


@pytest.mark.parametrize(
    "page",
    ["README.md", *(f"docs/{name}.md" for name in ("manifest", "running", "output", "export"))],
)
def test_an_option_on_its_own_is_one_of_some_command(page: str) -> None:
    of_all = [option for each in get_command(app).params for option in each.opts]
    known = set(of_all).union(*options_by_command().values())
    alone = [OPTION.findall(span) for span in code(page) if span.startswith("-")]
    assert {option for options in alone for option in options} <= known


def test_commands_are_found() -> None:
    assert {name for name, _ in commands("README.md")} == {
        *("init", "run", "plan", "status", "merge", "stylize", "recipes", "clean", "export"),
        *("judge", "report", "styles", "verify"),
    }
    weights = {name for name, _ in commands("docs/weights.md")}
    assert weights == {"weights list", "weights fetch", "weights convert", "doctor"}
    assert ("run", ["--quiet", "--deadline"]) in commands("docs/cron.md")
    assert ("run", ["--shard"]) in commands("docs/cluster.md")


def test_the_table_of_commands_has_all() -> None:
    told = [row[0].strip("`") for row in table("docs/running.md", "| command |")]
    assert sorted(told) == sorted(name for name in options_by_command() if " " not in name)


@every_page
def test_the_make_targets_exist(page: str) -> None:
    targets = re.findall(r"^make (?:[A-Z_]+=\S+ )?([a-z-]+)", "\n".join(code(page)), re.MULTILINE)
    for target in set(targets):
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


# --- manifests -------------------------------------------------------------------------------

PAIR = {"name": "one", "content": "photos", "styles": ["styles"]}
WHOLE = {"version": 1, "output": "out", "pairs": [PAIR]}
INPUTS = (
    *("demo/photos/animals/chelsea.png", "photos/cats/a.jpg", "photos/dogs/b.jpg"),
    *("masks/cats/a.png", "masks/dogs/b.png", "demo/styles/brush_strokes.png"),
    *("styles/wave.jpg", "styles/van_gogh/c.jpg", "styles/a.jpg", "styles/b.jpg"),
)
MANIFESTS = [
    pytest.param(text, id=f"{page}-{number}")
    for page in PAGES
    for number, text in enumerate(blocks(page, "yaml"))
    # Of other programs: `test_cluster.py` reads those.
    if not re.match(r"(apiVersion|cluster_name):", text)
]


def load(text: str, folder: Path) -> Manifest:
    """Load a manifest, or a part of one, among all files that the documents' examples name."""
    for path in INPUTS:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32)).save(folder / path)
    (folder / "vgg19.pth").write_bytes(b"stands for weights")
    library = Library(default_cache_folder())
    for place in (library.place("wave"), folder / "shared/dusk.safetensors"):
        write_synced(place, named_style(place.stem))
    for path in ("labels", "Annotations", "seg"):
        (folder / path).mkdir(exist_ok=True)
    for path in ("instances.json", "boxes.csv"):
        (folder / path).write_text("")
    written = yaml.safe_load(text)
    if not written.keys() & ManifestFields.model_fields.keys():  # a part of a pair
        written = {"pairs": [PAIR | written]}
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(WHOLE | written))
    return load_manifest(folder / "pipeline.yaml")


@pytest.mark.parametrize("text", MANIFESTS)
def test_every_manifest_loads(text: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if "s3://my-bucket" in text:
        client = request.getfixturevalue("store").client
        client.create_bucket(Bucket="my-bucket")
        for key in ("photos/a.png", "masks/a.png", "paintings/b.png", "sketches/c.jpg"):
            client.put_object(Bucket="my-bucket", Key=key, Body=b"")
    assert load(text, tmp_path).pairs


def test_the_table_of_run_options_tells_their_defaults() -> None:
    rows = table("docs/running.md", "| under `run:` |")
    assert len(rows) >= 4
    for name, default, _ in rows:
        known = Run.model_fields[name.strip("`")].default
        assert default == ("none" if known is None else str(known)), name


# --- tables of what there is -----------------------------------------------------------------


def test_the_table_of_architectures_is_theirs() -> None:
    told = {row[0].partition("`,")[0].strip("`"): row[1:] for row in table(WEIGHTS, "| `arch` |")}
    assert list(told) == list(ARCHITECTURES)
    for arch, (weights, layers) in told.items():
        style, _, content = layers.partition("; ")
        assert tuple(style.split(", ")) == ARCHITECTURES[arch].style_layers
        assert tuple(content.split(", ")) == ARCHITECTURES[arch].content_layers
        sets = (*NAMED_WEIGHTS, *SHIPPED_WEIGHTS)
        named = [name for known, name in sets if known == arch]
        assert re.findall(r"`(\w+)`", weights) == named


def test_the_names_of_normalisations_are_theirs() -> None:
    told = [row[0].strip("`") for row in table(WEIGHTS, "| `normalisation` |")]
    assert told == list(NORMALISATIONS)


def test_the_table_of_recipes_is_theirs() -> None:
    told = {
        name.strip("`"): (layer, re.sub(r", [a-z].*|,", "", steps))
        for name, _, layer, steps in table(RECIPES, "| recipe |")
    }
    vgg = ARCHITECTURES["vgg19"]
    for name in recipe_names():
        recipe = recipe_on("vgg19", recipe_fields(name))
        wanted = ("none", "none")
        if recipe.needs_network:
            deepest = vgg.convolutions(recipe.layers)[-1].name
            wanted = (deepest, str(recipe.max_evaluations))
        assert told.pop(name) == wanted
    assert told == {}


def test_every_field_it_names_is_one_and_takes_the_value() -> None:
    cells = "\n".join(cell for row in table(RECIPES, "| to | set |") for cell in row)
    written = [yaml.safe_load(text) for text in re.findall(r"`(\w+: [^`]+)`", cells)]
    overrides = [each for each in written if not OF_A_PAIR & each.keys()]
    assert len(overrides) >= 12
    for override in overrides:
        together = {"output_size": "work", "levels": 1} | override
        recipe_on("vgg19", recipe_fields("balanced") | together)

"""What the README shows does what it says."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stylebatch.demo import write_demo
from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.extractors.weights import NAMED_WEIGHTS, SHIPPED_WEIGHTS
from stylebatch.manifest import load_manifest
from stylebatch.manifest.schema import Run

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMAND = re.compile(
    r"^(?:.*\.venv/bin/)?stylebatch (weights \w+|\w+)(.*?)(?:\s+#.*)?$", re.MULTILINE
)


def blocks(language: str) -> list[str]:
    every = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [text for name, text in every if name == language]


def run_cli(*arguments: str) -> str:
    command = [sys.executable, "-c", "from stylebatch.cli import main; main()", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout


def test_the_library_example_runs(tmp_path, monkeypatch) -> None:
    (example,) = blocks("python")
    write_demo(tmp_path / "demo")
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    assert (tmp_path / "chelsea.png").stat().st_size > 10_000


def test_the_manifest_is_one(tmp_path) -> None:
    text, _ = blocks("yaml")
    write_demo(tmp_path / "demo")
    (tmp_path / "demo/pipeline.yaml").write_text(text, encoding="utf-8")
    manifest = load_manifest(tmp_path / "demo/pipeline.yaml")
    assert [pair.name for pair in manifest.pairs] == ["paintings"]
    assert manifest.pairs[0].assign.count == 2


def test_masks_sweep_and_override_are_as_shown(tmp_path) -> None:
    whole, pairs = blocks("yaml")
    write_demo(tmp_path / "demo")
    shutil.copytree(tmp_path / "demo/photos", tmp_path / "demo/masks")
    text = whole[: whole.index("pairs:")] + pairs
    (tmp_path / "demo/pipeline.yaml").write_text(text, encoding="utf-8")
    points = load_manifest(tmp_path / "demo/pipeline.yaml").pairs
    assert [pair.name for pair in points] == [
        f"paintings:style_weight={weight}" for weight in (5, 10, 20)
    ]
    assert {pair.masks for pair in points} == {"masks"}
    assert {pair.strength for pair in points} == {(0.5, 2)}
    assert {pair.settings.recipe.color for pair in points} == {"content"}


def commands() -> list[tuple[str, list[str]]]:
    found = [match for block in blocks("") for match in COMMAND.findall(block)]
    return [(name, re.findall(r"--[a-z-]+", rest)) for name, rest in found]


def test_commands_are_found() -> None:
    assert {name for name, _ in commands()} == {
        "run",
        "plan",
        "status",
        "merge",
        "recipes",
        "weights list",
        "weights fetch",
        "weights convert",
    }


@pytest.mark.parametrize("name", sorted({name for name, _ in commands()}))
def test_every_command_and_option_exists(name) -> None:
    text = run_cli(*name.split(), "--help")
    for options in (options for each, options in commands() if each == name):
        assert [option for option in options if option not in text] == []


def test_the_table_of_architectures_is_theirs() -> None:
    table = README[README.index("| `arch` |") :]
    rows = re.findall(r"^\| `(\w+)`[^|]*\| ([^|]*) \| ([^|;]*); ([^|]*) \|$", table, re.MULTILINE)
    assert {arch for arch, *_ in rows[1:]} == ARCHITECTURES.keys()
    for arch, weights, style, content in rows[1:]:
        assert tuple(style.split(", ")) == ARCHITECTURES[arch].style_layers
        assert tuple(content.split(", ")) == ARCHITECTURES[arch].content_layers
        sets = (*NAMED_WEIGHTS, *SHIPPED_WEIGHTS)
        named = [name for known, name in sets if known == arch]
        assert re.findall(r"`(\w+)`", weights) == named


def test_the_table_of_run_options_tells_their_defaults() -> None:
    table = README[README.index("| under `run:` |") : README.index("Too little memory halves")]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \|", table, re.MULTILINE)
    assert len(rows) == table.strip().count("\n") - 1
    for name, default in rows:
        known = Run.model_fields[name].default
        assert default == ("none" if known is None else str(known)), name


def test_the_make_targets_exist() -> None:
    targets = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))
    assert {"run", "test"} <= targets
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def test_the_files_it_links_to_exist() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []
    named = re.findall(r"`(stylebatch/[\w./]+\.py)`", README)
    assert [path for path in named if not (ROOT / path).exists()] == []

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.numpy import save_file
from support.manifests import GOOD, changed, load, messages, write_inputs

from stylebatch.manifest import ManifestError, load_manifest
from stylebatch.pictures.images import IMAGE_SUFFIXES
from stylebatch.recipes import recipe_names

SUFFIXES = ", ".join(sorted(IMAGE_SUFFIXES))
CORRECT = "correct the path (relative to the manifest)"
STYLES_ALLOWED = f"allowed are image files ({SUFFIXES}), folders, globs and library:NAME; {CORRECT}"
NAME_ALLOWED = "allowed is a name without /, with no leading dot, up to 80 bytes; rename it"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photographs and styles, which is the working directory."""
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# What is changed in the good manifest, by what, and the whole message.
SHAPE_ERRORS = [
    ("version: 1", "version: 2", "1: version: found 2; allowed is 1; change it"),
    ("version: 1", "version: '1'", "1: version: found '1'; allowed is 1; change it"),
    (
        "output: out",
        "otput: out\noutput: out",
        "2: otput: unknown key 'otput' (did you mean 'output'?); correct it",
    ),
    ("output: out", "output: [out]", "2: output: found a list of 1; allowed is text; change it"),
    ("output: out", "output: ''", "2: output: found ''; allowed is text; change it"),
    (
        "seed: 0",
        "seed: -1",
        f"3: seed: found -1; allowed is a whole number from 0 to {2**63 - 1}; change it",
    ),
    (
        "seed: 0",
        "seed: true",
        f"3: seed: found true; allowed is a whole number from 0 to {2**63 - 1}; change it",
    ),
    (
        "weights: random",
        "arch: vgg199",
        "5: extractor.arch: found 'vgg199'; allowed is one of vgg19, vgg16, alexnet, "
        "squeezenet1_1, slim, slim-2026-11; did you mean 'vgg19'?",
    ),
    (
        "weights: random",
        "weights: random\n  normalisation: imagnet",
        "6: extractor.normalisation: found 'imagnet'; allowed is one of imagenet, caffe, caffe_rgb "
        "or a mapping with mean, std, channels; did you mean 'imagenet'?",
    ),
    (
        "weights: random",
        "weights: random\n  normalisation: {mean: [0, 0, 0], std: [1, 0, 1]}",
        "6: extractor.normalisation.std[1]: found 0; allowed is a number above 0; change it",
    ),
    (
        "recipe: balanced",
        "recipe: blanced",
        f"7: defaults.recipe: found 'blanced'; allowed is one of {', '.join(recipe_names())}; "
        "did you mean 'balanced'?",
    ),
    (
        "recipe: balanced",
        "name: all",
        "7: defaults.name: unknown key 'name'; known are accept, annotations, assign, classes, "
        "content, copies, exclude, format, include, into, levels, masks, max_images, originals, "
        "output_size, override, provenance, recipe, size_px, split, steps, strength, styles, "
        "stylise, sweep, variants; "
        "remove it",
    ),
    (
        "    size_px: 128",
        "    size_pix: 128",
        "12: pairs[0].size_pix: unknown key 'size_pix' (did you mean 'size_px'?); correct it",
    ),
    (
        "size_px: 128",
        "size_px: -5",
        "12: pairs[0].size_px: found -5; allowed is a whole number from 16 to 16384; change it",
    ),
    (
        "size_px: 128",
        "size_px: 1e3",
        "12: pairs[0].size_px: found 1000.0; allowed is a whole number from 16 to 16384; change it",
    ),
    (
        "size_px: 128",
        "steps: 0",
        "12: pairs[0].steps: found 0; allowed is a whole number from 1 to 100000; change it",
    ),
    (
        "size_px: 128",
        "strength: -0.5",
        "12: pairs[0].strength: found -0.5; allowed is a number from 0 to 1000000 or a list "
        "[a number from 0 to 1000000, a number from 0 to 1000000]; change it",
    ),
    (
        "size_px: 128",
        "strength: [1, .inf]",
        "12: pairs[0].strength[1]: found Infinity; allowed is a number from 0 to 1000000; "
        "change it",
    ),
    (
        "size_px: 128",
        "assign: {sampel: 2}",
        "12: pairs[0].assign.sampel: unknown key 'sampel' (did you mean 'sample'?); correct it",
    ),
    (
        "size_px: 128",
        "assign: some",
        "12: pairs[0].assign: found 'some'; allowed is all or a mapping with sample, map, draw; "
        "change it",
    ),
    (
        "size_px: 128",
        "variants: 0",
        "12: pairs[0].variants: found 0; allowed is a whole number from 1 to 10000; change it",
    ),
    (
        "size_px: 128",
        "override: {pooling: median}",
        "12: pairs[0].override.pooling: found 'median'; allowed is one of max, average, "
        "average_scaled; change it",
    ),
    (
        "size_px: 128",
        "override: {style_powers: [2, 3]}",
        "12: pairs[0].override.style_powers[1]: found 3; allowed is one of 2, 4; change it",
    ),
    (
        "size_px: 128",
        "override: {style_powers: [2, 4, 2]}",
        "12: pairs[0].override.style_powers: found a list of 3; allowed is a list of 1 to 2 of: "
        "one of 2, 4; change it",
    ),
    (
        "size_px: 128",
        "override: {aspect: [4]}",
        "12: pairs[0].override.aspect: found a list of 1; allowed is a list [a whole number from "
        "1 to 100, a whole number from 1 to 100]; change it",
    ),
    (
        "size_px: 128",
        "override: {clamp: 1}",
        "12: pairs[0].override.clamp: found 1; allowed is true or false; change it",
    ),
    (
        "size_px: 128",
        "override: {style_size_px: macth}",
        "12: pairs[0].override.style_size_px: found 'macth'; allowed is one of match, same or a "
        "whole number from 16 to 16384; did you mean 'match'?",
    ),
    (
        "size_px: 128",
        "override: {style_size_px: 5}",
        "12: pairs[0].override.style_size_px: found 5; allowed is one of match, same or a whole "
        "number from 16 to 16384; change it",
    ),
    (
        "size_px: 128",
        "override:\n      second_pass:\n        sizes: 200\n        size_px: 200\n        steps: 5",
        "14: pairs[0].override.second_pass.sizes: unknown key 'sizes' "
        "(did you mean 'size_px' or 'steps'?); correct it",
    ),
    (
        "size_px: 128",
        "override:\n      second_pass:\n        size_px: 200\n        steps: 0.5",
        "15: pairs[0].override.second_pass.steps: found 0.5; allowed is a whole number from 1 to "
        "100000; change it",
    ),
    (
        "size_px: 128",
        "override: {second_pass: {size_px: 200}}",
        "12: pairs[0].override.second_pass.steps: no 'steps'; allowed is a whole number from 1 to "
        "100000; add it",
    ),
    (
        "size_px: 128",
        "override: {second_pass: large}",
        "12: pairs[0].override.second_pass: found 'large'; allowed is a mapping with size_px, "
        "steps; change it",
    ),
    (
        "size_px: 128",
        "override: {start: nois}",
        "12: pairs[0].override.start: found 'nois'; allowed is one of content, style, noise or a "
        "mapping of content, style, noise to a number above 0 to 1; did you mean 'noise'?",
    ),
    (
        "size_px: 128",
        "override: {start: {nois: 0.5}}",
        "12: pairs[0].override.start.nois: unknown key 'nois' (did you mean 'noise'?); correct it",
    ),
    (
        "size_px: 128",
        "override: {start: {noise: 2}}",
        "12: pairs[0].override.start.noise: found 2; allowed is a number above 0 to 1; change it",
    ),
    (
        "size_px: 128",
        "override:\n      betas: [0.9, 1.5]",
        "13: pairs[0].override.betas[1]: found 1.5; allowed is a number from 0 below 1; change it",
    ),
    (
        "size_px: 128",
        "override: {levels: many}",
        "12: pairs[0].override.levels: found 'many'; allowed is one of auto, quarters or a whole "
        "number from 1 to 8; change it",
    ),
    (
        "[styles/a.png]",
        "styles/a.png",
        "11: pairs[0].styles: found 'styles/a.png'; allowed is a list of: text like "
        "styles/wave.jpg, styles, styles/*.jpg, library:wave or a mapping with path, name, blend, "
        "weight; change it",
    ),
    (
        "[styles/a.png]",
        "[{name: dusk, blnd: {styles/a.png: 1}, blend: {styles/a.png: 1}}]",
        "11: pairs[0].styles[0].blnd: unknown key 'blnd' (did you mean 'blend'?); correct it",
    ),
    (
        "[styles/a.png]",
        "[{name: dusk}]",
        "11: pairs[0].styles[0].blend: no 'blend'; allowed is a mapping of names to a number "
        "above 0; add it",
    ),
    (
        "[styles/a.png]",
        "[{name: dusk, blend: {styles/a.png: -1}}]",
        "11: pairs[0].styles[0].blend.styles/a.png: found -1; allowed is a number above 0; "
        "change it",
    ),
    (
        "executor: inline",
        "executor: cluster",
        "14: run.executor: found 'cluster'; allowed is one of inline, local, ray; change it",
    ),
    (
        "executor: inline",
        "devices: [gpu]",
        "14: run.devices[0]: found 'gpu'; allowed is text like cuda:0, mps, cpu; change it",
    ),
    (
        "executor: inline",
        "devices: cpu",
        "14: run.devices: found 'cpu'; allowed is auto or a list of: text like cuda:0, mps, cpu; "
        "change it",
    ),
    (
        "executor: inline",
        "cpu_workers: 0",
        "14: run.cpu_workers: found 0; allowed is auto or a whole number from 1 to 1024; change it",
    ),
    (
        "executor: inline",
        "precision: float16",
        "14: run.precision: found 'float16'; allowed is one of auto, float32, bfloat16; "
        "did you mean 'bfloat16'?",
    ),
    (
        "executor: inline",
        "deadline: soon",
        "14: run.deadline: found 'soon'; allowed is a number above 0 or text like 8h, 90m, 1h30m; "
        "change it",
    ),
    (
        "executor: inline",
        "max_deaths: none",
        "14: run.max_deaths: found 'none'; allowed is a whole number from 1 to 100; change it",
    ),
]


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(("old", "new", "message"), SHAPE_ERRORS)
def test_each_wrong_shape_gives_one_message_with_its_line(old: str, new: str, message: str) -> None:
    assert messages(changed(old, new)) == [f"pipeline.yaml:{message}"]


MEANING_ERRORS = [
    ("version: 1\n", "", "1: no 'version'; allowed is 1; add `version: …`"),
    (
        "output: out\n",
        "",
        "1: no 'output'; allowed is a folder or an s3:// URL; add `output: …`",
    ),
    (
        "    content: photos\n",
        "",
        "9: pairs[0].content: no 'content'; allowed is a folder of images; add `content: …`",
    ),
    (
        "    styles: [styles/a.png]\n",
        "",
        "9: pairs[0].styles: no 'styles'; allowed is a list of files, folders, globs or blends; "
        "add `styles: …`",
    ),
    (
        "- name: paintings\n    content",
        "- content",
        "9: pairs[0].name: no 'name'; allowed is a name without /, with no leading dot, up to 80 "
        "bytes; add `name: …`",
    ),
    ("name: paintings", "name: a/b", rf"9: pairs[0].name: 'a/b' holds a / or \; {NAME_ALLOWED}"),
    ("name: paintings", "name: ..", f"9: pairs[0].name: '..' starts with a dot; {NAME_ALLOWED}"),
    (
        "name: paintings",
        f"name: {'é' * 41}",
        f"9: pairs[0].name: '{'é' * 41}' is longer than 80 bytes; {NAME_ALLOWED}",
    ),
    (
        "name: paintings",
        'name: "a\\tb"',
        f"9: pairs[0].name: 'a\tb' holds a control character; {NAME_ALLOWED}",
    ),
    (
        "content: photos",
        "content: photo",
        "10: pairs[0].content: 'photo' is no folder that exists; allowed is a folder of images "
        f"(searched recursively); {CORRECT}",
    ),
    (
        "content: photos",
        "content: empty",
        f"10: pairs[0].content: 'empty' is empty (is a disk missing?); allowed is a folder of "
        f"images (searched recursively); {CORRECT}",
    ),
    (
        "content: photos",
        "content: styles/a.png",
        "10: pairs[0].content: 'styles/a.png' is a file; allowed is a folder of images "
        f"(searched recursively); {CORRECT}",
    ),
    (
        "[styles/a.png]",
        "[styles/a.png, styles/z.png]",
        "11: pairs[0].styles[1]: 'styles/z.png' is no file or folder that exists; "
        + STYLES_ALLOWED,
    ),
    (
        "[styles/a.png]",
        "[empty]",
        f"11: pairs[0].styles[0]: 'empty' holds no image; {STYLES_ALLOWED}",
    ),
    (
        "[styles/a.png]",
        "['styles/*.webp']",
        f"11: pairs[0].styles[0]: 'styles/*.webp' matches no image; {STYLES_ALLOWED}",
    ),
    (
        "[styles/a.png]",
        "[styles/notes.txt]",
        "11: pairs[0].styles[0]: 'styles/notes.txt' is no image by its suffix; " + STYLES_ALLOWED,
    ),
    (
        "[styles/a.png]",
        "[{name: dusk, blend: {styles/a.png: 1, styles/z.png: 1}}]",
        "11: pairs[0].styles[0].blend.styles/z.png: 'styles/z.png' is no file or folder that "
        f"exists; allowed are image files ({SUFFIXES}); {CORRECT}",
    ),
    (
        "[styles/a.png]",
        "[{name: dusk, blend: {styles: 1}}]",
        "11: pairs[0].styles[0].blend.styles: 'styles' is no file that exists; allowed are image "
        f"files ({SUFFIXES}); {CORRECT}",
    ),
    (
        "[styles/a.png]",
        "[{name: a/b, blend: {styles/a.png: 1}}]",
        rf"11: pairs[0].styles[0].name: 'a/b' holds a / or \; {NAME_ALLOWED}",
    ),
    (
        "[styles/a.png]",
        "[{name: q, blend: {styles/a.png: 1}}, {name: q, blend: {styles/b.jpg: 1}}]",
        "11: pairs[0].styles[1].name: 'q' is another blend elsewhere; allowed is one blend per "
        "name; give one of them another name",
    ),
    (
        "size_px: 128",
        "assign: {sample: 2}",
        "12: pairs[0].assign.sample: found 2, but the pair has 1 different styles; allowed is 1 "
        "to 1; lower it, or add styles",
    ),
    (
        "size_px: 128",
        "assign: {map: none.csv}",
        f"12: pairs[0].assign.map: 'none.csv' is no file that exists; allowed is a CSV file; "
        f"{CORRECT}",
    ),
    (
        "size_px: 128",
        "assign: {}",
        "12: pairs[0].assign: found neither sample nor map; allowed is all, {sample: K} or "
        "{map: FILE.csv}; write one of them",
    ),
    (
        "size_px: 128",
        "assign: {sample: 1, map: map.csv}",
        "12: pairs[0].assign: found both; allowed is all, {sample: K} or {map: FILE.csv}; "
        "write one of them",
    ),
    (
        "size_px: 128",
        "strength: [2, 1]",
        "12: pairs[0].strength: found LOW 2 above HIGH 1; allowed is [LOW, HIGH]; swap them",
    ),
    (
        "size_px: 128",
        "variants: 3",
        "12: pairs[0].variants: found 3, but they would all be the same: nothing is drawn at "
        "random; allowed is 1, unless strength is [LOW, HIGH] or the recipe starts from noise; "
        "write `strength: [LOW, HIGH]`, or remove it",
    ),
    (
        "size_px: 128",
        "override:\n      fit: crop",
        "13: pairs[0].override.fit: fit: crop cuts edges off: it needs output_size: work; "
        "change one of them",
    ),
    (
        "size_px: 128",
        "recipe: feili\n    override:\n      output_size: content",
        "14: pairs[0].override.output_size: fit: crop cuts edges off: it needs output_size: work; "
        "change one of them",
    ),
    (
        "size_px: 128",
        "override:\n      scales: [0, 0.0]",
        "13: pairs[0].override.scales: scales: at least one weight above 0; change one of them",
    ),
    (
        "size_px: 128",
        "override:\n      scales: [0, 1]\n      content_scales: [0]",
        "14: pairs[0].override.content_scales: content_scales: at least one weight above 0; "
        "change one of them",
    ),
    (
        "size_px: 128",
        "size_px: 128\n    override:\n      second_pass: {size_px: 64, steps: 5}",
        "14: pairs[0].override.second_pass: second_pass: its size_px has to be size_px or above; "
        "change one of them",
    ),
    (
        "name: paintings",
        "name: paintings:1",
        "9: pairs[0].name: 'paintings:1' holds a :, after which the points of a sweep are named; "
        "allowed is a name without it; rename it",
    ),
    (
        "size_px: 128",
        "masks: mask",
        "12: pairs[0].masks: 'mask' is no folder that exists; allowed is a folder of images, each "
        f"at the path of its content image; {CORRECT}",
    ),
    (
        "size_px: 128",
        "masks: empty",
        "12: pairs[0].masks: 'empty' is empty (is a disk missing?); allowed is a folder of "
        f"images, each at the path of its content image; {CORRECT}",
    ),
    (
        "recipe: balanced",
        "masks: photos/ducks",
        "7: defaults.masks: 'photos/ducks' is inside the content folder 'photos': masks would be "
        "stylised; allowed is a folder outside of it; move one of them",
    ),
    (
        "size_px: 128",
        "into: ../elsewhere",
        "12: pairs[0].into: '../elsewhere' starts with a dot; allowed is a folder below images/: "
        "names without a leading dot, split by /; rename it",
    ),
    (
        "size_px: 128",
        "into: /tmp",
        "12: pairs[0].into: '/tmp' is absolute; allowed is a folder below images/: names without "
        "a leading dot, split by /; rename it",
    ),
    (
        "output: out",
        "output: photos/out",
        "2: output: 'photos/out' is inside the content folder 'photos': results would be read; "
        "allowed is a folder outside of it; choose another output",
    ),
    (
        "output: out",
        "output: map.csv",
        "2: output: 'map.csv' is a file; allowed is a folder; choose another path",
    ),
    (
        "weights: random",
        "weights: none.safetensors",
        "5: extractor.weights: 'none.safetensors' no such weights for vgg19 (No such file or "
        "directory); a name (imagenet, "
        f"random) or a .safetensors, .pth or .pt file; {CORRECT}",
    ),
    (
        "executor: inline",
        "reports: true",
        "14: run.reports: unknown key 'reports' (did you mean 'report'?); correct it",
    ),
    (
        "executor: inline",
        "devices: [cpu, cpu]",
        "14: run.devices: found cpu, cpu; allowed is each device once; remove the repeated ones",
    ),
    (
        "executor: inline",
        "deadline: 0h",
        "14: run.deadline: a duration has to be above 0, not 0h; allowed is any above 0; change it",
    ),
]


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(("old", "new", "message"), MEANING_ERRORS)
def test_each_wrong_meaning_gives_one_message_with_its_line(
    old: str, new: str, message: str
) -> None:
    assert messages(changed(old, new)) == [f"pipeline.yaml:{message}"]


OTHER_FILES = [
    ("", "1: found an empty file; allowed is a mapping (key: value); "),
    ("# nothing\n", "1: found an empty file; allowed is a mapping (key: value); "),
    ("\n- a\n- b\n", "2: found a list; allowed is a mapping (key: value); "),
    ("hello", "1: found 'hello'; allowed is a mapping (key: value); "),
    ("a: 1\nb: [1, 2\nc: 3", "3: not YAML: while parsing a flow sequence, expected ',' or ']'"),
    ("a: 1\n\tb: 2", "2: not YAML: a tab in the indentation; use spaces, not tabs"),
    ("a:\n  - b\n\t- c\n", "3: not YAML: a tab in the indentation; use spaces, not tabs"),
    ("a:\n  b: 1\n \tc: 2\nd: 3", "3: not YAML: a tab in the indentation; use spaces, not tabs"),
    ("a: b: c", "1: not YAML: mapping values are not allowed here; look at the indentation"),
    ("a: 1\n---\nb: 2\n", "2: not YAML: expected a single document in the stream, but found"),
    ("a: 1\nb: \x07", "2: not YAML: a control character; look at the indentation, colons and"),
    ("a: *unknown", "1: not YAML: found undefined alias 'unknown'; look at the indentation"),
    ("a: &a [*a]", " found aliases that multiply or hold themselves; allowed are 200,000 parts"),
    ("a: " + "[" * 3000, " found parts nested too deeply; allowed are 200,000 parts"),
    (
        "\n".join(
            f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9 if n else ['x'])}]" for n in range(9)
        ),
        " found aliases that multiply or hold themselves; allowed are 200,000 parts",
    ),
]


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(("text", "start"), OTHER_FILES)
def test_a_file_of_another_shape_gives_one_message(text: str, start: str) -> None:
    (message,) = messages(text)
    assert message.startswith(f"pipeline.yaml:{start}")


def test_a_missing_manifest_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifest(tmp_path / "none.yaml")
    assert str(caught.value) == (
        f"{tmp_path}/none.yaml: no such file; allowed is a manifest, a YAML file in UTF-8; "
        "`stylebatch init CONTENT STYLES` drafts one, `stylebatch demo DIR` writes an example"
    )


def test_a_folder_and_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="found a folder; allowed is a manifest"):
        load_manifest(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("output: été".encode("latin-1"))
    with pytest.raises(ManifestError, match=r"bytes that are no UTF-8 text \(at byte 8\)"):
        load_manifest(tmp_path / "latin.yaml")


@pytest.mark.usefixtures("root")
def test_everything_wrong_is_reported_together_and_in_order() -> None:
    text = """\
version: 1
outptu: out
output: photos/out
extractor: {weights: random}
pairs:
  - name: a
    content: empty
    styles: [styles/none.png, 7, styles/b.jpg]
    size_px: -5
    steps: 3
    steps: 4
    override: {stepz: 3, content_layers: {conv9_9: 1}}
  - hello
  - name: A
    content: photos
    styles: {}
    assign: {sample: 9}
run:
  deadline: 8x
"""
    found = [message.split(": ")[:2] for message in messages(text)]
    assert [": ".join(parts) for parts in found] == [
        "pipeline.yaml:2: outptu",
        "pipeline.yaml:3: output",
        "pipeline.yaml:7: pairs[0].content",
        "pipeline.yaml:8: pairs[0].styles[1]",
        "pipeline.yaml:8: pairs[0].styles[0]",
        "pipeline.yaml:9: pairs[0].size_px",
        "pipeline.yaml:11: pairs[0].steps",
        "pipeline.yaml:12: pairs[0].override.stepz",
        "pipeline.yaml:12: pairs[0].override.content_layers",
        "pipeline.yaml:13: pairs[1]",
        "pipeline.yaml:14: pairs[2].name",
        "pipeline.yaml:16: pairs[2].styles",
        "pipeline.yaml:19: run.deadline",
    ]


@pytest.mark.usefixtures("root")
def test_what_is_wrong_with_the_defaults_is_said_once() -> None:
    pairs = "".join(f"  - {{name: p{n}, content: photos, styles: [styles]}}\n" for n in range(3))
    text = changed("recipe: balanced", "size_px: 3").split("  - name")[0] + pairs
    assert len(messages(text)) == 1
    text = changed("recipe: balanced", "strength: [2, 1]").split("  - name")[0] + pairs
    assert len(messages(text)) == 1


@pytest.mark.usefixtures("root")
def test_pairs_with_one_name_are_refused_whatever_the_case() -> None:
    text = changed("run:\n", "  - {name: PAINTINGS, content: photos, styles: [styles]}\nrun:\n")
    assert messages(text) == [
        "pipeline.yaml:13: pairs[1].name: 'PAINTINGS' is the name of pairs[0] too; "
        "allowed is one pair per name; rename one of them"
    ]


@pytest.mark.usefixtures("root")
def test_an_output_among_the_styles_is_refused_before_it_is_made() -> None:
    text = changed("output: out", "output: styles/out").replace("[styles/a.png]", "[styles]")
    assert messages(text) == [
        "pipeline.yaml:2: output: 'styles/out' is inside the style folder 'styles': results would "
        "be read; allowed are images outside of it; choose another output"
    ]


def test_content_and_styles_in_the_output_are_refused(root: Path) -> None:
    made = root / "out/images/ducks"
    made.mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(made / "x.png")
    found = messages(
        changed("content: photos", "content: out/images").replace(
            "[styles/a.png]", "['out/images/**/*.png']"
        )
    )
    todo = "move it, or choose another output"
    assert found == [
        "pipeline.yaml:10: pairs[0].content: 'out/images' is inside the output 'out', where "
        f"results are made; allowed is a folder outside of it; {todo}",
        "pipeline.yaml:11: pairs[0].styles: 'out/images/ducks/x.png' is inside the output 'out', "
        f"where results are made; allowed are images outside of it; {todo}",
    ]


def test_masks_in_the_output_are_refused(root: Path) -> None:
    made = root / "out/images"
    made.mkdir(parents=True)
    Image.new("L", (4, 4)).save(made / "x.png")
    assert messages(changed("size_px: 128", "masks: out/images")) == [
        "pipeline.yaml:12: pairs[0].masks: 'out/images' is inside the output 'out', where results "
        "are made; allowed is a folder outside of it; move it, or choose another output"
    ]


@pytest.mark.usefixtures("root")
def test_an_output_among_the_masks_is_refused() -> None:
    text = changed("size_px: 128", "masks: styles/more")
    assert messages(text.replace("output: out", "output: styles/more/out")) == [
        "pipeline.yaml:2: output: 'styles/more/out' is inside the masks folder 'styles/more': "
        "results would be read; allowed is a folder outside of it; choose another output"
    ]


def test_an_output_behind_a_link_is_found_to_be_inside_the_content(root: Path) -> None:
    (root / "elsewhere").symlink_to(root / "photos")
    (message,) = messages(changed("output: out", "output: elsewhere/out"))
    assert "is inside the content folder 'photos'" in message


@pytest.mark.usefixtures("root")
def test_keys_that_are_no_text_and_broken_merges_are_refused() -> None:
    assert messages(GOOD + "[a, b]: 1\n") == [
        "pipeline.yaml:15: found a list as a key; allowed is text"
    ]
    assert messages(changed("  recipe: balanced", "  <<: 3")) == [
        "pipeline.yaml:7: defaults.<<: found '3'; allowed is a mapping"
    ]


@pytest.mark.usefixtures("root")
def test_values_with_a_tag_of_another_kind_are_refused() -> None:
    assert messages(changed("seed: 0", "seed: !!binary aGk=")) == [
        "pipeline.yaml:3: seed: 'aGk=' is no binary; allowed are plain YAML values",
        f"pipeline.yaml:3: seed: found nothing; allowed is a whole number from 0 to {2**63 - 1}; "
        "change it",
    ]


def test_layers_that_the_weights_do_not_have_are_named_where_they_are_asked_for(
    root: Path, shared: Path
) -> None:
    weights = shared / "weights/vgg19_conv3_4.safetensors"
    text = changed("weights: random", f"weights: {weights}")
    assert load(text).pairs[0].settings.weights.path == weights.resolve()
    too_deep = text.replace("size_px: 128", "override: {content_layers: {conv5_1: 1}}")
    ends = "it has conv1_1 to conv3_4; choose a recipe or layers that end there, or weights that go"
    assert messages(too_deep) == [
        f"pipeline.yaml:12: pairs[0].override.content_layers: '{weights}' does not have conv4_1, "
        f"conv4_2, conv4_3, conv4_4, conv5_1; {ends} deeper"
    ]
    (message,) = messages(text.replace("recipe: balanced", "recipe: deep"))
    assert message.startswith("pipeline.yaml:7: defaults.recipe: ")
    assert "does not have conv4_1" in message
    (message,) = messages(
        text.replace("size_px: 128", "override: {style_layers: {conv1_1: 1, conv3_9: 1}}")
    )
    assert message.startswith(
        "pipeline.yaml:12: pairs[0].override.style_layers: 'conv3_9' is no layer of vgg19; "
    )


def test_what_is_no_weights_file_is_refused(root: Path) -> None:
    (root / "w.safetensors").write_bytes(b"\xff" * 99)
    (message,) = messages(changed("weights: random", "weights: w.safetensors"))
    assert message.startswith(
        "pipeline.yaml:5: extractor.weights: 'w.safetensors' is no readable safetensors file"
    )
    save_file({"head.weight": np.zeros((3, 3), np.float32)}, root / "w.safetensors")
    (message,) = messages(changed("weights: random", "weights: w.safetensors"))
    assert "holds no layer of vgg19 (its tensors: head.weight" in message


@pytest.mark.parametrize("place", ["override: {%s: 2}", "sweep: [{%s: [1, 2]}]"])
def test_the_sixty_fields_are_named_where_none_that_is_near_was_meant(
    root: Path, place: str
) -> None:
    (message,) = messages(changed("size_px: 128", place % "style_weigth"))
    assert "(did you mean 'style_weight' or " in message
    assert message.endswith("?); correct it")
    (message,) = messages(changed("size_px: 128", place % "qqq"))
    assert message.count(", ") > 50


def test_a_home_folder_is_meant_by_its_tilde_in_every_path(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    write_inputs(home)
    (home / "map.csv").write_text("content,style\n")
    shutil.copytree(home / "photos", home / "masks")
    monkeypatch.setenv("HOME", str(home))
    pair = {
        "name": "all",
        "content": "~/photos",
        "masks": "~/masks",
        "styles": [
            "~/styles/a.png",
            "~/styles/*.png",
            {"name": "b", "blend": {"~/styles/a.png": 1}},
        ],
        "assign": {"map": "~/map.csv"},
    }
    document = {
        "version": 1,
        "output": "~/out",
        "extractor": {"weights": "random"},
        "run": {"cache": "~/cache"},
        "pairs": [pair],
    }
    told = load(yaml.safe_dump(document))
    (read,) = told.pairs
    assert told.output == home / "out"
    assert told.run.cache == home / "cache"
    assert (read.content, read.masks) == (str(home / "photos"), str(home / "masks"))
    assert read.assign.table == str(home / "map.csv")
    images = [root / path for style in read.styles for path, _ in style.images]
    assert home / "styles/a.png" in images
    assert all(path.resolve().is_relative_to(home) for path in images)


@pytest.mark.parametrize("name", ["~nobody-of-this-name/w.safetensors", "~/w.safetensors"])
def test_weights_in_a_home_that_is_not_there_are_no_crash(root: Path, name: str) -> None:
    (message,) = messages(changed("weights: random", f"weights: {name}"))
    assert f"extractor.weights: '{name}' no such weights for vgg19" in message


def test_weights_that_do_not_say_their_normalisation_need_it_from_the_manifest(root: Path) -> None:
    (root / "vgg.pth").write_bytes(b"not looked into without torch")
    text = changed("weights: random", "weights: vgg.pth")
    (message,) = messages(text)
    assert "does not say how its input is normalised" in message
    told = load(text.replace("vgg.pth", "vgg.pth\n  normalisation: caffe"))
    assert told.pairs[0].settings.weights.normalisation.channels == "bgr"
    numbers = "{mean: [0.5, 0.5, 0.5], std: [1, 1, 1], channels: rgb}"
    told = load(text.replace("vgg.pth", f"vgg.pth\n  normalisation: {numbers}"))
    assert told.pairs[0].settings.weights.normalisation.mean == (0.5, 0.5, 0.5)

"""The commands as a user meets them: what they print, where, and the exit codes."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from support.runs import (
    COMMAND,
    Ended,
    Small,
    command,
    contents,
    copy_tree,
    end,
    needs_proc,
    picture,
    run_process,
    small_project,
    start,
)
from support.terminal import listing, on_a_terminal, screen

import stylebatch
from stylebatch.cli.main import COMMANDS as LISTED
from stylebatch.pictures.contact_sheet import check_sheet_path, contact_sheet
from stylebatch.recipes import needs_network, recipe_names
from stylebatch.system.words import duration

COMMANDS = ["run", "plan", "status", "stylize", "demo", "recipes", "schema", "doctor", "weights"]
WEIGHTS_COMMANDS = ["list", "fetch", "convert"]

HELP_OF_ALL = """
import contextlib, io, json, sys
from stylebatch.cli import main
texts = {}
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["stylebatch", *arguments]
    with contextlib.redirect_stdout(io.StringIO()) as text:
        try:
            main()
        except SystemExit as ending:
            assert not ending.code, (arguments, ending.code)
    texts[" ".join(arguments)] = text.getvalue()
json.dump([texts, "torch" in sys.modules], sys.stdout)
"""

CRASH = """
import sys
from stylebatch.cli import main
from stylebatch.cli.main import app
app.command("crash")(lambda: 1 / 0)
sys.argv = ["stylebatch", "crash"]
main()
"""


@pytest.fixture
def small(finished: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Small:
    """A project whose four images are made, in the working directory."""
    copy_tree(finished.root, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return Small(tmp_path / "project")


def test_help_and_what_only_tells_never_import_torch(small: Small) -> None:
    asked = [["--help"], ["-h"], ["--version"], ["schema"], ["recipes"], ["recipes", "balanced"]]
    asked += [[name, "--help"] for name in COMMANDS]
    asked += [["plan"], ["plan", "--jobs"], ["run", "--dry-run"], ["status"], ["status", "out"]]
    asked += [["weights", "list"], *(["weights", name, "--help"] for name in WEIGHTS_COMMANDS)]
    ended = run_process(HELP_OF_ALL, json.dumps(asked))
    assert ended.code == 0, ended.err
    texts, has_torch = json.loads(ended.out)
    assert not has_torch
    assert all(texts.values()) or texts.pop("plan --jobs") == ""
    assert texts["--version"] == f"stylebatch {stylebatch.__version__}\n"
    for name in COMMANDS:
        assert re.search(rf"^\W+{name} ", texts["--help"], re.MULTILINE)


# What reads pictures, manifests and recipes: half a second before anything is said.
HEAVY = {"PIL", "manifest", "numpy", "pydantic", "recipe", "recipes", "sqlite3", "torch", "yaml"}


@pytest.mark.parametrize("argument", ["--version", "--help", "-h"])
def test_version_and_help_load_only_what_prints_them(argument: str) -> None:
    code = f"import atexit, sys\natexit.register(lambda: print(*sys.modules))\n{COMMAND[-1]}"
    ended = run_process(code, argument)
    assert ended.code == 0, ended.err
    loaded = set(ended.out.splitlines()[-1].split())
    assert "stylebatch.cli.main" in loaded
    assert {name for name in loaded if HEAVY & set(name.split("."))} == set()


def test_the_list_of_commands_says_what_each_of_them_says_of_itself() -> None:
    assert LISTED.keys() >= set(COMMANDS)
    for name, (_, says) in LISTED.items():
        assert says in " ".join(command(name, "--help").out.split()), name


def test_the_console_script_is_installed(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("stylebatch")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == f"stylebatch {stylebatch.__version__}\n"


@pytest.mark.parametrize(
    "arguments", [["nonesuch"], ["run", "--nonesuch"], ["stylize", "only.png", "-o", "x.png"], []]
)
def test_a_command_line_that_means_nothing_is_exit_code_2(
    arguments: list[str], tmp_path: Path
) -> None:
    assert command(*arguments).code == 2


# plan


def test_a_plan_writes_nothing(small: Small) -> None:
    small.photo("cats/new.png", 5)
    small.pair["steps"] = 2
    small.write()
    before = listing(small.root)
    for arguments in (["plan"], ["plan", "--jobs"], ["run", "--dry-run"], ["status"]):
        assert command(*arguments).code == 0
    assert listing(small.root) == before


def test_a_plan_before_any_run_writes_nothing(tmp_path: Path) -> None:
    small = small_project(tmp_path)
    before = listing(small.root)
    ended = command("plan", str(small.manifest))
    assert (ended.code, ended.err) == (0, "")
    assert re.fullmatch(r"4 images to make, about [\d.]+ kB", ended.out.splitlines()[-1])
    assert listing(small.root) == before


def test_a_plan_says_what_is_to_do_and_what_is_out_of_date(small: Small) -> None:
    assert command("plan").out.splitlines()[-1] == "nothing to do"
    small.photo("cats/a.png", 5)
    small.photo("dogs/wide.png", 6, 300, 100)
    (small.root / "photos/notes.txt").write_text("no image")
    out = command("plan").out
    header, row = (line.split() for line in out.splitlines()[:2])
    assert (header[-1], row[-1]) == ("content", "photos")
    assert dict(zip(header[:5], row[:5], strict=True)) == {
        "pair": "all",
        "photographs": "3",
        "styles": "2",
        "jobs": "6",
        "done": "2",
    }
    assert "16×16" in out
    assert "2 images are of earlier settings" in out
    assert "dogs/wide.png" in out
    assert "1 × .txt" in out
    assert out.splitlines()[-1].startswith("4 images to make, about ")
    assert command("run", "--dry-run").out.startswith(out)


@pytest.mark.parametrize(
    ("asked", "wide", "upright", "told"),
    [
        ("content", (96, 32), (40, 80), "as content, 0.0031 MP"),
        ("work", (16, 16), (16, 16), "as optimised"),
        (48, (48, 16), (24, 48), "48 px, longest edge"),
        ([20, 18], (20, 18), (20, 18), "20×18, cut"),
    ],
)
def test_files_come_out_as_large_as_the_plan_says(
    tmp_path: Path,
    asked: Any,
    wide: tuple[int, int],
    upright: tuple[int, int],
    told: str,
) -> None:
    small = Small(tmp_path)
    small.pair["output_size"] = asked
    small.style("a.png", 1)
    # Both are worked on at 16×16.
    sizes = {"wide": (96, 32), "upright": (40, 80)}
    for number, (name, size) in enumerate(sizes.items()):
        small.photo(f"cats/{name}.png", number, *size)
    small.write()
    assert told in command("plan", str(small.manifest)).out
    assert small.run("--quiet").code == 0
    for name, size in (("wide", wide), ("upright", upright)):
        with Image.open(small.out / f"images/cats/{name}-a.png") as image:
            assert image.size == size


def test_the_jobs_of_a_plan_are_json_lines(small: Small) -> None:
    assert command("plan", "--jobs").out == ""
    small.photo("cats/a.png", 5)
    jobs = [json.loads(line) for line in command("plan", "--jobs").out.splitlines()]
    assert [job["output"] for job in jobs] == ["cats/a-s.png", "cats/a-t.png"]
    assert (jobs[0]["width"], jobs[0]["height"], jobs[0]["strength"]) == (16, 16, 1.0)


# status


def test_the_status_can_be_asked_of_a_manifest_or_a_folder(small: Small) -> None:
    (small.root / "photos/cats/broken.png").write_bytes(b"no image")
    assert command("run").code == 3
    by_manifest = command("status", "pipeline.yaml")
    assert by_manifest == command("status", "out")
    assert by_manifest.code == 0
    assert re.search(r"^all +6 +4 +2 +0", by_manifest.out, re.MULTILINE)
    assert "failed: cats/broken-s.png and 1 more: " in by_manifest.out
    status = json.loads(command("status", "--json").out)
    assert status["pairs"] == {
        "all": {"planned": 6, "done": 4, "failed": 2, "rejected": 0, "left": 0, "outdated": 0}
    }
    assert status["running"] is None
    (outputs,) = status["failures"].values()
    assert outputs == ["cats/broken-s.png", "cats/broken-t.png"]


def test_the_status_counts_what_a_limit_has_left(tmp_path: Path) -> None:
    small = small_project(tmp_path)
    assert small.run("--limit", "1").code == 0
    status = json.loads(command("status", str(small.out), "--json").out)
    assert status["pairs"]["all"] == {
        "planned": 4,
        "done": 1,
        "failed": 0,
        "rejected": 0,
        "left": 3,
        "outdated": 0,
    }


def test_the_status_counts_splits_and_failed_annotations(tmp_path: Path) -> None:
    small = small_project(tmp_path)
    assert small.run().code == 0
    status = json.loads(command("status", str(small.out), "--json").out)
    assert (status["splits"], status["failed_annotations"]) == ({}, 0)
    assert not re.search("by split|annotation. ", command("status", str(small.out)).out)
    small.photo("train/cats/c.png", 3)
    small.photo("val/cats/d.png", 4)
    for folder in ("cats", "dogs"):
        shutil.rmtree(small.root / "photos" / folder)
    (small.root / "labels/train/cats").mkdir(parents=True)
    (small.root / "labels/train/cats/c.txt").write_text("0 0.5 0.5 nothing 1\n")
    small.pair |= {"split": "folders", "originals": "copy", "annotations": {"yolo": "labels"}}
    assert small.run().code == 3
    status = json.loads(command("status", str(small.out), "--json").out)
    splits = {"train": {"original": 1, "stylised": 2}, "val": {"original": 1, "stylised": 0}}
    assert status["splits"] == splits
    failures = (small.out / "failures.jsonl").read_text().splitlines()
    assert status["failed_annotations"] == len(failures) == small.summary()["failed_annotations"]
    told = command("status", str(small.out)).out
    assert "images by split: train 1 original and 2 stylised; val 1 original" in told
    assert f"{len(failures)} annotation" in told
    watched = command("status", str(small.out), "--json", "--watch").out.splitlines()
    assert json.loads(watched[0])["splits"] == {}


@pytest.mark.parametrize("merged", [False, True])
def test_the_status_counts_splits_of_shards(tmp_path: Path, merged: bool) -> None:
    small = small_project(tmp_path)
    small.photo("train/cats/c.png", 3)
    small.photo("train/dogs/e.png", 3)
    small.photo("val/cats/d.png", 4)
    for folder in ("cats", "dogs"):
        shutil.rmtree(small.root / "photos" / folder)
    small.pair |= {"split": "folders", "originals": "copy"}
    for number in range(2):
        assert small.run("--shard", f"{number}/2").code == 0
    if merged:
        assert command("merge", str(small.out)).code == 0
    status = json.loads(command("status", str(small.out), "--json").out)
    splits = {"train": {"original": 2, "stylised": 4}, "val": {"original": 1, "stylised": 0}}
    assert status["splits"] == splits


def test_the_status_of_nothing_says_so(tmp_path: Path) -> None:
    ended = command("status", str(tmp_path))
    assert (ended.code, ended.out) == (2, "")
    assert "no run has written there yet" in ended.err


# run


def test_without_a_terminal_the_result_is_one_line_on_stdout(tmp_path: Path, shared: Path) -> None:
    small = small_project(tmp_path)
    weights = shared / "weights/vgg19_conv3_4.safetensors"
    small.document["extractor"] = {"weights": str(weights)}
    ended = small.run()
    assert (ended.code, ended.err) == (0, "")
    (line,) = ended.out.splitlines()
    assert re.fullmatch(r".*/out/images: 4 images made in [\d.]+ s, 4 of 4 are there", line)


@pytest.mark.slow
def test_a_demonstration_extractor_is_named_as_such_where_somebody_watches(tmp_path: Path) -> None:
    small = small_project(tmp_path)
    (line,) = small.run().out.splitlines()
    assert "4 images made" in line
    (small.out / "images/cats/a-s.png").unlink()
    _, shown = on_a_terminal("run", str(small.manifest))
    assert "note: weights: random is a demonstration extractor" in " ".join(shown.split())


def test_a_quiet_run_says_nothing_unless_something_fails(small: Small) -> None:
    small.photo("cats/a.png", 5)
    assert command("run", "--quiet") == Ended(0, "", "")
    (small.root / "photos/cats/broken.png").write_bytes(b"no image")
    ended = command("run", "-q")
    assert (ended.code, ended.out) == (3, "")
    assert len(ended.err.splitlines()) == 3


def test_the_summary_says_what_moved_aside(small: Small) -> None:
    small.remove_photo("cats/a.png")
    out = command("run").out
    assert "nothing to do, 2 of 2 are there, 2 no longer in the plan, moved to" in out


@pytest.mark.slow
def test_a_terminal_shows_progress_and_keeps_the_summary(tmp_path: Path) -> None:
    small = small_project(tmp_path)
    small.pair["steps"] = 600  # long enough to be drawn, four times a second
    small.document["run"] |= {"executor": "local", "cpu_workers": 1}
    (small.root / "photos/cats/broken.png").write_bytes(b"no image")
    code, written = on_a_terminal("run", str(small.write()))
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written)
    assert code == 3
    for shown in ("planning …", "starting workers …", "0/6 images", "cpu: 4 images at once"):
        assert shown in text
    assert "failed: cats/broken-s.png: photos/cats/broken.png" in text
    last = written.rstrip().splitlines()[-1]
    assert last.endswith("`--retry-failed` tries again")
    assert "\x1b[?25h" in written  # the cursor is back


@pytest.mark.slow
def test_what_a_quiet_run_warns_of_stands_in_its_log(tmp_path: Path) -> None:
    small = Small(tmp_path)
    small.photo("cats/large.png", 1, 200, 100)
    small.style("a.png", 2)
    assert small.run("--quiet") == Ended(0, "", "")
    log = (small.out / ".stylebatch/run.log").read_text()
    assert re.search(
        r"WARNING.*1 photograph comes out enlarged more than twice.*cats/large\.png", log
    )


def test_what_a_plan_warns_of_stands_in_the_summary_and_is_counted_in_the_last_line(
    tmp_path: Path,
) -> None:
    small = small_project(tmp_path)
    small.photo("cats/large.png", 3, 300, 100)
    (line,) = small.run().out.splitlines()
    assert line.endswith(", 6 of 6 are there, 1 warning in run.json")
    (told,) = small.summary()["warnings"]
    assert re.match(
        r"all: 1 photograph comes out enlarged more than twice \(such as cats/large", told
    )
    # What is to be said of images that are there was said when they were made.
    assert "warning" not in small.run().out


def test_a_quiet_run_shows_nothing_on_a_terminal_either(small: Small) -> None:
    assert on_a_terminal("run", "--quiet") == (0, "")


def test_a_dry_run_makes_no_preview(small: Small) -> None:
    ended = command("run", "--dry-run", "--preview", "2")
    assert ended.code == 2
    assert "--dry-run" in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--sheet", "sheet.png"],
        ["run", "--dry-run", "--sheet", "sheet.png"],
        ["run", "--preview", "1", "--limit", "1"],
        ["run", "--preview", "1", "--deadline", "1h"],
        ["run", "--preview", "1", "--max-failures", "1"],
        ["run", "--preview", "1", "--retry-failed"],
        ["run", "--preview", "1", "--keep-stale"],
        ["status", "--every", "1"],
        ["recipes", "--size", "64"],
        ["recipes", "balanced", "--weights", "random"],
        ["recipes", "--device", "cpu"],
        ["weights", "convert", "w.pth", "o.safetensors", "--channels", "bgr"],
    ],
    ids=" ".join,
)
def test_an_option_that_would_be_passed_over_is_refused(small: Small, arguments: list[str]) -> None:
    small.photo("cats/a.png", 5)
    before = listing(small.root)
    ended = command(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert re.search("add --|not together with|give --normalisation", ended.err)
    assert listing(small.root) == before


@pytest.mark.slow
def test_nothing_to_do_is_said_on_a_terminal(small: Small) -> None:
    code, written = on_a_terminal("run")
    assert code == 0
    assert written.rstrip().endswith("out/images: nothing to do, 4 of 4 are there")


def test_an_error_of_our_own_is_exit_code_1_and_keeps_its_traceback() -> None:
    ended = run_process(CRASH)
    assert (ended.code, ended.out) == (1, "")
    first, second = ended.err.splitlines()
    assert first == (
        "stylebatch: an error of stylebatch's own: ZeroDivisionError: division by zero"
    )
    log = Path(second.removeprefix("stylebatch: the traceback is in "))
    assert "ZeroDivisionError" in log.read_text()
    log.unlink()


def test_an_error_of_our_own_in_a_run_tells_what_happened_and_where_its_log_is(
    small: Small,
) -> None:
    code = (
        "from stylebatch.run import pipeline\n"
        "def broken(*args):\n    raise KeyError('what\\nhappened')\n"
        "pipeline.note_thresholds = broken\n"
        "from stylebatch.cli import main\nmain()"
    )
    ended = run_process(code, "run", str(small.manifest))
    assert ended.code == 1
    first, second = ended.err.splitlines()
    assert first == "stylebatch: an error of stylebatch's own: KeyError: 'what\\nhappened'"
    assert second == f"stylebatch: the traceback is in {small.out / '.stylebatch/run.log'}"
    assert "KeyError" in small.log()


def test_a_reader_that_leaves_early_is_no_error_of_ours(small: Small) -> None:
    shell = 'head -c 1 < <("$@" 2>err.txt); wait $!; echo $?'
    done = subprocess.run(["bash", "-c", shell, "-", *COMMAND, "schema"], capture_output=True)
    assert done.stdout[:1] == b"{"
    assert b"Traceback" not in Path("err.txt").read_bytes()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.26, "0.3 s"), (42, "42 s"), (200, "3 min 20 s"), (7500, "2 h 05 min"), (59.9, "60 s")],
)
def test_a_duration_is_written_as_people_do(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# recipes, schema, doctor


def test_all_recipes_are_listed_and_can_be_shown() -> None:
    listed = command("recipes").out
    for name in recipe_names():
        assert name in listed
        fields = yaml.safe_load(command("recipes", name).out)
        assert ("steps" in fields) == needs_network(name)


def test_an_unknown_recipe_is_told_with_the_known_ones() -> None:
    ended = command("recipes", "nonesuch")
    assert ended.code == 2
    assert all(name in ended.err for name in recipe_names())


def test_the_schema_is_one_that_a_manifest_fits() -> None:
    schema = json.loads(command("schema").out)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert set(schema["required"]) == {"version", "output", "pairs"}
    properties = set(schema["properties"])
    assert {"version", "output", "seed", "extractor", "defaults", "pairs", "run"} == properties


def test_the_doctor_looks_at_everything() -> None:
    ended = command("doctor")
    assert (ended.code, ended.err) == (0, "")
    for name in ("Python", "torch", "torchvision", "devices", "weights vgg19 imagenet", "cache"):
        assert name in ended.out


# stylize

CHEAP = [
    "--weights",
    "random",
    "--size",
    "32",
    "--steps",
    "2",
    "--set",
    "content_layers={conv2_1: 1}",
]
CHEAP += ["--set", "style_layers={conv1_1: 1}", "--device", "cpu"]


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    picture(1, 50, 31).save("content.png")
    picture(2, 20, 30, "RGBA").save("other.png")
    picture(3).save("style.png")
    return tmp_path


def test_stylize_writes_an_image_of_the_contents_size(images: Path) -> None:
    ended = command("stylize", "content.png", "style.png", "-o", "new/result.png", *CHEAP)
    assert ended == Ended(0, "new/result.png\n", "")
    with Image.open("new/result.png") as result:
        assert (result.size, result.mode) == ((50, 31), "RGB")


def test_stylize_shows_its_progress_on_a_terminal_only(images: Path) -> None:
    asked = ("stylize", "content.png", "other.png", "style.png", "-o", "results", *CHEAP)
    assert command(*asked).err == ""
    code, shown = on_a_terminal(*asked, "--force")
    assert code == 0
    assert screen(shown)[0].startswith("2 of 2 images")


def test_stylize_writes_several_images_into_a_folder(images: Path) -> None:
    ended = command("stylize", "content.png", "other.png", "style.png", "-o", "results", *CHEAP)
    assert (ended.code, ended.out) == (0, "results/content.png\nresults/other.png\n")
    with Image.open("results/other.png") as result:
        assert (result.size, result.mode) == ((20, 30), "RGBA")


def test_stylize_writes_a_jpeg_of_an_image_with_alpha(images: Path) -> None:
    asked = ["stylize", "other.png", "style.png", "-o", "result.jpg", *CHEAP, "--size-px", "16"]
    assert command(*asked).code == 0
    with Image.open("result.jpg") as result:
        assert (result.size, result.mode) == ((20, 30), "RGB")


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["content.png", "style.png", "-o", "content.png"], "is one of the inputs"),
        (["content.png", "style.png", "-o", "style.png"], "is one of the inputs"),
        (["content.png", "style.png", "-o", "."], "is one of the inputs"),
        (["content.png", "./content.png", "style.png", "-o", "x"], "two contents have one name"),
        (["content.png", "other.png", "style.png", "-o", "x.png"], "one file for 2 contents"),
        (["content.png", "style.png", "-o", "result.xyz"], "no image format"),
        (["content.png", "style.png", "-o", "x.png", "--set", "stepz=3"], "did you mean 'steps'?"),
        (["content.png", "style.png", "-o", "x.png", "--set", "steps"], "FIELD=VALUE"),
        (["content.png", "style.png", "-o", "x.png", "--set", "steps={"], "not YAML"),
        (["content.png", "style.png", "-o", "x.png", "--recipe", "none"], "no recipe 'none'"),
        (["content.png", "style.png", "-o", "x.png", "--device", "cuda:63"], "no device"),
        (["content.png", "style.png", "-o", "other.png/x.png"], "can't be written (Not a dir"),
        (["content.png", "other.png", "style.png", "-o", "style.png/x"], "can't be written"),
        (["content.png", "style.png", "-o", f"{'x' * 250}.png"], "can't be written (File name"),
        (["gone.png", "style.png", "-o", "x.png"], "can't be read"),
        ([".", "style.png", "-o", "x.png"], ".: is a folder; allowed are images; for folders"),
        (["content.png", "..", "-o", "x.png"], "`stylebatch init` writes a manifest, `styleb"),
        (["gone.png", "style.png", "-o", "other.png", "--force"], "can't be read"),
        (["content.png", "style.png", "-o", "other.png"], "other.png: is there already; nothing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_stylize_refuses_what_it_can_not_do(images: Path, arguments: list[str], found: str) -> None:
    before = contents(images)
    ended = command("stylize", *CHEAP, *arguments)
    assert ended.code == 2
    assert found in re.sub(r"[│\s]+", " ", ended.err)
    assert contents(images) == before


def test_stylize_overwrites_with_force_only(images: Path) -> None:
    picture(4).save("mine.png")
    asked = ["stylize", "content.png", "other.png", "style.png", "-o", "results", *CHEAP]
    Path("results").mkdir()
    Path("mine.png").rename("results/other.png")
    before = contents(images)
    ended = command(*asked)
    assert (ended.code, ended.out, contents(images)) == (2, "", before)
    assert ended.err == (
        "stylebatch: results: other.png is there already; nothing is overwritten; --force "
        "overwrites, -o names another place\n"
    )
    assert command(*asked, "--force").out == "results/content.png\nresults/other.png\n"
    assert contents(images)["results/other.png"] != before["results/other.png"]
    assert "content.png, other.png are there already" in command(*asked).err


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_sheet_replaces_a_sheet_and_nobodys_picture(images: Path, suffix: str) -> None:
    target = images / f"sheet.{suffix}"
    picture(4).save(target)
    (images / f"notes.{suffix}").write_text("mine")
    small_project(images)
    before = contents(images)
    for asked in (
        ["recipes", "balanced", "--compare", "content.png", "style.png", "-o"],
        ["run", "pipeline.yaml", "--preview", "1", "--sheet"],
    ):
        for name in ("sheet", "notes"):
            ended = command(*asked, f"{name}.{suffix}")
            assert (ended.code, ended.out, contents(images)) == (2, "", before)
            found = "is there already, and no sheet of ours; only a sheet is replaced"
            assert f"{name}.{suffix}: {found}" in ended.err
    earlier = contact_sheet([], suffix=f".{suffix}")
    target.write_bytes(earlier)
    ended = command("run", "pipeline.yaml", "--preview", "1", "--sheet", str(target))
    assert (ended.code, ended.err) == (0, "")
    assert target.read_bytes() != earlier
    check_sheet_path(target)  # it is a sheet of ours again


def test_a_tilde_that_no_shell_has_expanded_is_the_home_folder(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = images / "home"
    home.mkdir()
    (images / "content.png").rename(home / "content.png")
    monkeypatch.setenv("HOME", str(home))
    for output in (["-o", "~/a.png"], ["-o~/b.png"], ["--output=~/new/c.png"]):
        asked = ["~/content.png", "style.png", *output, "--set", "second_pass=~", *CHEAP]
        ended = command("stylize", *asked)
        assert (ended.code, ended.err) == (0, "")
    assert sorted(contents(home)) == ["a.png", "b.png", "content.png", "new/c.png"]
    small = small_project(home)
    (status,) = command("status", "~/pipeline.yaml").err.splitlines()
    assert str(small.out) in status
    assert not list(images.glob("~*"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["stylize", "content.png", "style.png", *CHEAP, "-o"],
        ["recipes", "balanced", "--compare", "content.png", "style.png", "-o"],
        ["weights", "convert", "weights.safetensors"],
        ["run", "pipeline.yaml", "--preview", "1", "--sheet"],
    ],
    ids=lambda arguments: arguments[0],
)
@pytest.mark.parametrize("folder", ["style.png", "/proc"])
def test_where_nothing_can_be_written_is_found_out_before_any_work(
    images: Path, arguments: list[str], folder: str
) -> None:
    small_project(images)
    suffix = ".safetensors" if arguments[0] == "weights" else ".png"
    target = f"{folder}/result{suffix}"
    before = contents(images)
    ended = command(*arguments, target)
    assert (ended.code, ended.out) == (2, "")
    assert f"{target}: can't be written (" in ended.err
    assert ended.err.endswith("a file in a folder that you may write to; choose another place\n")
    assert contents(images) == before


@needs_proc
@pytest.mark.parametrize("arguments", [["plan"], ["run"], ["run", "--dry-run"], ["run", "--shard"]])
def test_an_output_that_can_not_be_made_is_refused_with_its_reason(
    small: Small, arguments: list[str]
) -> None:
    small.document["output"] = "/proc/x"
    small.write()
    before = contents(small.root)
    shard = ["0/2"] if "--shard" in arguments else []
    ended = command(*arguments, *shard, str(small.manifest))
    assert (ended.code, ended.out) == (2, "")
    assert re.match(r"stylebatch: output: /proc/x can't be written \(.+\); allowed is a", ended.err)
    assert contents(small.root) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_that_may_not_be_written_is_refused_by_a_plan(small: Small) -> None:
    small.pair["steps"] = 2
    small.write()
    small.out.chmod(0o500)
    ended = command("plan")
    small.out.chmod(0o700)
    assert (ended.code, ended.out) == (2, "")
    assert "out can't be written (its permissions" in ended.err


@needs_proc
def test_an_example_that_can_not_be_written_is_no_crash() -> None:
    ended = command("demo", "/proc/demo")
    assert ended.code == 2
    assert "/proc/demo/pipeline.yaml: can't be written" in ended.err


def test_a_disk_that_fills_up_while_an_image_is_made_is_no_error_of_ours(images: Path) -> None:
    limits = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))"
    picture(1, 300, 200).save("content.png")
    # The style's targets are in the cache then, and only the image is too large.
    assert command("stylize", "other.png", "style.png", "-o", str(images / "y.png"), *CHEAP)[0] == 0
    (images / "y.png").unlink()
    code = f"{limits}; import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n{COMMAND[-1]}"
    ended = run_process(code, "stylize", "content.png", "style.png", "-o", "x.png", *CHEAP)
    assert ended.code == 5, ended.err
    assert "x.png: can't be written (File too large)" in ended.err
    assert {path.name for path in images.iterdir()} == {"content.png", "other.png", "style.png"}


@pytest.mark.parametrize(("asked", "told"), [(None, "3000"), ("ACTIVE", "30000000000")])
def test_threads_sleep_while_they_wait_unless_told_otherwise(
    small: Small, monkeypatch: pytest.MonkeyPatch, asked: str | None, told: str
) -> None:
    # What GNU's OpenMP says when a worker loads it: how often it looks before it sleeps.
    monkeypatch.setenv("OMP_DISPLAY_ENV", "VERBOSE")
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    if asked:
        monkeypatch.setenv("OMP_WAIT_POLICY", asked)
    small.document["run"] |= {"executor": "local", "cpu_workers": 1}
    small.pair["steps"] = 2  # all that the manifest asked for before is there
    ended = end(start("run", str(small.write())))
    counts = re.findall(r"GOMP_SPINCOUNT = '(\d+)'", ended.err)
    if not counts:
        pytest.skip("this torch has no GNU OpenMP")
    assert set(counts) == {told}

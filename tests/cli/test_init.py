"""`stylebatch init`: what it finds, what it writes, and that plan and run take it as it is."""

import json
import re
from pathlib import Path

import pytest
import yaml
from support.runs import Ended, command, picture
from support.terminal import listing

from stylebatch.manifest import load_manifest

NO_TIME = "--no-time"


@pytest.fixture(autouse=True)
def _there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def draw(path: str, number: int = 1, width: int = 48, height: int = 32) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    picture(number, width, height).save(path)


def birds(split: str = "", count: int = 2, width: int = 48, height: int = 32) -> None:
    """Draw photographs of two classes, of which one has one more."""
    for number in range(count):
        draw(f"photos/{split}/jay/{number}.png", number, width, height)
    for number in range(count + 1):
        draw(f"photos/{split}/tit/{number}.png", 100 + number, width, height)


def init(*arguments: str) -> Ended:
    ended = command("init", NO_TIME, *arguments)
    assert (ended.code, ended.err) == (0, ""), ended
    return ended


def pair() -> dict[str, object]:
    (only,) = yaml.safe_load(Path("pipeline.yaml").read_text())["pairs"]
    assert isinstance(only, dict)
    return only


def test_what_is_found_below_is_named_and_the_manifest_plans_as_it_stands() -> None:
    birds()
    draw("paintings/wave.png", 7)
    draw("elsewhere/deeper/still/x.png")  # fewer
    out = init().out
    assert out.splitlines()[0] == "found here: photos, styles in paintings"
    assert "photos: 5 photographs, 2 classes: tit 3, jay 2; 48×32 px in the median of 5\n" in out
    assert "passed over: elsewhere/deeper\n" in out
    assert "paintings: 1 style\n" in out
    assert "pipeline.yaml written: 5 images (1 style for each photograph)" in out
    assert pair()["content"] == "photos"
    assert pair()["styles"] == ["paintings"]
    jobs = command("plan", "--jobs").out.splitlines()
    assert len(jobs) == 5
    assert {json.loads(job)["label"] for job in jobs} == {"jay", "tit"}
    for line in re.findall(r"^  stylebatch (.*?)  #", out, re.MULTILINE):
        assert command(*line.split()[:1], "--help").code == 0
    assert command("plan").out.splitlines()[-1].startswith("5 images to make")


def test_a_split_to_train_on_is_named_and_the_others_are_told() -> None:
    birds("train", 3)
    birds("val", 1)
    birds("test", 0)
    draw("art/wave.png", 7)
    out = init("photos", "art").out
    assert "photos/train: 7 photographs, 2 classes: tit 4, jay 3" in out
    assert "left as they are: test 1, val 3 (in photos)\n" in out
    assert (pair()["content"], pair()["split"], pair()["stylise"]) == (
        "photos",
        "folders",
        ["train"],
    )
    assert pair()["name"] == "photos"
    text = Path("pipeline.yaml").read_text()
    assert "Left as they are: test (1), val (3)" in " ".join(text.replace("#", "").split())
    jobs = [json.loads(job) for job in command("plan", "--jobs").out.splitlines()]
    assert {(job["split"], job["label"]) for job in jobs} == {("train", "jay"), ("train", "tit")}
    assert len(jobs) == 7


def test_beside_two_splits_another_folder_is_left_as_it_is() -> None:
    for split in ("train", "val", "unlabelled"):
        birds(split, 1)
    draw("art/wave.png", 7)
    assert "left as they are: val 3, unlabelled 3 (in photos)\n" in init("photos", "art").out
    assert len(command("plan", "--jobs").out.splitlines()) == 3


def test_folders_with_names_of_splits_but_nothing_to_train_on_are_classes() -> None:
    draw("photos/test/a.png")
    draw("photos/val/a.png")
    draw("art/wave.png", 7)
    assert "photos: 2 photographs, 2 classes: test 1, val 1" in init().out


@pytest.mark.parametrize(
    ("width", "height", "size_px", "output_size"),
    [
        (32, 32, 32, "content"),  # CIFAR's
        (100, 75, 96, "content"),
        (400, 300, 256, "content"),
        (500, 333, 256, 256),
        (640, 480, 256, 256),
        (60, 4000, 256, 256),
    ],
)
def test_sizes_are_chosen_by_the_photographs_and_plan_warns_of_none(
    width: int, height: int, size_px: int, output_size: str | int
) -> None:
    draw("photos/a.png", 1, width, height)
    draw("styles/wave.png", 7)
    init()
    assert (pair()["size_px"], pair()["output_size"]) == (size_px, output_size)
    assert "warning" not in command("plan").out


def test_of_many_styles_each_photograph_gets_two() -> None:
    draw("photos/a.png")
    for number in range(5):
        draw(f"styles/{number}.png", number)
    draw("one.png", 9)
    init("photos", "styles/1.png", "one.png")
    assert (pair()["assign"], pair()["styles"]) == ("all", ["styles/1.png", "one.png"])
    out = init("photos", "styles", "one.png", "--force").out
    assert pair()["assign"] == {"sample": 2}
    assert "2 images (2 styles for each photograph)" in out
    assert len(command("plan", "--jobs").out.splitlines()) == 2


def test_names_that_yaml_reads_otherwise_are_quoted() -> None:
    for name in ("yes: no #1, [x]", "'quoted' \"twice\"", "~", "null", "é ü"):
        draw(f"{name}/a/x.png")
        draw(f"art {name}/w, 1.png", 7)
        init(name, f"art {name}", "--force")
        loaded = load_manifest(Path("pipeline.yaml")).pairs[0]
        assert Path(loaded.content).resolve() == Path(name).resolve()
        assert [style.name for style in loaded.styles] == ["w, 1"]


def test_paths_are_those_from_the_manifests_folder() -> None:
    birds()
    draw("art/wave.png", 7)
    Path("sets").mkdir()
    init("photos", "art", "-o", "sets/birds.yaml")
    loaded = load_manifest(Path("sets/birds.yaml"))
    assert loaded.pairs[0].content == "../photos"
    assert loaded.output == Path("sets/out")
    # One in the photographs' own folder does not put results among them.
    init("photos", "art", "-o", "photos/birds.yaml")
    assert (
        load_manifest(Path("photos/birds.yaml")).output.resolve()
        == Path("photos-stylised").resolve()
    )


def test_an_output_that_somebody_else_has_is_not_chosen() -> None:
    birds()
    draw("styles/wave.png", 7)
    Path("out").mkdir()
    init()
    assert load_manifest(Path("pipeline.yaml")).output == Path("out-2")
    Path("out/.stylebatch").mkdir()
    init("--force")
    assert load_manifest(Path("pipeline.yaml")).output == Path("out")


def test_nothing_is_overwritten_unless_it_is_asked_for() -> None:
    birds()
    draw("styles/wave.png", 7)
    Path("pipeline.yaml").write_text("mine")
    ended = command("init", NO_TIME)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "stylebatch: pipeline.yaml: is there already; nothing is overwritten; --force overwrites "
        "it, -o names another\n"
    )
    assert Path("pipeline.yaml").read_text() == "mine"
    init("--force")
    assert pair()["content"] == "photos"


def test_photographs_that_cannot_be_read_are_told() -> None:
    birds()
    draw("styles/wave.png", 7)
    Path("photos/jay/0.png").write_bytes(b"no image")
    Path("styles/broken.png").write_bytes(b"no image")
    out = init().out
    assert "warning: 1 of 5 photographs can't be read\n" in out
    told = "warning: 1 style can't be read (styles/broken.png): no run begins with them\n"
    assert told in out
    assert "found here" not in init("photos", "styles", "--force").out


def test_what_is_far_below_has_to_be_named() -> None:
    draw("a/b/c d/jay/0.png")
    draw("styles/wave.png", 7)
    ended = command("init", NO_TIME)
    assert (ended.code, ended.out, Path("pipeline.yaml").exists()) == (2, "", False)
    assert "a/b/c d: has most photographs, and is far below; " in ended.err
    assert ended.err.endswith("name it if you mean it: stylebatch init 'a/b/c d' STYLES\n")
    init("a/b/c d", "styles")


def test_what_is_huge_has_to_be_named() -> None:
    draw("styles/wave.png", 7)
    Path("all/jay").mkdir(parents=True)
    for number in range(20_000):
        Path(f"all/jay/{number}.png").touch()
    assert init().out.startswith("found here: all, styles in styles\n")
    Path("pipeline.yaml").unlink()
    Path("all/jay/one more.png").touch()
    ended = command("init", NO_TIME)
    assert (ended.code, ended.out, Path("pipeline.yaml").exists()) == (2, "", False)
    assert "all: has more than 20,000 photographs; " in ended.err
    assert "all: 20,001 photographs" in init("all", "styles").out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "no folder of photographs was found below it"),
        (["photos"], "no folder of styles was found below it"),
        (["nonesuch"], "nonesuch: is no folder that exists"),
        (["photos/a.png"], "photos/a.png: is a file"),
        (["empty", "photos"], "empty: holds no image"),
        (["photos", "nonesuch"], "nonesuch: is no file or folder that exists"),
        (["photos", "empty"], "empty: holds no image"),
        (["photos", "notes.txt"], "notes.txt: holds no image"),
        (["photos", "photos/a.png", "-o", "empty"], "empty: is a folder"),
        (["photos", "photos/a.png", "-o", "notes.txt/p.yaml"], "can't be written"),
    ],
)
def test_what_can_not_be_drafted_is_exit_code_2_and_writes_nothing(
    arguments: list[str], told: str
) -> None:
    Path("empty").mkdir()
    Path("notes.txt").write_text("no image")
    if arguments:
        draw("photos/a.png")
    before = listing(Path())
    ended = command("init", NO_TIME, *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err
    assert ended.err.count(";") >= 1 or "can't" in ended.err
    assert listing(Path()) == before


@pytest.mark.slow
def test_the_time_is_measured_and_a_run_takes_the_manifest_as_it_is() -> None:
    birds(width=16, height=16)
    draw("styles/wave.png", 7)
    ended = command("init")
    assert (ended.code, ended.err) == (0, "")
    assert re.search(r"^time: .* on cpu, measured now on \d images?$", ended.out, re.MULTILINE)
    told = re.search(r"^evaluations: (?:about ([\d,]+), )?at most ([\d,]+)$", ended.out, re.M)
    assert told is not None
    assert int(told[2]) == 5 * 100
    assert not Path("out").exists()
    manifest = Path("pipeline.yaml")
    manifest.write_text(manifest.read_text().replace("# steps: 40 ", "steps: 1 "))
    ran = command("run", "--executor", "inline")
    assert (ran.code, ran.err) == (0, ""), ran
    assert len(list(Path("out/images").glob("*/*.png"))) == 5


@pytest.mark.slow
def test_the_time_of_a_folder_with_splits_is_measured_too() -> None:
    birds("train", width=16, height=16)
    birds("val", width=16, height=16)
    draw("styles/wave.png", 7)
    ended = command("init")
    assert (ended.code, ended.err) == (0, "")
    assert re.search(r"^time: .* measured now on \d images?$", ended.out, re.MULTILINE)


@pytest.mark.slow
def test_a_time_that_cannot_be_measured_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    birds()
    draw("styles/wave.png", 7)
    Path("styles/wave.png").write_bytes(b"no image")
    ended = command("init")
    assert (ended.code, ended.err) == (0, "")
    assert "time: not known (styles/wave.png: no image: text" in ended.out

"""What `plan` prints: whole in a pipe and on a narrow terminal, with bytes, pairs and names."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.runs import COMMAND, Small, command, contents, run_process, small_project
from support.terminal import on_a_terminal, screen
from support.weights import draw_weights

from stylebatch.extractors.weights import NAMED_WEIGHTS
from stylebatch.manifest import load_manifest
from stylebatch.preview.disk_space import BLOCK_BYTES, RECORD_BYTES

PLANS = """
import contextlib, sys
from stylebatch.cli import main
sys.argv = ["stylebatch", "plan", sys.argv[1]]
with contextlib.suppress(SystemExit):
    main()
print("torch" in sys.modules)
"""
LONG = "a_folder_whose_name_is_as_long_as_some_that_people_really_have_on_their_disks"


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return small_project(tmp_path)


def plan(small: Small, *arguments: str) -> str:
    ended = command("plan", str(small.write()), *arguments)
    assert (ended.code, ended.err) == (0, "")
    return ended.out


def row_of(out: str, name: str) -> list[str]:
    """Return the cells of the line that begins with a name."""
    (line,) = (line for line in out.splitlines() if line.split("  ")[0].strip() == name)
    return re.split(r"  +", line.strip())


def test_nothing_is_cut_or_folded_in_a_pipe_however_long_paths_are(small: Small) -> None:
    (small.root / LONG).mkdir()
    folder = (small.root / "photos").rename(small.root / LONG / "photos")
    small.pair["content"] = f"{LONG}/photos"
    (folder / "cats/broken.png").write_bytes(b"no image")
    small.pair["output_size"] = 64
    small.write()
    environment = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run(
        [*COMMAND, "plan", str(small.manifest)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert row_of(done.stdout, "all")[-1] == f"{LONG}/photos"
    assert [
        line for line in lines if line.startswith("warning: all: 1 photograph can't be read")
    ] == ["warning: all: 1 photograph can't be read (cats/broken.png): it fails"]
    (enlarged,) = (line for line in lines if "enlarged" in line)
    assert enlarged.endswith("set output_size: work")
    assert "…" not in done.stdout


def test_a_narrow_terminal_shows_all_of_it(small: Small) -> None:
    small.document["output"] = f"{LONG}/out"
    for path in (small.root / "photos").rglob("*.png"):
        path.rename(path.with_stem(f"{path.stem}_{LONG}"))
    small.pair["output_size"] = 64
    small.write()
    code, written = on_a_terminal("plan", str(small.manifest), columns=40)
    assert code == 0
    # The terminal itself breaks the lines: what was written has them whole.
    shown = screen(written)
    assert any(f"cats/a_{LONG}.png" in line for line in shown)
    assert "…" not in written
    assert command("plan", str(small.manifest)).out.splitlines() == shown


def test_the_doctor_tells_the_whole_path_where_a_file_belongs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / LONG))
    monkeypatch.setenv("COLUMNS", "80")
    out = command("doctor").out
    (line,) = (line for line in out.splitlines() if "weights vgg19 imagenet" in line)
    assert re.search(rf" to {tmp_path}/{LONG}/hub/checkpoints/vgg19-\w+\.pth$", line)


def test_images_that_can_not_be_read_are_named_the_first_of_many(small: Small) -> None:
    for number in range(5):
        (small.root / f"photos/dogs/x{number}.png").write_bytes(b"no image")
    (small.root / "photos/dogs/x0.png").chmod(0)  # root reads it all the same: still no image
    text = "dogs/x0.png, dogs/x1.png, dogs/x2.png and 2 more"
    assert f"warning: all: 5 photographs can't be read ({text}): they fail\n" in plan(small)
    assert small.run("--quiet").code == 3
    assert f"5 photographs can't be read ({text})" in small.log()


def test_bytes_that_nobody_knows_are_told_as_such(small: Small) -> None:
    small.photo("../masks/other.png", 5)
    small.pair["masks"] = "masks"  # none for these: nothing can be tried
    assert plan(small).splitlines()[-1] == "4 images to make, bytes not known yet"


def test_bytes_are_told_of_each_pair_and_come_true(small: Small) -> None:
    small.photo("cats/wide.png", 3, 96, 64)
    small.document["pairs"].append({**small.pair, "name": "two", "into": "two", "output_size": 96})
    out = plan(small)
    told = {
        name: float(number) * {"kB": 1e3, "MB": 1e6}[unit]
        for name in ("all", "two")
        for number, unit in re.findall(r"about ([\d.]+) (kB|MB)", "  ".join(row_of(out, name)))
    }
    (number,) = re.findall(r"12 images to make, about ([\d.]+) kB", out)
    assert float(number) * 1e3 == pytest.approx(sum(told.values()), abs=100)
    assert command("run", str(small.manifest)).code == 0
    beside = 6 * (BLOCK_BYTES + RECORD_BYTES)
    for name, is_own in (("all", False), ("two", True)):
        made = [
            len(data)
            for tree in ("images", "losses")
            for path, data in contents(small.out / tree).items()
            if path.startswith("two/") == is_own
        ]
        assert told[name] - beside == pytest.approx(sum(made), rel=0.3)
    assert row_of(plan(small), "all")[-2:] == ["0", "photos"], "nothing to make takes nothing"


def test_sizes_are_told_with_the_pairs_that_have_them_and_no_hash(small: Small) -> None:
    small.photo("cats/wide.png", 3, 32, 16)
    small.pair["size_px"] = 32
    more = ({"name": name, "into": name, "strength": 0.5} for name in ("two", "three", "four"))
    small.document["pairs"] += [{**small.pair, **each} for each in more]
    small.document["pairs"].append({**small.pair, "name": "small", "into": "small", "size_px": 16})
    out = plan(small)
    assert row_of(out, "32×16") == [
        "32×16",
        "8",
        "as content, 0.00051 MP",
        "all, two, three and 1 more",
    ]
    assert re.search("^16×16 .* all, two, three and 1 more$", out, re.MULTILINE)
    assert re.search("^16×16 .* small$", out, re.MULTILINE), "its contents are larger in the mean"
    for key in load_manifest(small.manifest).all_settings():
        assert key not in out
        assert key in plan(small, "--jobs"), "programs are told"


def test_of_many_sizes_the_largest_are_told_and_how_many_more(small: Small) -> None:
    small.pair["size_px"] = 1024
    for number in range(1, 31):
        small.photo(f"many/{number:02}.png", number, 16 * number, 16)
    out = plan(small)
    assert "480×16" in out
    # 30 of them, as the two photographs that were there have one of these.
    assert row_of(out, "and 10 more sizes") == ["and 10 more sizes", str(2 * (10 + 2))]


def test_a_name_is_printed_as_it_is(small: Small) -> None:
    (small.root / "photos/:cat:[bold].png").write_bytes(b"no image")
    assert "(:cat:[bold].png)" in plan(small)


def test_jobs_are_told_in_whole_lines(small: Small) -> None:
    jobs = [json.loads(line) for line in plan(small, "--jobs").splitlines()]
    assert len(jobs) == 4


# What a run would be refused for


def pickled(small: Small, *layers: str) -> None:
    """Let the manifest's weights be a file that only torch can read."""
    torch.save(draw_weights(*layers), small.root / "w.pth")
    small.document["extractor"] = {"weights": "w.pth", "normalisation": "imagenet"}


def garbage(small: Small) -> None:
    pickled(small, "conv2_1")
    (small.root / "w.pth").write_bytes(b"no weights")


def absent_device(small: Small) -> None:
    small.document["run"]["devices"] = ["cuda:63"]


def damaged_set(small: Small) -> None:
    small.document["extractor"] = {"weights": "imagenet"}
    place = NAMED_WEIGHTS["vgg19", "imagenet"].place
    place.parent.mkdir(parents=True)
    place.write_bytes(b"cut short")


def all_of_it(small: Small) -> None:
    garbage(small)
    absent_device(small)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (garbage, ["w.pth: is no weights file that can be read safely"]),
        (lambda small: pickled(small, "conv1_1"), ["w.pth: does not have conv1_2, conv2_1"]),
        (absent_device, ["devices: no device 'cuda:63'"]),
        (damaged_set, ["is not VGG19_Weights.IMAGENET1K_V1: its sha256 starts with"]),
        (all_of_it, ["w.pth: is no weights file", "no device 'cuda:63'"]),
    ],
    ids=["garbage", "a layer too few", "an absent device", "a damaged set", "two at once"],
)
def test_a_plan_is_refused_for_what_a_run_would_be(
    small: Small,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Small], None],
    told: list[str],
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("torch")))
    spoil(small)
    path = str(small.write())
    refused = [command(*words, path) for words in (["run"], ["plan"], ["run", "--dry-run"])]
    assert refused[0] == refused[1] == refused[2]
    assert (refused[0].code, refused[0].out) == (2, "")
    assert len(refused[0].err.splitlines()) == len(told)
    for line, part in zip(refused[0].err.splitlines(), told, strict=True):
        assert part in line
    assert not small.out.exists()


def test_where_nothing_is_to_be_made_nothing_is_refused(small: Small) -> None:
    assert small.run("--quiet").code == 0
    absent_device(small)
    path = str(small.write())
    for words in (["run"], ["plan"], ["run", "--dry-run"]):
        assert command(*words, path).code == 0


def test_a_download_to_come_is_told_with_its_size(
    small: Small, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("torch")
    monkeypatch.setenv("TORCH_HOME", str(folder))
    small.document["extractor"] = {"weights": "imagenet"}
    named = NAMED_WEIGHTS["vgg19", "imagenet"]
    line = f"downloads first: {named.url} (548 MiB) to {named.place}\n"
    assert line in plan(small)
    assert line in command("run", "--dry-run", str(small.manifest)).out
    assert not contents(folder), "and nothing was downloaded"


def test_a_plan_brings_torch_only_for_what_it_alone_can_tell(small: Small) -> None:
    for devices, is_needed in (("auto", False), (["cpu"], False), (["cuda:63"], True)):
        small.document["run"]["devices"] = devices
        ended = run_process(PLANS, str(small.write()))
        assert ended.out.splitlines()[-1] == str(is_needed)

"""`stylebatch styles` on terminals and without one; several at once; disks that are full."""

import io
import json
import os
import re
import subprocess
from base64 import b64decode
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.libraries import Shelf, flip
from support.places import Disk, frozen
from support.runs import COMMAND, command, end, needs_proc, run_process, start, wait_until
from support.sixels import decode_sixel
from support.terminal import on_a_terminal

DA1 = "\x1b[c"
# Whatever the terminal is that these tests are started from.
NOWHERE = {
    **dict.fromkeys(("KITTY_WINDOW_ID", "TERM_PROGRAM", "TMUX", "NO_COLOR", "COLORTERM"), ""),
    "STYLEBATCH_NOTHING": "",
}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    shelf = Shelf(tmp_path_factory.mktemp("shelf"))
    shelf.export("s", "--note", "dots", "--licence", "CC0")
    shelf.bring("s", "--as", "wave")
    return shelf


def shown(
    shelf: Shelf,
    *arguments: str,
    answers: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
) -> str:
    code, written = on_a_terminal(
        *("styles", *arguments, "--cache", str(shelf.cache)),
        environment={**NOWHERE, **(variables or {})},
        answers=answers,
    )
    assert code == 0, written
    return written.replace("\r\n", "\n")


def style_pixels(shelf: Shelf) -> np.ndarray:
    with Image.open(shelf.root / "styles/s.png") as image:
        return np.asarray(image.convert("RGB"))


# --- the table


def test_without_a_terminal_it_is_a_table(shelf: Shelf) -> None:
    ended = command("styles", "list", "--cache", str(shelf.cache))
    assert ended.code == 0
    assert "\x1b" not in ended.out
    header, first, second, last = ended.out.splitlines()
    assert header.split() == ["style", "name", "sets", "size", "used", "sizes", "and", "source"]
    assert first.split()[:3] == ["library:wave", "wave", "1"]
    assert first.endswith("64 px; s.png")
    assert second.split()[1:3] == ["s", "1"]
    assert second.endswith(f"64 px; {shelf.root / 'styles/s.png'}")
    assert last.startswith(f"{shelf.cache}: 2 styles, ")


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"NO_COLOR": "1"}, {"TERM": "linux"}])
def test_a_terminal_that_can_not_shows_the_same_table(
    shelf: Shelf, variables: dict[str, str]
) -> None:
    written = shown(shelf, "list", variables=variables)
    assert "▀" not in written
    assert DA1 not in written
    assert "library:wave" in written


def test_programs_get_json(shelf: Shelf) -> None:
    ended = command("styles", "list", "--json", "--cache", str(shelf.cache))
    wave, cached = json.loads(ended.out)
    assert wave["style"] == "library:wave"
    assert (wave["kind"], wave["has_image"], wave["sizes_px"]) == ("library", True, [64])
    assert (wave["note"], wave["licence"]) == ("dots", "CC0")
    assert wave["bytes"] == shelf.place("wave").stat().st_size
    assert (cached["kind"], cached["name"], cached["digest"]) == ("cached", "s", wave["digest"])
    ended = command("styles", "show", "wave", "--json", "--cache", str(shelf.cache))
    (request,) = json.loads(ended.out)["requests"]
    assert (request["size_px"], request["device_kind"]) == (64, "cpu")


def test_an_empty_cache_says_what_fills_it(tmp_path: Path) -> None:
    ended = command("styles", "list", "--cache", str(tmp_path / "none"))
    assert ended.code == 0
    assert "no styles: `stylebatch styles warm`" in ended.out
    assert not (tmp_path / "none").exists()
    assert json.loads(command("styles", "list", "--json", "--cache", str(tmp_path)).out) == []


def test_show_tells_where_a_style_comes_from(shelf: Shelf) -> None:
    ended = command("styles", "show", "wave", "--cache", str(shelf.cache))
    facts = dict(line.split(None, 1) for line in ended.out.split("\n\n")[0].splitlines())
    assert facts["source"] == "s.png"
    assert facts["image"].startswith("16×16 px, ")
    assert (facts["note"], facts["licence"]) == ("dots", "CC0")
    assert "stylebatch" in facts["by"]
    assert "conv1_1" in ended.out.splitlines()[-1]
    ended = command("styles", "show", "s", "--cache", str(shelf.cache))
    assert f"{shelf.root / 'styles/s.png'}" in ended.out
    ended = command("styles", "show", "wawe", "--cache", str(shelf.cache))
    assert ended.code == 2
    assert "there are s, wave; did you mean 'wave'?" in ended.err


def test_two_of_one_name_are_told_apart(shelf: Shelf, tmp_path: Path) -> None:
    shelf.styles("import", str(shelf.files / "s.safetensors"), "--cache", str(shelf.cache))
    ended = command("styles", "show", "s", "--cache", str(shelf.cache))
    assert ended.code == 2
    assert re.search(r"2 styles of this name; they are library:s, [0-9a-f]{8}; name one", ended.err)
    command("styles", "prune", "library:s", "--cache", str(shelf.cache))
    assert not shelf.place("s").exists()


def test_what_is_broken_stands_in_the_list(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "styles").mkdir()
    (tmp_path / "styles/broken.safetensors").write_bytes(b"half of")
    (tmp_path / "grams").mkdir()
    (tmp_path / "grams/0123.safetensors").write_bytes(b"something old")
    for arguments in (["list"], ["list", "--thumbnails", "blocks"], ["show", "broken"]):
        ended = command("styles", *arguments, "--cache", str(tmp_path))
        assert ended.code == 0
        assert "no whole safetensors file" in ended.out
    assert "(of earlier versions)" in command("styles", "list", "--cache", str(tmp_path)).out


def test_what_a_file_tells_is_no_command_to_the_terminal(shelf: Shelf, tmp_path: Path) -> None:
    path = tmp_path / "evil.safetensors"
    evil = "\x1b]0;title\x07\x1b[2J"
    arguments = ("wave", "-o", str(path), "--note", evil, "--cache", str(shelf.cache))
    shelf.styles("export", *arguments)
    shelf.styles("import", str(path), "--cache", str(tmp_path))
    for asked in (["list", "--thumbnails", "blocks"], ["show", "wave"]):
        out = shelf.styles(*asked, "--cache", str(tmp_path)).out
        assert "]0;title" in out
        assert "\x1b]" not in out
        assert "\x1b[2J" not in out


# --- pictures


@pytest.mark.parametrize(
    "variables",
    [{"KITTY_WINDOW_ID": "1"}, {"TERM": "xterm-kitty"}, {"TERM_PROGRAM": "WezTerm"},
     {"TERM_PROGRAM": "ghostty"}],
)  # fmt: skip
def test_kitty_and_its_like_get_the_picture_itself(shelf: Shelf, variables: dict[str, str]) -> None:
    written = shown(shelf, "list", variables=variables)
    sent = re.findall(r"\x1b_G[^;]*;([^\x1b]*)\x1b\\", written)
    with Image.open(io.BytesIO(b64decode(sent[0]))) as image:
        assert np.array_equal(np.asarray(image), style_pixels(shelf))
    assert DA1 not in written
    assert "library:wave" in written


def test_a_terminal_that_says_it_knows_sixels_gets_some(shelf: Shelf) -> None:
    written = shown(shelf, "list", answers={DA1: "\x1b[?62;4;22c"})
    images = re.findall(r"\x1bP.*?\x1b\\", written, re.DOTALL)
    assert len(images) == 2
    seen, pixels = decode_sixel(images[0]), style_pixels(shelf)
    assert seen.shape == pixels.shape
    assert np.abs(seen - pixels).mean() < 6


@pytest.mark.parametrize("answers", [{}, {DA1: "\x1b[?62;22c"}, {DA1: "\x1b[?4;6c"}])
def test_others_get_half_blocks(shelf: Shelf, answers: dict[str, str]) -> None:
    written = shown(shelf, "list", answers=answers, variables={"COLORTERM": "truecolor"})
    lines = written.split("\n")
    first = next(line for line in lines if "▀" in line)
    assert first.endswith("  wave")
    assert len(re.findall("\x1b\\[38;2;", first)) == 16
    seen = re.findall(r"\x1b\[38;2;(\d+);(\d+);(\d+);48", first)
    # The style has 16 pixels too.
    assert [tuple(map(int, each)) for each in seen] == [tuple(p) for p in style_pixels(shelf)[0]]
    assert "38;5;" in shown(shelf, "list", answers=answers)


def test_within_tmux_no_pictures_of_kittys_are_sent(shelf: Shelf) -> None:
    written = shown(
        shelf,
        "list",
        variables={"KITTY_WINDOW_ID": "1", "TMUX": "/tmp/tmux", "COLORTERM": "truecolor"},
    )
    assert "\x1b_G" not in written
    assert "▀" in written


def test_a_way_that_is_asked_for_is_taken_anywhere(shelf: Shelf) -> None:
    for way, sign in (("kitty", "\x1b_G"), ("sixel", "\x1bP"), ("blocks", "▀")):
        ended = command("styles", "list", "--thumbnails", way, "--cache", str(shelf.cache))
        assert sign in ended.out
    assert "▀" not in shown(shelf, "list", "--thumbnails", "none")
    assert "▀" in command("styles", "show", "wave", "--thumbnails", "blocks", "--cache",
                          str(shelf.cache)).out  # fmt: skip


def test_the_terminal_is_left_as_it_was(shelf: Shelf) -> None:
    """What was asked, and how it is read, changes nothing for the shell that comes next."""
    code = (
        "import os, subprocess, sys, termios\n"
        "before = termios.tcgetattr(0)\n"
        "subprocess.run(sys.argv[1:], check=True)\n"
        "print('SAME' if termios.tcgetattr(0) == before else 'CHANGED')\n"
    )
    import pty

    ours, theirs = pty.openpty()
    arguments = [*COMMAND, "styles", "list", "--cache", str(shelf.cache)]
    python = COMMAND[0]
    process = subprocess.Popen(
        [python, "-c", code, *arguments], stdin=theirs, stdout=theirs, stderr=theirs,
        env={**os.environ, **NOWHERE, "TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(theirs)
    written = b""
    try:
        while data := os.read(ours, 65536):
            written += data
    except OSError:
        pass
    os.close(ours)
    process.wait()
    assert b"SAME" in written


# --- without torch


LIGHT = """
import contextlib, io, sys
from stylebatch.cli import main
cache, file, manifest = sys.argv[1:]
for arguments in (
    ["list"], ["list", "--json"], ["list", "--thumbnails", "blocks"], ["show", "wave"],
    ["prune", "--older-than", "1d", "--dry-run"], ["prune", "--unused-by", manifest, "--dry-run"],
    ["import", file, "--as", "another"], ["export", "wave", "-o", cache + "/x.safetensors"],
    ["prune", "another"],
):
    sys.argv = ["stylebatch", "styles", *arguments, "--cache", cache]
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as ending:
            assert not ending.code, arguments
sys.argv = ["stylebatch", "plan", manifest]
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main()
print(sorted({"torch", "torchvision"} & sys.modules.keys()))
"""


def test_what_only_looks_and_carries_does_without_torch(shelf: Shelf) -> None:
    shelf.export("t", "--without-image")
    shelf.bring("t", "--as", "bare")
    shelf.use("library:wave", "library:bare")
    arguments = (str(shelf.cache), str(shelf.files / "s.safetensors"), str(shelf.small.write()))
    ended = run_process(LIGHT, *arguments)
    assert (ended.code, ended.out) == (0, "[]\n"), ended
    shelf.use("styles")


# --- several at once


@pytest.fixture
def own(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.mark.slow
def test_two_warm_at_once_and_each_finds_all(own: Shelf) -> None:
    own.small.photo("cats/large.png", 4, 90, 90)
    own.small.pair["size_px"] = 90
    manifest = str(own.small.write())
    ended = [end(process) for process in [start("styles", "warm", manifest) for _ in range(3)]]
    assert [(each.code, each.err) for each in ended] == [(0, "")] * 3
    assert "0 sets of targets computed" in own.warm().out


@pytest.mark.slow
def test_of_several_imports_of_one_name_one_wins(own: Shelf) -> None:
    own.export()
    files = [str(own.files / f"{name}.safetensors") for name in "stst"]
    cache = ("--as", "wave", "--cache", str(own.cache))
    started = [start("styles", "import", path, *cache) for path in files]
    ended = [end(process) for process in started]
    there = own.place("wave").read_bytes()
    for path, each in zip(files, ended, strict=True):
        assert each.code == (0 if Path(path).read_bytes() == there else 2), each
    assert [each.name for each in own.place("wave").parent.iterdir()] == ["wave.safetensors"]


@needs_proc
@pytest.mark.slow
def test_a_run_goes_on_whatever_is_pruned_and_imported_beside_it(own: Shelf) -> None:
    small = own.small
    for number in range(12):
        small.photo(f"cats/{number}.png", number, 16 + 8 * number, 24)
    small.pair |= {"size_px": 128, "steps": 6}
    own.export()
    own.bring("s", "--as", "wave")
    own.use("library:wave", "styles/t.png")
    small.document["run"]["executor"] = "local"
    process = start("run", str(small.write()))
    wait_until(lambda: small.images() or process.poll() is not None, "images")
    for _ in range(10):
        own.styles("prune", "--max-bytes", "0", "--cache", str(own.cache))
        own.bring("s", "--as", "wave", "--replace")
    ended = end(process)
    assert ended.code == 0, ended
    made = small.images()
    small.out.rename(own.root / "before")
    small.document["run"]["executor"] = "inline"
    assert small.run().code == 0
    assert small.images() == made


@pytest.mark.slow
def test_another_image_under_the_name_in_mid_run_is_told(own: Shelf) -> None:
    """What was planned with is never mixed up with what has its name now."""
    from stylebatch.device.style_images import StyleError, StyleImages
    from stylebatch.records import StyleImage

    own.export()
    own.bring("s", "--as", "wave")
    images = StyleImages(own.root, own.cache)
    _, digest = images.take("library:wave")
    image = StyleImage("library:wave", 1.0, digest)
    assert images.read(image).pixels.shape == (16, 16, 3)
    own.bring("t", "--as", "wave", "--replace")
    with pytest.raises(StyleError, match="another style has its name since planning; run again"):
        images.read(image)


# --- disks


@pytest.fixture
def disk(own: Shelf) -> Iterator[Disk]:
    disk = Disk(own.root / "disk", 1024)
    own.small.document["run"]["cache"] = "disk/cache"
    own.small.write()
    yield disk
    disk.close()


def within(disk: Disk, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*disk.within, *COMMAND, *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_a_full_disk_says_how_far_it_came_and_keeps_that(own: Shelf, disk: Disk) -> None:
    own.small.photo("cats/large.png", 4, 90, 90)
    own.small.pair["size_px"] = 90
    manifest = str(own.small.write())
    disk.leave_free(20)
    ended = within(disk, "styles", "warm", manifest)
    assert ended.returncode == 5, ended
    found = re.search(
        r"can't be kept there \(No space left on device\): (\d) of 8 are", ended.stderr
    )
    assert found, ended
    assert "free some room" in ended.stderr
    kept = list((disk.seen / "cache/grams").iterdir())
    assert len(kept) == int(found[1]) > 0
    assert all(path.suffix == ".safetensors" and path.name[0] != "." for path in kept)
    (disk.seen / "ballast").unlink()
    ended = within(disk, "styles", "warm", manifest)
    assert ended.returncode == 0
    assert f"{8 - len(kept)} sets of targets computed, {len(kept)} were there" in ended.stdout


@pytest.mark.slow
def test_a_style_that_does_not_fit_leaves_nothing(own: Shelf, disk: Disk) -> None:
    own.small.document["run"]["cache"] = "cache"
    own.export()
    file = str(own.files / "s.safetensors")
    cache = str(own.root / "disk/cache")
    disk.leave_free(4)
    ended = within(disk, "styles", "import", file, "--cache", cache)
    assert ended.returncode == 5
    assert "s.safetensors: can't be written (No space left on device)" in ended.stderr
    assert list((disk.seen / "cache/styles").iterdir()) == []
    ended = within(
        disk, "styles", "export", "t", "--manifest", str(own.small.manifest), "-o", cache
    )
    assert ended.returncode == 5
    assert [path.name for path in (disk.seen / "cache").iterdir()] == ["styles"]
    (disk.seen / "ballast").unlink()
    ended = within(disk, "styles", "import", file, "--cache", cache)
    assert ended.returncode == 0


def test_a_cache_that_nobody_may_write_to_is_told(own: Shelf) -> None:
    own.export()
    own.bring("s")
    for path in (own.cache / "grams").iterdir():
        path.unlink()
    own.use("styles/t.png")
    with frozen(own.cache):
        assert "can't be kept there" in own.warm(code=5).err
        ended = own.bring("t", code=5)
        assert "t.safetensors: can't be written" in ended.err
        assert own.styles("list", "--cache", str(own.cache)).out
        ended = command("styles", "prune", "s", "--cache", str(own.cache))
        assert ended.code == 5
        assert "can't be removed" in ended.err
        # What is there is read.
        own.use("library:s")
        assert own.small.run().code == 0


def test_damage_is_told_by_what_reads_all(own: Shelf) -> None:
    own.export()
    flip(own.files / "s.safetensors", "thumbnail")
    ended = own.bring("s", code=2)
    assert "is damaged: its thumbnail" in ended.err

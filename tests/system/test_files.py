"""Files: walked, listed, digested, replaced in one step; against pathlib, b2sum's hash and os."""

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stylebatch.system import files, folders, listing

PNG = frozenset({".png"})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Folders in folders, other suffixes, names that start with a dot, and links."""
    for name in (
        *("b.png", "a.PNG", "c.txt", ".hidden.png", "sub/d.png", "sub/deep/e.png"),
        *("empty/no.txt", ".git/f.png", "none", "sub/.png"),
    ):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "tree/linked.png").symlink_to("b.png")
    (tmp_path / "tree/sub/round").symlink_to("..")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/g.png").write_bytes(b"g")
    (tmp_path / "tree/outside").symlink_to(tmp_path / "elsewhere")
    return tmp_path / "tree"


def test_a_walk_finds_what_a_plain_look_at_every_path_finds(tree: Path) -> None:
    wanted = {
        path.relative_to(tree).as_posix(): path.stat()
        for path in [*tree.rglob("*"), tree / "outside/g.png"]
        if path.is_file()
        and path.suffix.lower() == ".png"
        and not any(part.startswith(".") for part in path.relative_to(tree).parts)
    }
    found = dict(listing.walk_files(tree, PNG))
    stats = [stat for each in found.values() for stat in each]
    assert {stat.path: (stat.size, stat.mtime_ns) for stat in stats} == {
        path: (stat.st_size, stat.st_mtime_ns) for path, stat in wanted.items()
    }
    assert list(found) == ["", "outside", "sub", "sub/deep"]
    assert all(each == sorted(each) for each in found.values())
    assert set(found) == {path.rpartition("/")[0] for path in wanted}


def test_a_walk_counts_what_it_passes_over(tree: Path) -> None:
    walked = listing.Walked()
    list(listing.walk_files(tree, PNG, walked))
    assert walked.passed_over == {".txt": 2, "": 1}


def test_lists_of_one_folder_and_of_none(tree: Path) -> None:
    assert [stat.path for stat in listing.list_files(tree, PNG)] == ["a.PNG", "b.png", "linked.png"]
    assert sorted(listing.list_folders(tree)) == ["empty", "outside", "sub"]
    assert listing.list_sizes(tree / "sub") == {"d.png": 9, ".png": 8}
    for nothing in (tree / "absent", tree / "b.png"):
        assert listing.list_files(nothing, PNG) == []
        assert listing.list_folders(nothing) == []
        assert listing.list_sizes(nothing) == {}
        assert files.stat_file(nothing / "deeper") is None


def test_digests_are_those_that_b2sum_and_sha256sum_print(tmp_path: Path) -> None:
    data = os.urandom(300_000)
    path = tmp_path / "data"
    path.write_bytes(data)
    wanted = hashlib.blake2b(data, digest_size=16).hexdigest()
    assert files.digest_bytes(data) == files.digest_file(path) == wanted
    assert files.sha256_file(path) == hashlib.sha256(data).hexdigest()


def test_a_reader_never_sees_half_of_what_is_replaced(tmp_path: Path) -> None:
    path, sizes = tmp_path / "file", (10, 400_000)
    files.write_atomic(path, b"x" * sizes[0])
    seen: set[int] = set()
    is_over = threading.Event()

    def read() -> None:
        while not is_over.is_set():
            seen.add(len(path.read_bytes()))

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(60):
        files.write_atomic(path, b"x" * sizes[turn % 2])
    is_over.set()
    reader.join()
    assert seen <= set(sizes)
    assert os.listdir(tmp_path) == ["file"]


def test_what_fails_on_its_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write_atomic(path, b"old")

    def lines() -> Iterator[str]:
        yield "new"
        raise ValueError("the ledger says something strange")

    with pytest.raises(ValueError, match="strange"):
        files.write_lines_atomic(path, lines())
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_an_output_that_was_removed_does_not_come_back(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    acts: list[Callable[[], None]] = [
        lambda: files.write_atomic(gone / "a", b"", make_folders=False),
        lambda: files.write_synced(gone / "a", b"", make_folders=False),
        lambda: files.write_lines_atomic(gone / "a", []),
        lambda: files.make_folders_below(gone, gone / "b/c"),
    ]
    for act in acts:
        with pytest.raises(FileNotFoundError):
            act()
    assert not gone.exists()
    files.make_folders_below(tmp_path, gone / "b/c")
    assert (gone / "b/c").is_dir()


def test_what_killed_processes_left_of_a_file_is_swept_and_nothing_else(tmp_path: Path) -> None:
    left = [".run.json.1-ab.tmp", ".run.json.77.tmp"]
    kept = [
        "run.json",
        ".run.json",
        "run.json.1.tmp",
        ".other.json.1.tmp",
        "[x].1.tmp",
        ".[x].1.tmp",
    ]
    for name in [*left, *kept]:
        (tmp_path / name).touch()
    folders.sweep_unfinished(tmp_path / "run.json")
    assert sorted(os.listdir(tmp_path)) == sorted(kept)
    folders.sweep_unfinished(tmp_path / "[x]")
    assert sorted(os.listdir(tmp_path)) == sorted(kept[:-1])


def test_empty_folders_go_up_to_the_root_and_not_with_anything_in_them(tmp_path: Path) -> None:
    (tmp_path / "root/a/b/c").mkdir(parents=True)
    (tmp_path / "root/a/kept").touch()
    left = folders.remove_empty_folders(tmp_path / "root/a/b/c", tmp_path / "root")
    assert left == tmp_path / "root/a"
    assert os.listdir(tmp_path / "root/a") == ["kept"]
    (tmp_path / "root/a/kept").unlink()
    assert folders.remove_empty_folders(left, tmp_path / "root") == tmp_path / "root"
    assert (tmp_path / "root").is_dir()


def test_why_a_file_is_unreadable_is_said_in_the_systems_words(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    os.mkfifo(tmp_path / "pipe")
    assert files.why_unreadable(tmp_path / "there") is None
    assert files.why_unreadable(tmp_path) == "a folder"
    assert files.why_unreadable(tmp_path / "pipe") == "no regular file"
    assert files.why_unreadable(tmp_path / "absent") == os.strerror(2)


def test_the_cache_is_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STYLEBATCH_CACHE", str(tmp_path))
    assert files.default_cache_folder() == tmp_path
    monkeypatch.delenv("STYLEBATCH_CACHE")
    assert files.default_cache_folder().name == "stylebatch"


def test_a_folder_that_others_make_and_remove_meanwhile_is_no_error(tmp_path: Path) -> None:
    folder, ended = tmp_path / "shared", threading.Event()

    def come_and_go() -> None:
        while not ended.is_set():
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder)
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(folder)

    with ThreadPoolExecutor() as pool:
        other = pool.submit(come_and_go)
        try:
            for _ in range(20_000):
                files.make_folder(folder)
        finally:
            ended.set()
        other.result()


@pytest.mark.parametrize("taken", ["file", "broken link"])
def test_a_folder_where_something_else_is_says_so(tmp_path: Path, taken: str) -> None:
    path = tmp_path / "taken"
    if taken == "file":
        path.write_text("")
    else:
        path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        files.make_folder(path)


def test_links_to_where_the_system_tells_of_itself_are_not_followed(tree: Path) -> None:
    before = list(listing.walk_files(tree, frozenset({""})))
    for place in ("/dev", "/proc", "/sys"):
        (tree / place[1:]).symlink_to(place)
    assert list(listing.walk_files(tree, frozenset({""}))) == before
    _, inside = next(listing.walk_files(Path("/proc/self"), frozenset({""})))
    assert "status" in {found.path for found in inside}


@pytest.mark.parametrize("name", ["@eaDir", "__MACOSX", "lost+found", "#recycle"])
def test_folders_of_other_programs_are_passed_over(tree: Path, name: str) -> None:
    before, folders_before = list(listing.walk_files(tree, PNG)), listing.list_folders(tree)
    for folder in (tree / name / "SYNOPHOTO_THUMB_M.png", tree / "sub" / name):
        folder.mkdir(parents=True)
        (folder / "thumbnail.png").write_bytes(b"")
    assert list(listing.walk_files(tree, PNG)) == before
    assert listing.list_folders(tree) == folders_before

"""Inputs of a store against the same files on a disk: found in one order, by the same rules."""

from pathlib import Path

import pytest
from support.stores import BUCKET, Store

from stylebatch.pictures.images import IMAGE_SUFFIXES
from stylebatch.system import inputs
from stylebatch.system.inputs import StorePath
from stylebatch.system.listing import Walked
from stylebatch.system.reach import Reaches

URL = f"s3://{BUCKET}"
pytestmark = pytest.mark.slow
FILES = (
    *("b.jpg", "a.JPG", "a/z.png", "a/b/c.png", "a-b/d.png", "a b/e.png", "notes.txt", "ü/f.png"),
    *(".hidden.png", ".git/g.png", "@eaDir/h.png", "only/text.md", "deep/er/and/deeper/i.webp"),
    *("B/j.png", "0/k.png", "~/l.png", "50%/m#?.png", "a/.n.png", "a.png/o.png"),
)


@pytest.fixture
def both(tmp_path: Path, store: Store) -> tuple[Path, StorePath]:
    """A folder, and the same below a prefix."""
    for number, name in enumerate(FILES):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * number)
    store.put_folder(tmp_path, "deep/photos/")
    store.put("deep/photos-too/q.png", b"")
    return tmp_path, StorePath(f"{URL}/deep/photos")


def test_a_path_is_on_a_disk_but_for_a_url() -> None:
    assert inputs.at(Path("/m"), "photos/a") == Path("/m/photos/a")
    assert inputs.at(Path("/m"), "/x") == Path("/x")
    assert inputs.at(Path("/m"), "s3://b/x") == StorePath("s3://b/x")
    assert str(StorePath("s3://b/x") / "y/z.png") == "s3://b/x/y/z.png"
    assert StorePath("s3://b") / "" == StorePath("s3://b")
    assert inputs.normalised("./a//b/../c/") == "a/c"
    assert inputs.normalised("s3://b/a/") == "s3://b/a"
    assert inputs.normalised("s3://") == "s3://"


def test_a_prefix_is_walked_as_a_folder_is(both: tuple[Path, StorePath], store: Store) -> None:
    local, far = Walked(), Walked()
    on_disk = list(inputs.walk_files(both[0], IMAGE_SUFFIXES, local))
    stored = list(inputs.walk_files(both[1], IMAGE_SUFFIXES, far))
    assert [(folder, [(each.path, each.size) for each in found]) for folder, found in stored] == [
        (folder, [(each.path, each.size) for each in found]) for folder, found in on_disk
    ]
    assert all(each.etag for _, found in stored for each in found)
    assert (far.passed_over, far.barren) == (local.passed_over, local.barren)
    assert store.counts() == {"list": len({*map(_folder, FILES)} - _PASSED_OVER) + _BETWEEN}
    for path in ("", "a", "deep", "nowhere"):
        here, there = both[0] / path, both[1] / path
        assert inputs.list_folders(there) == sorted(inputs.list_folders(here))
        assert [each.path for each in inputs.list_files(there, IMAGE_SUFFIXES)] == [
            each.path for each in inputs.list_files(here, IMAGE_SUFFIXES)
        ]
        assert inputs.is_folder(there) == inputs.is_folder(here)
    for path in ("a.JPG", "a", "nowhere", "ü/f.png"):
        assert inputs.is_file(both[1] / path) == inputs.is_file(both[0] / path)


# Folders that no request is made for, and those with folders only, `deep` and what is below it.
_PASSED_OVER = {".git", "@eaDir"}
_BETWEEN = 3


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def test_files_of_a_prefix_are_read_in_the_order_asked(both: tuple[Path, StorePath]) -> None:
    names = ["m#?.png", "never.png"] * 20
    found = list(inputs.read_each(both[1] / "50%", names))
    assert found == [b"x" * FILES.index("50%/m#?.png"), None] * 20
    assert list(inputs.read_each(both[0] / "50%", names)) == found
    assert inputs.read(both[1] / "b.jpg") == inputs.read(both[0] / "b.jpg")


def test_a_prefix_with_nothing_below_can_not_be_walked(store: Store) -> None:
    with pytest.raises(FileNotFoundError, match="no object is below"):
        next(inputs.walk_files(StorePath(f"{URL}/nowhere"), IMAGE_SUFFIXES))


def test_an_inner_prefix_that_fails_is_noted_and_the_others_are_walked(
    both: tuple[Path, StorePath], store: Store
) -> None:
    store.fault("status", "prefix=deep%2Fphotos%2Fa%2F", times=None, status=403)
    walked = Walked()
    found = [folder for folder, _ in inputs.walk_files(both[1], IMAGE_SUFFIXES, walked)]
    assert walked.unreachable == {"a": "permission denied (403 AsAsked)"}
    assert "a-b" in found
    assert "a" not in found


def test_of_an_object_it_is_known_whether_it_was_removed(
    both: tuple[Path, StorePath], store: Store, tmp_path: Path
) -> None:
    reaches = Reaches(tmp_path)
    url = both[1].url
    assert reaches.of(f"{url}/a/z.png").is_there
    for gone in ("a/never.png", "nowhere/a.png"):
        assert not reaches.of(f"{url}/{gone}").is_there
        assert not reaches.of(f"{url}/{gone}").barrier
    before = store.counts()["list"]
    reaches.of(f"{url}/a/never-either.png")
    assert store.counts()["list"] == before


@pytest.mark.parametrize(("status", "reason"), [(403, "permission denied"), (503, "503")])
def test_what_can_not_be_listed_was_not_removed(
    both: tuple[Path, StorePath], store: Store, tmp_path: Path, status: int, reason: str
) -> None:
    store.fault("status", "list-type=2", times=None, status=status)
    found = Reaches(tmp_path).of(f"{both[1]}/a/never.png")
    assert found.barrier == f"{both[1]}/a"
    assert reason in found.reason
    assert not found.is_empty


def test_of_a_bucket_that_is_gone_nothing_was_removed(store: Store, tmp_path: Path) -> None:
    found = Reaches(tmp_path).of("s3://no-bucket/photos/a.png")
    assert (found.barrier, found.reason) == ("s3://no-bucket/photos", "no such bucket")

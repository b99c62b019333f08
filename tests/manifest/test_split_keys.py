"""Keys of splits and filters: what they resolve to, and every error with its line."""

from pathlib import Path

import pytest
from PIL import Image
from support.manifests import changed, load, messages, write_inputs

from stylebatch.manifest import Split

PHOTOS = (
    *("photos/ducks/x.jpg", "photos/geese/y.jpg", "photos/geese/deep/z.jpg"),
    *("split/train/ducks/a.jpg", "split/train/geese/a.jpg", "split/val/ducks/a.jpg"),
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_inputs(tmp_path)
    for path in PHOTOS:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / path)
    (tmp_path / "list.txt").write_text("ducks/x.jpg\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def with_keys(text: str, content: str = "photos") -> str:
    """Return the good manifest with lines in place of its line 12."""
    assert not text.startswith(" ")
    text = text.replace("\n", "\n    ")
    return changed("size_px: 128", text).replace("content: photos", f"content: {content}")


def split_of(text: str, content: str = "photos") -> Split:
    return load(with_keys(text, content)).pairs[0].split


@pytest.mark.usefixtures("root")
def test_what_a_split_resolves_to() -> None:
    assert split_of("steps: 3").kind == "none"
    found = split_of("steps: 3", "split")
    assert found == Split("folders", ("train", "val"), ("train",), is_found=True)
    assert split_of("split: auto", "split") == found
    assert split_of("split: none", "split").kind == "none"
    both = split_of("split: folders\nstylise: [val, train]", "split")
    assert both == Split("folders", ("train", "val"), ("val", "train"))
    ducks = split_of("split: folders\nstylise: [ducks]")
    assert ducks == Split("folders", ("ducks", "geese"), ("ducks",))
    lists = split_of("split: {lists: {Training: list.txt, b: map.csv}}")
    assert lists == Split("lists", ("Training", "b"), ("Training",), lists=("list.txt", "map.csv"))
    thirds = ", ".join(f"{name}: {1 / 3:.7f}" for name in ("train", "b", "c"))
    shares = split_of(f"split: {{shares: {{{thirds}}}}}")
    assert (shares.kind, shares.names, shares.stylised) == (
        "shares",
        ("train", "b", "c"),
        ("train",),
    )


@pytest.mark.usefixtures("root")
def test_defaults_hold_for_every_pair_that_does_not_say_otherwise() -> None:
    text = changed(
        "recipe: balanced", "split: {shares: {train: 0.5, val: 0.5}}\n  classes: [ducks]"
    )
    (pair,) = load(text).pairs
    assert (pair.split.kind, pair.selection.classes) == ("shares", ("ducks",))
    (pair,) = load(text.replace("size_px: 128", "split: none\n    classes: [geese]")).pairs
    assert (pair.split.kind, pair.selection.classes) == ("none", ("geese",))


PLACES = [
    (
        "split: folder",
        "12: pairs[0].split: found 'folder'; allowed is one of auto, folders, none or a mapping "
        "with lists, shares; did you mean 'folders'?",
    ),
    (
        "split: {}",
        "12: pairs[0].split: found neither lists nor shares; allowed is auto, folders, none, "
        "{lists: …} or {shares: …}; write one of them",
    ),
    (
        "split: {lists: {train: list.txt}, shares: {train: 1}}",
        "12: pairs[0].split: found both; allowed is auto, folders, none, {lists: …} or "
        "{shares: …}; write one of them",
    ),
    (
        "split: {shares: {train: 0.8, val: 0.1}}",
        "12: pairs[0].split.shares: the shares sum to 0.9; allowed is a sum of 1; change one of "
        "them",
    ),
    (
        "split:\n  shares:\n    train: 1\n    val: 0",
        "15: pairs[0].split.shares.val: found 0; allowed is a number above 0 to 1; change it",
    ),
    (
        "split:\n  shares:\n    train: 0.5\n    a/b: 0.5",
        "15: pairs[0].split.shares.a/b: 'a/b' holds a / or \\; allowed is a name without /, with "
        "no leading dot, up to 80 bytes; rename it",
    ),
    (
        "split:\n  shares:\n    train: 0.5\n    Train: 0.5",
        "15: pairs[0].split.shares.Train: 'Train' and 'train' are one folder where case is "
        "ignored; allowed is one; rename one of them",
    ),
    (
        "split:\n  lists:\n    train: list.txt\n    val: gone.txt",
        "15: pairs[0].split.lists.val: 'gone.txt' is no file that exists; allowed is a text file; "
        "correct the path (relative to the manifest)",
    ),
    (
        "split: {shares: {a: 0.5, b: 0.5}}",
        "9: pairs[0].stylise: no 'stylise', and no split is called train; allowed are a, b; "
        "add `stylise: [NAME]`",
    ),
    (
        "split: folders",
        "9: pairs[0].stylise: no 'stylise', and no split is called train; allowed are ducks, "
        "geese; add `stylise: [NAME]`",
    ),
    (
        "split: folders\nstylise: [geese, goose]",
        "13: pairs[0].stylise[1]: 'goose' is no split; allowed are ducks, geese; did you mean "
        "'geese'?",
    ),
    (
        "stylise: [train]",
        "12: pairs[0].stylise: nothing splits the pair; allowed is it with a split: folders, "
        "lists, shares, or train/ in the content; remove it, or add `split: …`",
    ),
    (
        "classes: [duck]",
        "12: pairs[0].classes[0]: 'duck' is no class of 'photos'; allowed are ducks, geese; did "
        "you mean 'ducks'?",
    ),
    (
        "include: ['*.jpg']",
        "12: pairs[0].include: nothing is left to stylise of 'photos'; allowed are globs that "
        "leave some image, matched with its path below content; correct it, as in **/*.jpg",
    ),
    (
        "include: ['**/*.jpg']\nexclude: ['ducks/**', 'geese/**']",
        "13: pairs[0].exclude: nothing is left to stylise of 'photos'; allowed are globs that "
        "leave some image, matched with its path below content; correct it, as in **/*.jpg",
    ),
    (
        "exclude: ['ducks/**']\nclasses: [ducks]",
        "13: pairs[0].classes: nothing is left to stylise of 'photos'; allowed are classes with "
        "images that no other key leaves out; correct it",
    ),
    (
        "max_images: 0",
        "12: pairs[0].max_images: found 0; allowed is a whole number from 1; change it",
    ),
    (
        "include: []",
        "12: pairs[0].include: found an empty list; allowed is a list of: text; change it",
    ),
]


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(("text", "message"), PLACES, ids=[text for text, _ in PLACES])
def test_each_error_has_its_line_what_is_allowed_and_what_to_do(text: str, message: str) -> None:
    assert messages(with_keys(text)) == [f"pipeline.yaml:{message}"]


@pytest.mark.usefixtures("root")
def test_filters_are_about_what_is_stylised() -> None:
    assert messages(with_keys("include: ['val/**']", "split")) == [
        "pipeline.yaml:12: pairs[0].include: nothing is left to stylise of 'split' in train; "
        "allowed are globs that leave some image, matched with its path below content; correct "
        "it, as in **/*.jpg"
    ]
    assert load(with_keys("include: ['train/ducks/*']", "split")).pairs
    assert messages(with_keys("classes: [train]", "split")) == [
        "pipeline.yaml:12: pairs[0].classes[0]: 'train' is no class of 'split'; allowed are "
        "ducks, geese; correct it"
    ]


@pytest.mark.usefixtures("root")
def test_after_a_split_that_is_wrong_nothing_else_is_guessed() -> None:
    (only,) = messages(with_keys("split: folds\nstylise: [train]\nclasses: [nothing]"))
    assert only.startswith("pipeline.yaml:12: pairs[0].split: found 'folds'")


def test_a_folder_without_folders_can_not_be_split_by_them(root: Path) -> None:
    Image.new("RGB", (4, 4)).save(root / "empty/x.png")
    (only,) = messages(with_keys("split: folders", "empty"))
    assert only.startswith("pipeline.yaml:12: pairs[0].split: 'empty' has no folders; ")

"""Pruning: what goes, by a slow version of the rule; and what a run does then."""

import json
import os
import random
import time
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save
from support.libraries import Shelf
from support.runs import command
from support.styles_computed import no_computing

from stylebatch.library.cached import Cached, Of, PruneRule

DAY_S = 86_400.0


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(tmp_path)
    shelf.warm()
    return shelf


def age(shelf: Shelf, days: float) -> None:
    for path in (shelf.cache / "grams").glob("*.saf*"):
        then = time.time() - days * DAY_S
        os.utime(path, (then, then))


def prune(shelf: Shelf, *arguments: str) -> str:
    ended = shelf.styles("prune", *arguments, "--cache", str(shelf.cache))
    return ended.out


def test_the_rule_is_that_of_a_slow_version() -> None:
    draw = random.Random(2)
    for _ in range(300):
        cached = [
            Cached(Path(f"{n}.safetensors"), draw.randrange(1, 9), -draw.randrange(9) * 1.0,
                   Of(digest=draw.choice("abc")))
            for n in range(draw.randrange(7))
        ]  # fmt: skip
        rule = PruneRule(
            digests=frozenset(draw.sample("abc", 2)) if draw.random() < 0.5 else None,
            older_than_s=draw.choice([0.0, 4.0]),
            needed=frozenset(str(n) for n in draw.sample(range(7), 3))
            if draw.random() < 0.5
            else None,
            max_bytes=draw.choice([None, 0, 10]),
        )
        assert [each.key for each in rule.choose(cached, 0.0)] == _slowly(cached, rule)


def _slowly(cached: list[Cached], rule: PruneRule) -> list[str]:
    """Say what goes: first what meets all that is asked, then the longest unused, one by one."""
    order = sorted(cached, key=lambda each: (each.used_s, each.key))
    only_size = (
        rule == replace(PruneRule(), max_bytes=rule.max_bytes) and rule.max_bytes is not None
    )
    gone = []
    for each in order:
        is_asked = rule.digests is None or each.of.digest in rule.digests
        is_old = -each.used_s >= rule.older_than_s
        is_needed = rule.needed is not None and each.key in rule.needed
        if is_asked and is_old and not is_needed and not only_size:
            gone.append(each.key)
    while rule.max_bytes is not None:
        left = [each for each in order if each.key not in gone]
        free = [each for each in left if rule.needed is None or each.key not in rule.needed]
        if sum(each.size for each in left) <= rule.max_bytes or not free:
            break
        gone.append(free[0].key)
    return gone


def test_what_was_not_used_for_long_goes(shelf: Shelf) -> None:
    age(shelf, 40)
    shelf.use("styles/s.png")
    with no_computing():
        assert shelf.small.run().code == 0  # it is used today
    before = set(shelf.grams())
    assert "1 set of cached targets would be removed" in prune(
        shelf, "--older-than", "30d", "--dry-run"
    )
    assert set(shelf.grams()) == before
    assert "1 set of cached targets removed" in prune(shelf, "--older-than", "30d")
    assert len(shelf.grams()) == 1
    listed = json.loads(shelf.styles("list", "--json", "--cache", str(shelf.cache)).out)
    assert [each["name"] for each in listed] == ["s"]
    # With the last of its targets a style's picture goes.
    assert len(list((shelf.cache / "thumbnails").iterdir())) == 1


def test_what_a_manifest_needs_stays(shelf: Shelf) -> None:
    kept = set(shelf.grams())
    shelf.small.photo("cats/large.png", 4, 90, 90)
    shelf.small.pair["size_px"] = 90
    shelf.warm()
    assert len(shelf.grams()) > len(kept)
    shelf.small.remove_photo("cats/large.png")
    ended = shelf.styles("prune", "--unused-by", str(shelf.small.write()))
    assert "removed" in ended.out
    assert set(shelf.grams()) == kept
    shelf.use("styles/t.png")
    shelf.styles("prune", "--unused-by", str(shelf.small.write()), "--older-than", "1d")
    assert set(shelf.grams()) == kept
    shelf.styles("prune", "--unused-by", str(shelf.small.write()))
    assert len(shelf.grams()) == 1
    with no_computing():
        assert shelf.small.run().code == 0


def test_the_longest_unused_go_first(shelf: Shelf) -> None:
    paths = sorted((shelf.cache / "grams").glob("*.saf*"))
    os.utime(paths[1], (1, 1))
    prune(shelf, "--max-bytes", f"{paths[0].stat().st_size}")
    assert set(shelf.grams()) == {paths[0].name}
    prune(shelf, "--max-bytes", "1GB")
    assert set(shelf.grams()) == {paths[0].name}


def test_styles_of_the_library_go_only_where_they_are_named(shelf: Shelf) -> None:
    shelf.export()
    shelf.bring("s", "--as", "wave")
    prune(shelf, "--max-bytes", "0")
    assert shelf.grams() == {}
    assert shelf.place("wave").exists()
    shelf.use("library:wave")
    arguments = ("library:wave", "--unused-by", str(shelf.small.write()))
    prune(shelf, *arguments)
    assert shelf.place("wave").exists()
    assert "and library:wave removed" in prune(shelf, "wave")
    assert not shelf.place("wave").exists()
    assert "no style 'wave'" in shelf.small.run().err


def test_a_name_prunes_that_style_only(shelf: Shelf) -> None:
    assert "1 set of cached targets removed" in prune(shelf, "s")
    listed = json.loads(shelf.styles("list", "--json", "--cache", str(shelf.cache)).out)
    assert [each["name"] for each in listed] == ["t"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "would remove all: say what"),
        (["--older-than", "soon"], "no duration such as"),
        (["--max-bytes", "much"], "no size such as 2GB"),
        (["nothing"], "no such style in the library or the cache; there are s, t"),
    ],
)
def test_what_would_prune_nothing_or_all_is_refused(
    shelf: Shelf, arguments: list[str], says: str
) -> None:
    before = shelf.grams()
    ended = command("styles", "prune", *arguments, "--cache", str(shelf.cache))
    assert ended.code == 2
    assert says in " ".join(ended.err.replace("│", " ").split())
    assert shelf.grams() == before


def test_targets_of_earlier_versions_are_told_by_warming_again(shelf: Shelf) -> None:
    for path in (shelf.cache / "grams").glob("*.saf*"):
        with safe_open(path, framework="np") as file:
            digest = {"blake2b": file.metadata()["blake2b"]}
        path.write_bytes(save(load_file(path), digest))
    for path in (shelf.cache / "thumbnails").iterdir():
        path.unlink()
    listed = json.loads(shelf.styles("list", "--json", "--cache", str(shelf.cache)).out)
    assert [(each["name"], each["sets"]) for each in listed] == [("", 2)]
    with no_computing():
        assert "0 sets of targets computed, 2 were there" in shelf.warm().out
    listed = json.loads(shelf.styles("list", "--json", "--cache", str(shelf.cache)).out)
    assert [(each["name"], each["sets"]) for each in listed] == [("s", 1), ("t", 1)]
    assert len(list((shelf.cache / "thumbnails").iterdir())) == 2

"""Counts and sizes in words, and that nobody writes a count without them."""

import re

import pytest
from support.paths import ROOT
from support.runs import Small, command

from stylebatch.system.words import counted, size_text

NOUNS = "attempts|columns|contents|evaluations|files|images|jobs|outputs|rows|shards|styles|targets"
# Never of one, by what stands around it.
NEVER_ONE = {
    "images/min",
    "evaluations/s",
    "is the name of {len(found)} styles",
    "one file for {len(contents)} contents",
    "({attempts + 1} attempts)",
    "{task.total:,} evaluations at most",
}


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 images"), (1, "1 image"), (2, "2 images"), (1234, "1,234 images")]
)
def test_one_is_not_several(count: int, text: str) -> None:
    assert counted(count, "image") == text
    verb = "is" if count == 1 else "are"
    assert counted(count, "image", "is", "are") == f"{text} {verb}"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (5, "5 bytes"),
        (2000, "1.95 KiB"),
        (52_428, "51.2 KiB"),
        (574_672_896, "548 MiB"),
        (1_041_000, "0.993 MiB"),
        (5 * 2**30, "5 GiB"),
    ],
)
def test_a_size_has_three_digits_and_a_unit_that_fits(size: int, text: str) -> None:
    assert size_text(size) == text


def test_every_count_in_a_message_minds_that_one_is_not_several() -> None:
    found = []
    for path in sorted((ROOT / "stylebatch").rglob("*.py")):
        for line in path.read_text(encoding="utf-8").splitlines():
            is_count = re.search(rf"\}} (?:{NOUNS})\b", line)
            if is_count and not any(known in line for known in NEVER_ONE):
                found.append(f"{path.name}: {line.strip()}")
    assert found == []


def test_a_project_of_one_image_is_told_so(small: Small) -> None:
    small.remove_photo("dogs/b.png")
    (small.root / "styles/t.png").unlink()
    last = command("plan", str(small.manifest)).out.splitlines()[-1]
    assert last.startswith("1 image to make, about ")
    assert small.run("--preview", "1").out.startswith("1 image on one sheet")
    assert re.search(r": 1 image made in [\d.]+ s, 1 of 1 is there\n", small.run().out)
    small.photo("cats/a.png", 9)
    told = command("plan", str(small.manifest)).out
    assert "1 image is of earlier settings: it stays until its successor is there" in told
    assert command("merge", str(small.out)).out.endswith("0 shards merged, 1 image is there\n")


def test_a_file_of_a_few_bytes_has_a_size_that_can_be_read(small: Small) -> None:
    (small.root / "w.safetensors").write_bytes(b"hello")
    last = command("weights", "list", str(small.root / "w.safetensors")).out.splitlines()[-1]
    assert "  5 bytes  " in last
    assert "e-0" not in last

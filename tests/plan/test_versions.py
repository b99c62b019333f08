"""What an image gets: `sample` with `variants`, `copies`, weights; and a plan that is replayed."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.projects import Project
from support.runs import Small, command, small_project

from stylebatch.manifest import Assign, load_manifest
from stylebatch.plan import PlanFile, plan_jobs, replay, resolve_styles

RANGE = {"strength": [0.5, 2]}


@pytest.fixture
def small(tmp_path: Path) -> Small:
    small = Small(tmp_path)
    for number in range(12):
        small.photo(f"{'cats' if number % 3 else 'dogs/old'}/{number}.png", number)
    for number, name in enumerate(("wave", "sky", "ink")):
        small.style(f"{name}.png", 100 + number)
    return small


def jobs_of(small: Small, *arguments: str) -> list[dict[str, Any]]:
    ended = command("plan", "--jobs", str(small.write()), *arguments)
    assert (ended.code, ended.err) == (0, "")
    return sorted(map(json.loads, ended.out.splitlines()), key=lambda job: job["output"])


def refused(small: Small, *arguments: str) -> str:
    ended = command("plan", str(small.write()), *arguments)
    assert (ended.code, ended.out) == (2, "")
    return ended.err


def versions(jobs: list[dict[str, Any]]) -> dict[str, list[tuple[str, int]]]:
    found: dict[str, list[tuple[str, int]]] = {}
    for job in jobs:
        found.setdefault(job["content"], []).append((Path(job["style"]).stem, job["variant"]))
    return {content: sorted(each) for content, each in found.items()}


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 9])
def test_copies_are_so_many_results_of_each_image_distinct_styles_first(
    small: Small, count: int
) -> None:
    small.pair |= {"copies": count} | RANGE
    found = versions(jobs_of(small))
    assert len(found) == 12
    for each in found.values():
        assert len(set(each)) == len(each) == count
        of_style = Counter(style for style, _ in each)
        # Distinct first: no style has two more than another, or a first one is still missing.
        assert len(of_style) == min(count, 3)
        assert max(of_style.values()) - min(of_style.values()) <= 1
        for style, number in of_style.items():
            assert [variant for name, variant in each if name == style] == [*range(1, number + 1)]
    in_all = Counter(style for each in found.values() for style, _ in each)
    assert max(in_all.values()) - min(in_all.values()) <= 1


def test_copies_up_to_the_styles_need_nothing_random(small: Small) -> None:
    small.pair["copies"] = 3
    assert len(jobs_of(small)) == 36
    small.pair["copies"] = 4
    assert (
        "pairs[0].copies: found 4, but more than one of a style would all be the same: nothing "
        "is drawn at random; allowed is the number of styles, unless strength is [LOW, HIGH] or "
        "the recipe starts from noise; write `strength: [LOW, HIGH]`, or lower it"
    ) in refused(small)


def test_copies_are_what_a_sample_of_as_many_draws(small: Small) -> None:
    small.pair["copies"] = 2
    by_copies = jobs_of(small)
    del small.pair["copies"]
    small.pair["assign"] = {"sample": 2}
    assert jobs_of(small) == by_copies


def test_a_sample_with_variants_is_so_many_of_each_style(small: Small) -> None:
    small.pair |= {"assign": {"sample": 2}, "variants": 3} | RANGE
    for each in versions(jobs_of(small)).values():
        assert sorted(Counter(style for style, _ in each).values()) == [3, 3]


@pytest.mark.parametrize("beside", [{"assign": {"sample": 1}}, {"variants": 2}])
def test_copies_beside_what_they_stand_for_are_refused(
    small: Small, beside: dict[str, Any]
) -> None:
    small.pair |= {"copies": 2} | beside | RANGE
    (key,) = beside
    assert (
        f"pairs[0].copies: found 'copies' and '{key}', which both say how many results an image "
        "has; allowed is copies, or assign with variants; remove one of them"
    ) in refused(small)


def test_what_a_pair_says_wins_over_defaults_that_say_it_otherwise(small: Small) -> None:
    small.document["defaults"] = {"assign": {"sample": 1}}
    small.pair["copies"] = 2
    assert len(jobs_of(small)) == 24
    small.document["defaults"] = {"copies": 3}
    small.pair |= {"assign": {"sample": 1}}
    del small.pair["copies"]
    assert len(jobs_of(small)) == 12


def test_weights_decide_how_often_a_style_is_drawn(small: Small) -> None:
    small.pair |= {"styles": ["styles", {"path": "styles/sky.png", "weight": 2}], "copies": 1}
    found = Counter(job["style"] for job in jobs_of(small))
    assert found == {"styles/sky.png": 6, "styles/wave.png": 3, "styles/ink.png": 3}
    blend = {"name": "dusk", "blend": {"styles/ink.png": 1, "styles/wave.png": 1}, "weight": 3}
    small.pair["styles"] = [{"path": "styles/w*.png", "weight": 1}, blend]
    found = Counter(job["style"] for job in jobs_of(small))
    assert found == {"styles/wave.png": 3, "blend:dusk": 9}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"assign": "all"}, "every image gets every style"),
        ({"assign": {"sample": 3}}, "every image gets every style"),
        ({"assign": {"map": "map.csv"}}, "the table says which style"),
        ({"assign": {"sample": 1, "draw": "hash"}}, "`draw: hash` takes none"),
        ({"copies": 3}, "every image gets every style"),
    ],
)
def test_a_weight_where_nothing_is_drawn_is_refused(
    small: Small, fields: dict[str, Any], why: str
) -> None:
    (small.root / "map.csv").write_text("content,style\n")
    small.pair |= {"styles": ["styles", {"path": "styles/sky.png", "weight": 2}]} | fields
    assert (
        f"pairs[0].styles[1].weight: found a weight, but {why}; allowed is where styles are drawn: "
        "assign: {sample: K} or copies: N, not of all; remove it, or draw"
    ) in refused(small)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"path": "styles/sky.png", "name": "x"}, "styles[0]: found 'path' and 'name'; allowed is"),
        ({"weight": 2}, "styles[0].name: no 'name'; allowed is text; add it, or a path"),
        ({"path": "styles/none.png"}, "styles[0].path: 'styles/none.png' is no file or folder"),
        ({"path": "styles", "weight": 0}, "styles[0].weight: found 0; allowed is a number above 0"),
    ],
)
def test_a_style_entry_that_says_too_much_or_too_little_is_refused(
    small: Small, entry: dict[str, Any], message: str
) -> None:
    small.pair |= {"styles": [entry], "copies": 1}
    assert message in refused(small)


def test_the_draw_by_hash_is_there_by_name_and_goes_on_unchanged(tmp_path: Path) -> None:
    """What it drew when it was the only one."""
    project = Project(tmp_path)
    styles = [project.style(f"{number}.jpg", number) for number in range(10)]
    for number in range(8):
        project.photo(f"photo{number}.jpg", number)
    pair = project.pair(styles, assign=Assign("sample", 1, draw="hash"))
    drawn = sorted((job.content, job.style) for job in project.jobs(pair).values())
    assert [int(style[7:-4]) for _, style in drawn] == [4, 4, 2, 6, 7, 2, 2, 4]


def test_a_class_is_drawn_as_one_though_it_has_sub_folders(tmp_path: Path) -> None:
    project = Project(tmp_path)
    for number in range(40):
        project.photo(f"cats/{'abcde'[number % 5]}/{number}.png", number)
    styles = [project.style(f"s{number}.png", number) for number in range(8)]
    jobs = project.jobs(project.pair(styles, assign=Assign("sample", 1))).values()
    assert set(Counter(job.style for job in jobs).values()) == {5}


# A plan that is written


def test_a_plan_is_replayed_exactly_whatever_has_come_since(small: Small) -> None:
    small.pair |= {"copies": 4} | RANGE
    written = small.root / "plan.csv"
    before = jobs_of(small, "--write", str(written))
    rows = list(csv.DictReader(written.read_text().splitlines()))
    assert list(rows[0]) == ["content", "style", "variant", "pair"]
    assert len(rows) == len(before) == 48
    assert jobs_of(small, "--plan", str(written)) == before
    small.photo("cats/0.png", 7)
    small.photo("cats/1.jpg", 8)  # beside 1.png: both would have their names with a hash
    small.photo("Cats/9.png", 9)  # a twin of cats: so would all in it
    small.photo("new/1.png", 10)
    small.style("new.png", 104)
    assert jobs_of(small) != before
    assert jobs_of(small, "--plan", str(written)) == before
    small.pair["assign"] = {"map": "plan.csv"}
    del small.pair["copies"]
    assert versions(jobs_of(small)) == versions(before)


def test_a_run_makes_what_a_plan_says_and_nothing_else(tmp_path: Path) -> None:
    small = small_project(tmp_path)
    small.pair["assign"] = {"sample": 1}
    written = tmp_path / "plan.csv"
    command("plan", str(small.write()), "--write", str(written))
    small.photo("cats/new.png", 50)
    assert command("run", "-q", str(small.write()), "--plan", str(written)).code == 0
    made = small.images().keys()
    assert not any("new" in path for path in made)
    assert len(made) == len(written.read_text().splitlines()) - 1
    assert command("run", "-q", str(small.write()), "--plan", str(written)).code == 0
    assert small.images().keys() == made


def test_a_plan_of_several_pairs_and_points_of_sweeps_is_replayed(small: Small) -> None:
    sweep = [{"style_weight": [1, 2]}]
    second = small.pair | {"name": "b", "into": "b", "assign": "all", "sweep": sweep}
    small.pair["assign"] = {"sample": 2}
    small.document["pairs"] = [small.pair, second]
    written = small.root / "plan.csv"
    before = jobs_of(small, "--write", str(written))
    assert len(before) == 12 * 2 + 12 * 3 * 2
    assert len(written.read_text().splitlines()) == 1 + 12 * 2 + 12 * 3
    small.style("new.png", 104)
    assert jobs_of(small, "--plan", str(written)) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("content,style\ncats/gone.png,sky\n", "plan.csv:2: 'cats/gone.png' is not there; put it"),
        ("content,style,variant\ncats/1.png,sky,2\n", "plan.csv:2: variant 2 would be the same as"),
        ("content,style,variant\ncats/1.png,sky,x\n", "plan.csv:2: 'x' is no variant; a whole"),
        ("content,style,variant\ncats/1.png,sky,0\n", "plan.csv:2: '0' is no variant; a whole"),
        ("content,style,pair\ncats/1.png,sky,al\n", "plan.csv:2: 'al' is no pair of the manifest"),
        ("content,style,extra\n", "plan.csv:1: the first line is 'content,style,extra'; content"),
        ("content,style\ncats/1.png,skye\n", "plan.csv:2: 'skye' is no style of this pair; did"),
        ("content,style,pair\ncats/1.png,sky\n", "plan.csv:2: 2 columns: 'cats/1.png,sky'; a con"),
    ],
)
def test_a_plan_with_an_error_says_in_which_line(small: Small, text: str, message: str) -> None:
    written = small.root / "plan.csv"
    written.write_text(text)
    assert message in refused(small, "--plan", str(written))


def test_a_plan_that_is_not_there_and_one_of_two_manifests_are_refused(small: Small) -> None:
    assert "none.csv: is no file that exists; allowed is a plan" in refused(
        small, "--plan", "none.csv"
    )
    other = small.root / "other.yaml"
    other.write_text(small.write().read_text().replace("output: out", "output: two"))
    for option in ("--plan", "--write"):
        ended = command("plan", str(small.manifest), str(other), option, str(small.root / "p.csv"))
        assert ended.code == 2
        assert "is of one manifest" in ended.err


def test_a_planned_pair_writes_paths_below_its_content(tmp_path: Path) -> None:
    """Also where the content folder is the manifest's own, or outside of it."""
    small = Small(tmp_path)
    small.photo("cats/a.png", 1)
    small.style("sky.png", 2)
    for content in ("photos", str(tmp_path / "photos"), "./photos/cats"):
        small.pair["content"] = content
        manifest = load_manifest(small.write())
        file = PlanFile(manifest)
        for planned in plan_jobs(manifest, _Nothing(), resolve_styles(manifest, _Nothing())):
            file.note(planned)
        file.write(tmp_path / "plan.csv")
        (row,) = csv.DictReader((tmp_path / "plan.csv").read_text().splitlines())
        assert row["content"] == ("a.png" if "cats" in content else "cats/a.png")
        again = plan_jobs(
            replay(manifest, tmp_path / "plan.csv"),
            _Nothing(),
            resolve_styles(manifest, _Nothing()),
        )
        assert sum(len(planned.jobs) for planned in again) == 1


class _Nothing:
    """Knows no file."""

    def known_files(self, folder: str, first: str, last: str) -> dict[str, Any]:
        return {}

    def remember_files(self, folder: str, known: object) -> None:
        pass

"""`--set`: a manifest with some keys otherwise is that manifest, messages included."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.runs import Small, command, small_project


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Small:
    monkeypatch.chdir(tmp_path)
    small = small_project(tmp_path)
    small.pair["name"] = "v1.0 birds"
    small.document["pairs"].append(deepcopy(small.pair) | {"name": "v1", "into": "v1"})
    small.write()
    return small


def planned(*arguments: str) -> list[dict[str, Any]]:
    ended = command("plan", "--jobs", *arguments)
    assert (ended.code, ended.err) == (0, ""), ended
    return [json.loads(line) for line in ended.out.splitlines()]


def written(small: Small, place: tuple[str | int, ...], value: object) -> list[dict[str, Any]]:
    """Plan a manifest in whose file a value stands."""
    document = yaml.safe_load(small.manifest.read_text())
    holder = document
    for part in place[:-1]:
        holder = holder.setdefault(part, {}) if isinstance(holder, dict) else holder[part]
    holder[place[-1]] = value
    other = small.root / "other.yaml"
    other.write_text(yaml.safe_dump(document))
    return planned(str(other))


CHANGES: list[tuple[str, tuple[str | int, ...], object]] = [
    ("pairs.0.steps=50", ("pairs", 0, "steps"), 50),
    ("pairs.v1.steps=50", ("pairs", 1, "steps"), 50),
    ("pairs.v1.0 birds.steps=50", ("pairs", 0, "steps"), 50),
    ("pairs.v1.override.tv_weight=1e-3", ("pairs", 1, "override", "tv_weight"), 0.001),
    ("pairs.0.override.color=content", ("pairs", 0, "override", "color"), "content"),
    ("pairs.0.strength=[0.5, 2]", ("pairs", 0, "strength"), [0.5, 2]),
    ("pairs.0.styles.0=styles/s.png", ("pairs", 0, "styles", 0), "styles/s.png"),
    ("pairs.0.assign={sample: 1}", ("pairs", 0, "assign"), {"sample": 1}),
    ("defaults.variants=1", ("defaults", "variants"), 1),
    ("defaults.into=a=b", ("defaults", "into"), "a=b"),
    ("seed=3", ("seed",), 3),
    ("run.precision=bfloat16", ("run", "precision"), "bfloat16"),
    ("pairs.0.steps=", ("pairs", 0, "steps"), None),
    ("pairs.0.size_px=~", ("pairs", 0, "size_px"), None),
]


@pytest.mark.parametrize(("change", "place", "value"), CHANGES, ids=[row[0] for row in CHANGES])
def test_a_set_key_is_as_if_it_stood_in_the_file(
    change: str, place: tuple[str | int, ...], value: object, small: Small
) -> None:
    before = small.manifest.read_bytes()
    assert planned("--set", change) == written(small, place, value)
    assert small.manifest.read_bytes() == before


def test_of_several_the_later_ones_win(small: Small) -> None:
    found = planned("--set", "pairs.0.steps=9", "--set", "seed=1", "--set", "pairs.0.steps=50")
    assert found == planned("--set", "seed=1", "--set", "pairs.0.steps=50")
    assert found != planned("--set", "seed=1", "--set", "pairs.0.steps=9")


def test_several_wrong_ones_are_told_at_once_with_what_is_wrong_in_the_file(small: Small) -> None:
    small.document["seed"] = "x"
    small.write()
    ended = command("plan", "--set", "pairs.0.stepz=1", "--set", "run.deadline=soon")
    assert (ended.code, ended.out) == (2, "")
    told = ended.err.splitlines()
    assert len(told) == 3
    assert any(line.startswith("stylebatch: pipeline.yaml:3: seed: found 'x'") for line in told)
    assert any(
        line.startswith(
            "stylebatch: --set pairs.0.stepz: unknown key 'stepz' (did you mean 'steps'"
        )
        for line in told
    )
    assert (
        "stylebatch: --set run.deadline: found 'soon'; allowed is a number above 0 or text like "
        "8h, 90m, 1h30m; change it" in told
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("pairs.0.steps", "--set pairs.0.steps: no KEY=VALUE; allowed is KEY=VALUE; as in"),
        ("=3", "--set =3: no KEY=VALUE"),
        ("pairs.2.steps=1", "'pairs' has no '2'; allowed is 0 to 1, or v1.0 birds, v1; correct it"),
        ("pairs.x.steps=1", "'pairs' has no 'x'; allowed is 0 to 1, or v1.0 birds, v1; correct it"),
        ("output.x=1", "'output' is no mapping, and has no 'x'; set output as a whole"),
        ("pairs.0.strength=[1", "'[1' is not YAML; allowed is a value as in a manifest"),
        ("pairs.0.override={a: 1, a: 2}", "'a' is written twice"),
        ("pairs.0.override.steps=0", "override.steps: found 0; allowed is a whole number from 1"),
        ("pairs.0.styles=[s, nonesuch]", "--set pairs.0.styles: [0]: 's' is no file"),
    ],
)
def test_what_can_not_be_set_is_exit_code_2_with_a_reason(
    change: str, told: str, small: Small
) -> None:
    ended = command("run", "--set", change)
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err
    assert not small.out.exists()


@pytest.mark.slow
def test_a_run_makes_anew_what_a_set_key_affects_and_status_follows_it(small: Small) -> None:
    assert command("run").code == 0
    before = small.identities()
    ended = command("run", "--set", "pairs.v1.steps=2", "--set", "run.executor=inline")
    assert (ended.code, ended.err) == (0, "")
    changed = {path for path, one in small.identities().items() if before[path] != one}
    assert changed == {path for path in before if path.startswith("v1/")}
    assert command("run", "--set", "output=elsewhere").code == 0
    assert "elsewhere" in command("status", "--set", "output=elsewhere").out
    ended = command("status", "out", "--set", "output=elsewhere")
    assert ended.code == 2
    assert "is of a manifest" in ended.err

"""`stylebatch judge`: the scores of files are those of the run, and what it says of them."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.runs import Ended, Small, command, small_project

pytestmark = pytest.mark.slow

SCORES = ("closed", "ssim", "saturation", "speckle")


def project(root: Path) -> Small:
    small = small_project(root)
    # Larger than the size at which they are made.
    small.photo("cats/a.png", 21, 48, 32)
    small.photo("dogs/b.png", 22, 48, 32)
    small.pair |= {"size_px": 32, "steps": 5, "output_size": "work"}
    return small


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Small:
    small = project(tmp_path_factory.mktemp("made"))
    assert small.run().code == 0
    return small


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return project(tmp_path)


def judge(small: Small, *arguments: str) -> Ended:
    return command("judge", str(small.write()), *arguments)


def table(small: Small) -> dict[str, dict[str, str]]:
    text = (small.out / "scores.csv").read_text(encoding="utf-8")
    return {row["file_name"]: row for row in csv.DictReader(text.splitlines())}


def differences(small: Small) -> dict[str, float]:
    """Return, by score, how far that of a file is from what was recorded, at most."""
    rows = table(small).values()
    return {
        name: max(abs(float(row[name]) - float(row[f"{name}_recorded"])) for row in rows)
        for name in SCORES
    }


def test_scores_of_files_are_those_that_were_recorded(made: Small) -> None:
    ended = judge(made)
    assert ended.code == 0, ended
    rows, recorded = table(made), made.metadata()
    assert {path.removeprefix("images/") for path in rows} == recorded.keys()
    for path, row in recorded.items():
        told = rows[f"images/{path}"]
        assert {name: float(told[f"{name}_recorded"]) for name in SCORES} == {
            name: row[name] for name in SCORES
        }
        assert (told["pair"], told["label"], told["style"]) == ("all", row["label"], row["style"])
    found = differences(made)
    # Of pixels in 8 bits, as recorded; the style distance is of what was rounded to them.
    assert found.pop("closed") < 0.01
    assert set(found.values()) == {0.0}


@pytest.mark.parametrize(
    ("fields", "bounds"),
    [
        # Enlarged by a half, and brought back: fine colour is lost on the way.
        ({"output_size": "content"}, {"closed": 0.1, "ssim": 0.02, "saturation": 0.01}),
        ({"format": {"jpeg": {"quality": 95}}}, {"closed": 0.1, "ssim": 0.02, "saturation": 0.02}),
        ({"masks": "masks"}, {"closed": 0.01, "ssim": 0.01, "saturation": 0.01}),
    ],
    ids=["enlarged", "jpeg", "masked"],
)
def test_other_sizes_formats_and_masks_are_judged_nearly_so(
    fields: dict[str, Any], bounds: dict[str, float], small: Small
) -> None:
    small.pair |= fields
    for path in ("cats/a.png", "dogs/b.png"):
        mask = np.zeros((32, 48), np.uint8)
        mask[:, 20:] = 255
        (small.root / "masks" / path).parent.mkdir(parents=True)
        Image.fromarray(mask).save(small.root / "masks" / path)
    assert small.run().code == 0
    assert judge(small).code == 0
    found = differences(small)
    assert {name: found[name] for name in bounds if found[name] > bounds[name]} == {}


def test_a_cut_file_is_compared_with_that_part_of_the_photograph(small: Small) -> None:
    small.pair["output_size"] = [32, 32]
    assert small.run().code == 0
    assert judge(small).code == 0
    for row in table(small).values():
        assert float(row["ssim"]) > 0.8
        assert 0 < float(row["closed"]) < 1


@pytest.mark.parametrize("start", [{"start": "noise"}, {"levels": 2}], ids=["noise", "coarse"])
def test_what_was_closed_is_known_from_noise_and_from_a_coarser_level(
    small: Small, start: dict[str, Any]
) -> None:
    small.pair["override"] |= start
    assert small.run().code == 0
    assert judge(small).code == 0
    for row in table(small).values():
        assert float(row["closed"]) < 1
        assert float(row["closed_recorded"]) == pytest.approx(float(row["closed"]), abs=0.02)


def test_the_table_tells_medians_and_the_worst_tenth_of_each_style(made: Small) -> None:
    ended = judge(made, "--json", "--worst", "1")
    told = json.loads(ended.out)
    rows = list(table(made).values())
    assert (told["images"], told["outside"], told["unjudged"]) == (4, 0, {})
    assert [each["style"] for each in told["styles"]] == ["styles/s.png", "styles/t.png", "all"]
    for each in told["styles"]:
        of_style = [row for row in rows if each["style"] in ("all", row["style"])]
        assert each["images"] == len(of_style)
        for name, share in {"closed": 0.1, "ssim": 0.1, "speckle": 0.9}.items():
            values = [float(row[name]) for row in of_style]
            assert each[name]["median"] == pytest.approx(np.median(values), abs=1e-4)
            wanted = np.quantile(values, share)
            assert each[name]["worst_tenth"] == pytest.approx(wanted, abs=1e-4)
    least = min(rows, key=lambda row: float(row["closed"]))
    assert [each["file_name"] for each in told["worst"]] == [least["file_name"]]
    shown = judge(made, "--worst", "1").out.splitlines()
    assert shown[0].split()[:3] == ["images", "closed", "worst"]
    assert shown[4].startswith(least["file_name"].removeprefix("images/"))
    assert shown[-1] == f"{made.out / 'scores.csv'}: 4 images judged"


def test_it_ends_with_3_where_images_lie_outside(made: Small, tmp_path: Path) -> None:
    closed = sorted(row["closed"] for row in made.metadata().values())
    made.pair["accept"] = {"closed": [(closed[0] + closed[1]) / 2, None]}
    try:
        ended = judge(made)
        outside = sorted(row["outside"] for row in table(made).values())
        other = judge(made, "--arch", "slim")
    finally:
        del made.pair["accept"]
    assert ended.code == 3
    assert ended.out.endswith("4 images judged, 1 outside `accept`\n")
    assert outside == ["", "", "", "closed"]
    # What another network calls closed is not compared with it.
    assert (other.code, other.out.endswith("4 images judged\n")) == (0, True)
    assert judge(made, "--scores", str(tmp_path / "own.csv")).code == 0
    assert (tmp_path / "own.csv").read_text().count("\n") == 5


def test_another_network_sees_other_distances_and_the_same_pixels(made: Small) -> None:
    assert judge(made).code == 0
    own = table(made)
    assert judge(made, "--arch", "slim").code == 0
    other = table(made)
    for path, row in own.items():
        assert [row[name] for name in SCORES[1:]] == [other[path][name] for name in SCORES[1:]]
        assert row["closed"] != other[path]["closed"]
    assert judge(made, "--weights", "random").code == 2


def test_an_output_knows_its_manifest(made: Small) -> None:
    assert command("judge", str(made.out)).code == 0
    made.manifest.rename(made.root / "moved.yaml")
    try:
        ended = command("judge", str(made.out))
        assert ended.code == 2
        assert "its last run's manifest is not there" in ended.err
        assert "name the manifest instead of the output" in ended.err
    finally:
        (made.root / "moved.yaml").rename(made.manifest)


def test_an_output_knows_its_manifest_from_anywhere(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.write()
    monkeypatch.chdir(small.root)
    assert command("run", "pipeline.yaml").code == 0
    assert small.summary()["manifest"] == "pipeline.yaml"
    assert small.summary()["manifest_path"] == str(small.manifest)
    other = small_project(tmp_path / "other")
    other.write()
    for folder in (tmp_path, other.root):
        monkeypatch.chdir(folder)
        ended = command("judge", str(small.out))
        assert (ended.code, ended.out.endswith("4 images judged\n")) == (0, True), ended
    # A merge that is given none keeps it.
    assert command("merge", str(small.out)).code == 0
    assert small.summary()["manifest"] == "pipeline.yaml"
    assert command("judge", str(small.out)).code == 0
    # Another project's manifest, which is where that of an older summary would be looked for.
    told = small.summary()
    del told["manifest_path"]
    (small.out / "run.json").write_text(json.dumps(told))
    ended = command("judge", str(small.out))
    assert ended.code == 2
    assert "its last run's manifest, pipeline.yaml, is of another output" in ended.err


def test_shards_alone_know_their_manifest(small: Small) -> None:
    assert small.run("--shard", "0/1").code == 0
    assert command("judge", str(small.out)).code == 0
    assert command("merge", str(small.out)).code == 0
    assert command("judge", str(small.out)).code == 0


def test_colour_transfers_are_measured_beside_another_network(small: Small) -> None:
    plain = {key: small.pair[key] for key in ("content", "styles")}
    accept = {"ssim": [-1, None]}
    pair = plain | {"name": "plain", "into": "plain", "recipe": "color-transfer", "accept": accept}
    small.document["pairs"].append(pair)
    assert small.run().code == 0
    ended = judge(small, "--arch", "slim")
    assert ended.code == 0, ended
    rows = [row for row in table(small).values() if row["pair"] == "plain"]
    assert len(rows) == 4
    for row in rows:
        assert [row[name] for name in SCORES] == [row[f"{name}_recorded"] for name in SCORES]


def test_it_needs_no_device_of_the_manifest_s(small: Small) -> None:
    assert small.run().code == 0
    small.document["run"]["devices"] = ["cuda:77"]
    ended = judge(small, "--device", "cpu")
    assert ended.code == 0, ended
    assert judge(small, "--device", "cuda:77").code == 2


def test_what_can_t_be_judged_is_counted_with_its_reason(small: Small) -> None:
    assert small.run().code == 0
    small.photo("cats/a.png", 99, 48, 32)
    (small.out / "images/dogs/b-s.png").unlink()
    small.style("t.png", 77)
    ended = judge(small)
    assert ended.code == 0
    told = [line for line in ended.out.splitlines() if line.startswith("not judged: ")]
    assert len(told) == 3
    assert "2 images: made with a style that the manifest no longer has" in ended.out
    assert "this image has changed since planning" in ended.out
    assert ended.out.endswith("0 images judged\n")
    small.pair["steps"] = 6
    assert "4 images: made with settings that the manifest no longer has" in judge(small).out


def test_a_place_that_can_t_be_written_is_refused_first(made: Small) -> None:
    ended = judge(made, "--scores", str(made.manifest / "scores.csv"))
    assert ended.code == 2
    assert "can't be written" in ended.err

"""What stands in a report, against the records, the loss logs and the files themselves."""

import base64
import csv
import io
import json
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from support.outputs import COLUMNS, SETTINGS, Parsed, Written, size_of

from stylebatch.output.loss_table import encode_table
from stylebatch.report import ReportError, curves, figures, maker, records
from stylebatch.report.thumbnails import EDGE_PX
from stylebatch.transfer.problem import Row


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path)


def decoded(data: dict[str, Any], part: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the images of columns as rows again."""
    rows = []
    for at, name in enumerate(part["file"]):
        row: dict[str, Any] = {"file_name": f"images/{name}"}
        row["content"] = part["contents"][part["content_of"][at]]
        for key, values in data["names"].items():
            number = part[key][at]
            row[key] = None if number < 0 else values[number]
        for key in ("strength", "variant", "evaluations", "seconds", "retries", "closed", "ssim"):
            row[key] = part[key][at] if part[key] else None
        losses = [part[f"loss_{term}"] for term in ("total", "content", "style", "tv")]
        row["losses"] = [column[at] if column else None for column in losses]
        row["accepted"] = part["accepted"][at]
        rows.append(row)
    return rows


def told(row: dict[str, Any]) -> dict[str, Any]:
    """Return a line of the metadata as `decoded` gives it."""
    keys = [*("file_name", "content", "pair", "label", "split", "kind", "style", "status")]
    keys += ["device", "settings_id", "strength", "variant", "evaluations", "seconds", "retries"]
    found = {key: row[key] for key in keys} | {key: row.get(key) for key in ("closed", "ssim")}
    losses = row["losses"] or {}
    found["losses"] = [losses.get(term) for term in ("total", "content", "style", "tv")]
    found["accepted"] = None if row["accepted"] is None else int(row["accepted"])
    if row["kind"] == "original":
        found["status"] = "original"
    return found


def test_every_image_of_the_metadata_is_there_with_all_that_is_told_of_it(written: Written) -> None:
    written.many(120)
    made = written.report()
    data = written.data()
    (part,) = data["images"]
    assert decoded(data, part) == [told(row) for row in written.rows]
    assert (made.num_images, made.num_in_all, made.num_missing) == (120, 120, 0)


def test_all_is_in_one_file_up_to_some_hundreds(written: Written) -> None:
    written.many(30)
    written.report()
    data = written.data()
    (part,) = data["images"]
    keys = {*part["thumbnail"], *part["content_thumbnails"], *data["style_thumbnails"].values()}
    assert keys == data["inline"].keys()
    for row, key in zip(written.rows, part["thumbnail"], strict=True):
        kind, _, text = data["inline"][key].partition(",")
        assert kind == "data:image/webp;base64"
        with Image.open(io.BytesIO(base64.b64decode(text))) as image:
            assert image.size == size_of(written.out / row["file_name"])
    assert data["image_scripts"] == data["curve_scripts"] == []
    assert list((written.out / "report/data").iterdir()) == []
    # And nothing else is asked for: no address anywhere but links that a reader may follow.
    assert {tag for tag, name, _ in Parsed(written.page).attributes if name == "src"} == set()


def test_beyond_that_thumbnails_and_data_lie_beside_it(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maker, "MOST_IN_ONE", 10)
    monkeypatch.setattr(maker, "IMAGES_PER_SCRIPT", 16)
    monkeypatch.setattr(maker, "CURVES_PER_SCRIPT", 7)
    written.many(60)
    written.image("large.png", "photos/large.png", None)
    (written.out / "images/large.png").unlink()
    chance = np.random.default_rng(0).integers(0, 256, (400, 500, 3), dtype=np.uint8)
    Image.fromarray(chance).save(written.out / "images/large.png")
    written.report()
    data = written.data()
    assert data["inline"] == data["curves"] == {}
    assert data["images"] == []
    parts = [brought(written, path, "images", n) for n, path in enumerate(data["image_scripts"])]
    assert [len(part["file"]) for part in parts] == [16, 16, 16, 13]
    rows = [row for part in parts for row in decoded(data, part)]
    assert [row["file_name"] for row in rows] == [row["file_name"] for row in written.rows]
    # What is small stands for itself.
    keys = [key for part in parts for key in part["thumbnail"]]
    assert keys[:-1] == [""] * 60
    thumbnail = written.out / "report/thumbnails" / keys[-1][:2] / f"{keys[-1]}.webp"
    assert size_of(thumbnail) == (EDGE_PX, round(EDGE_PX * 400 / 500))
    known: dict[str, Any] = {}
    for number, path in enumerate(data["curve_scripts"]):
        known |= brought(written, path, "curves", number) if path else {}
    optimised = [row for row in written.rows[:-1] if row["losses"]]
    assert [f"images/{name}" for name in known] == [row["file_name"] for row in optimised]
    # A script that the next page no longer names is gone.
    written.rows = written.rows[:20]
    written.report()
    names = {path.name for path in (written.out / "report/data").iterdir()}
    data = written.data()
    scripts = [*data["image_scripts"], *filter(None, data["curve_scripts"])]
    assert names == {path.removeprefix("data/") for path in scripts}


def brought(written: Written, path: str, kind: str, number: int) -> dict[str, Any]:
    """Return what a script beside the page brings."""
    text = (written.out / "report" / path).read_text(encoding="utf-8").strip()
    head = f"stylebatchReport.take('{kind}',{number},"
    assert text.startswith(head)
    assert text.endswith(")")
    found: dict[str, Any] = json.loads(text[len(head) : -1])
    return found


def test_of_very_many_images_a_part_is_shown_and_it_says_so(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MOST_IMAGES", 60)
    written.many(180)
    made = written.report()
    assert made.num_in_all == 180
    assert 40 <= made.num_images <= 80
    assert f"Of 180 images this page shows {made.num_images}" in Parsed(written.page).text


# Loss logs


def log_text(rows: list[tuple[float, ...]]) -> str:
    return "\n".join([COLUMNS, *(",".join(f"{value:.9g}" for value in row) for row in rows)]) + "\n"


def test_a_curve_has_the_points_that_the_optimiser_went_on_from(written: Written) -> None:
    chance = np.random.default_rng(1)
    rows = [
        (at, at // 4, *chance.lognormal(0, 3, 4), float(at % 5 != 2), at / 7) for at in range(1, 31)
    ]
    written.image("a.png", "photos/a.png", None)
    path = written.log("a.png", log_text(rows))
    written.report()
    curve = written.data()["curves"]["a.png"]
    with path.open(newline="") as file:
        kept = [row for row in csv.DictReader(file) if row["accepted"] == "1"]
    assert curve["at"] == [int(row["evaluation"]) for row in kept]
    for term in ("total", "content", "style", "tv"):
        assert curve[term] == [float(f"{float(row[term]):.4g}") for row in kept]
    levels = [int(row["level"]) for row in kept]
    assert curve["levels"] == [n for n in range(1, len(kept)) if levels[n] != levels[n - 1]]


def test_a_long_log_is_thinned_evenly_and_keeps_its_ends() -> None:
    log = np.array([(at, 0, at, 1, 1, 1, 1, 0) for at in range(1, 1001)], dtype=float)
    curve = curves.thin(log)
    assert curve is not None
    assert len(curve["at"]) == curves.MOST_POINTS
    assert (curve["at"][0], curve["at"][-1]) == (1, 1000)
    steps = np.diff(curve["at"])
    assert steps.max() - steps.min() <= 1


@pytest.mark.parametrize(
    "text",
    [
        *("", COLUMNS, f"{COLUMNS}\n", f"{COLUMNS}\n1,0,1,1,1,1,1\n", f"{COLUMNS}\nx\n"),
        *("a,b\n1,2\n", f"{COLUMNS}\n1,0,1,1,1,1,0,0\n"),
    ],
)
def test_a_log_that_is_damaged_or_empty_gives_no_curve(written: Written, text: str) -> None:
    written.image("a.png", "photos/a.png", None)
    written.log("a.png", text)
    written.report()
    data = written.data()
    assert data["curves"] == {}
    assert data["images"][0]["log"] == [0]


def test_losses_that_are_no_numbers_leave_gaps() -> None:
    log = np.array([(1, 0, np.nan, 0, np.inf, -2.00049, 1, 0)])
    curve = curves.thin(log)
    assert curve is not None
    assert (curve["total"], curve["content"], curve["style"]) == ([None], [0.0], [None])
    assert curve["tv"] == [-2.0]


def test_losses_in_tables_are_those_of_the_file_that_the_metadata_name(written: Written) -> None:
    pytest.importorskip("pyarrow")

    def rows(scale: float) -> list[Row]:
        return [Row(at, 0, scale / at, 1.0, 2.0, 3.0, at != 2, 0.5) for at in range(1, 6)]

    (written.out / "losses").mkdir(parents=True)
    for name, scale in (("old.parquet", 100.0), ("new.parquet", 8.0)):
        logs = [("a.png", rows(scale)), ("b.png", rows(2 * scale))]
        (written.out / "losses" / name).write_bytes(encode_table(name, logs))
    written.image("a.png", "photos/a.png", None, loss_log="new.parquet")
    written.image("b.png", "photos/a.png", None, loss_log="old.parquet")
    written.image("c.png", "photos/a.png", None, loss_log="gone.parquet")
    written.report()
    found = written.data()["curves"]
    assert found["a.png"]["total"] == [float(f"{8 / at:.4g}") for at in (1, 3, 4, 5)]
    assert found["b.png"]["total"] == [float(f"{200 / at:.4g}") for at in (1, 3, 4, 5)]
    assert found.keys() == {"a.png", "b.png"}
    assert written.data()["images"][0]["log"] == [2, 2, 0]


def test_of_very_many_images_the_first_have_curves_and_the_others_their_logs(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "MOST_CURVES", 10)
    written.many(20)
    written.report()
    data = written.data()
    optimised = [row["losses"] is not None for row in written.rows]
    logs = data["images"][0]["log"]
    assert [kind > 0 for kind in logs] == optimised
    assert [kind for kind in logs if kind] == [1] * 10 + [3] * 8
    assert len(data["curves"]) == 10


def test_curves_of_a_pair_together_are_medians_of_their_last_points() -> None:
    rows = [{"file_name": f"images/{n}.png", "pair": "p"} for n in range(5)]
    found: dict[str, dict[str, list[Any]]] = {
        f"{n}.png": {
            "at": list(range(1, 5 + n)),
            **{term: [10.0 * (n + 1) / at for at in range(1, 5 + n)] for term in curves.TERMS},
            "levels": [],
        }
        for n in range(5)
    }
    (together,) = curves.together(rows, found)
    # Half of them have ended at 6.
    assert together["at"] == [1, 2, 3, 4, 5, 6]
    for place, at in enumerate(together["at"]):
        values = [found[f"{n}.png"]["total"][min(at, 4 + n) - 1] for n in range(5)]
        assert together["total"][place] == float(f"{statistics.median(values):.4g}")
        assert together["low"][place] == min(values)
        assert together["high"][place] == max(values)


# Figures


def test_histograms_and_styles_are_counts_and_medians_of_the_metadata(written: Written) -> None:
    written.many(150)
    written.report()
    data = written.data()
    assert [each["score"] for each in data["histograms"]] == ["closed", "ssim"]
    for each in data["histograms"]:
        values = [row[each["score"]] for row in written.rows if row.get(each["score"]) is not None]
        assert sum(each["counts"]) == len(values)
        assert each["median"] == statistics.median(values)
        edges = np.linspace(each["low"], each["high"], len(each["counts"]) + 1)
        found, _ = np.histogram(values, edges)
        # Values on an edge may fall on either side of it.
        assert np.abs(np.array(each["counts"]) - found).max() <= 1
    for each in data["by_style"]:
        rows = [row for row in written.rows if row["style"] == each["style"]]
        assert each["images"] == len(rows)
        assert each["loss"] == statistics.median(row["losses"]["total"] for row in rows)
        assert each["seconds"] == statistics.median(row["seconds"] for row in rows)
    of_devices = Counter(row["device"] for row in written.rows if row["device"])
    assert {each["device"]: each["images"] for each in data["by_device"]} == of_devices


def test_images_over_time_by_device_leave_long_pauses_out() -> None:
    first = [(1000.0 + n * 7, "a") for n in range(300)]
    second = [(90_000.0 + n * 3, "b" if n % 3 else "a") for n in range(300)]
    found = figures.throughput([*second, *first])
    assert found["devices"] == ["a", "b"]
    assert [round(each["end"]) for each in found["sessions"]] == [1000 + 299 * 7, 90_000 + 299 * 3]
    for session, rows in zip(found["sessions"], (first, second), strict=True):
        for device, counts in zip(found["devices"], session["counts"], strict=True):
            for bucket, count in enumerate(counts):
                start = session["start"] + bucket * found["width_s"]
                inside = [at for at, of in rows if of == device]
                inside = [at for at in inside if start <= at < start + found["width_s"]]
                assert count == len(inside)
        assert sum(map(sum, session["counts"])) == len(rows)


def test_of_many_nights_the_last_are_drawn() -> None:
    nights = [(day * 86_400.0 + n, "a") for day in range(30) for n in range(5)]
    found = figures.throughput(nights)
    assert len(found["sessions"]) == figures.MOST_SESSIONS
    assert found["left_out"] == (30 - figures.MOST_SESSIONS) * 5
    assert figures.throughput([])["sessions"] == []


def test_failures_are_grouped_by_what_went_wrong_and_not_by_whom() -> None:
    def failure(n: int, reason: str) -> dict[str, Any]:
        return {"file_name": f"images/{n}.png", "content": f"p{n}.png", "reason": reason}

    rows = [failure(n, f"p{n}.png: no image") for n in range(3)]
    rows += [failure(n, f"rejected: ssim 0.{n}; allowed is ssim 0.9") for n in range(3, 8)]
    found = figures.reasons(rows)
    assert [(each["reason"], len(each["rows"])) for each in found] == [
        ("rejected: allowed is ssim 0.9", 5),
        ("no image", 3),
    ]
    assert [row["found"] for row in found[0]["rows"]] == [f"ssim 0.{n}" for n in range(3, 8)]


# Thumbnails


def thumbnails(written: Written) -> dict[str, tuple[int, int]]:
    """Return what tells each thumbnail's file from one that replaces it."""
    stats = {path.name: path.stat() for path in (written.out / "report/thumbnails").rglob("*.webp")}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


def test_only_what_changed_gets_another_thumbnail(written: Written) -> None:
    written.many(12)
    written.report()
    before = thumbnails(written)
    written.report()
    assert thumbnails(written) == before
    path = written.out / written.rows[4]["file_name"]
    Image.new("RGB", (48, 32), "red").save(path)
    written.report()
    after = thumbnails(written)
    assert len(after) == len(before)
    assert len(before.items() - after.items()) == len(after.items() - before.items()) == 1
    key = written.data()["images"][0]["thumbnail"][4]
    with Image.open(written.out / "report/thumbnails" / key[:2] / f"{key}.webp") as image:
        red, green, _ = image.convert("RGB").resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
    assert red > 200
    assert green < 60


def test_an_output_that_is_moved_keeps_its_thumbnails(written: Written, tmp_path: Path) -> None:
    written.many(6)
    written.report()
    before = thumbnails(written)
    (tmp_path / "there").mkdir()
    for name in ("out", "photos", "styles"):
        (tmp_path / name).rename(tmp_path / "there" / name)
    moved = Written(tmp_path / "there")
    moved.rows = written.rows
    # The manifest's folder is there, and the photographs are not: it is looked for beside the run.
    moved.run["manifest_path"] = str(tmp_path / "nowhere" / "pipeline.yaml")
    made = moved.report()
    assert made.num_missing == 0
    assert thumbnails(moved) == before


def test_a_photograph_is_shown_upright(written: Written) -> None:
    written.image("a.png", "photos/a.jpg", None)
    picture = Image.new("RGB", (600, 400), "white")
    picture.paste("blue", (0, 0, 300, 400))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(written.root / "photos/a.jpg", exif=exif, quality=95)
    written.report()
    key = written.data()["images"][0]["content_thumbnails"][0]
    upright = ImageOps.exif_transpose(Image.open(written.root / "photos/a.jpg"))
    upright.thumbnail((EDGE_PX, EDGE_PX))
    with Image.open(written.out / "report/thumbnails" / key[:2] / f"{key}.webp") as image:
        assert image.size == upright.size
        difference = np.abs(np.asarray(image, dtype=float) - np.asarray(upright, dtype=float))
    assert difference.mean() < 4


def test_what_no_browser_shows_has_a_thumbnail_and_what_nobody_reads_has_none(
    written: Written,
) -> None:
    deep = Image.fromarray((np.arange(64 * 48, dtype=np.uint16) * 20).reshape(48, 64))
    (written.root / "photos").mkdir(parents=True)
    deep.save(written.root / "photos/deep.tif")
    (written.root / "photos/broken.jpg").write_bytes(b"no image")
    written.image("a.png", "photos/deep.tif", None)
    written.image("b.png", "photos/broken.jpg", None)
    written.image("c.png", "photos/gone.png", "styles/gone.png")
    (written.root / "photos/gone.png").unlink()
    (written.root / "styles/gone.png").unlink()
    (written.out / "images/c.png").unlink()
    made = written.report()
    data = written.data()
    deep_key, broken, gone = data["images"][0]["content_thumbnails"]
    assert deep_key in data["inline"]
    assert broken is gone is None
    assert data["style_thumbnails"] == {"styles/gone.png": None}
    assert data["images"][0]["thumbnail"][2] is data["images"][0]["finished"][2] is None
    assert made.num_missing == 2


# What is not there, and what is not ours


def test_an_output_with_nothing_in_it_has_a_report(written: Written) -> None:
    made = written.report()
    text = Parsed(written.page).text
    assert made.num_images == 0
    assert "No pictures yet." in text
    assert "0 images" in text
    for name in ("run.json", "settings.json", "failures.jsonl", "metadata.jsonl"):
        (written.out / name).unlink()
    from stylebatch.report import make_report

    make_report(written.dataset)
    assert "No run has come to its end" in Parsed(written.page).text


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_a_report_of_somebody_elses_is_not_touched(written: Written, kind: str) -> None:
    written.write()
    place = written.out / "report"
    if kind == "file":
        place.write_text("mine")
    else:
        target = place if kind == "folder" else written.root / "elsewhere"
        target.mkdir()
        (target / "index.html").write_text("mine")
        if kind == "link":
            place.symlink_to(target)
    with pytest.raises(ReportError, match=r"stylebatch did not make it.*move it away"):
        written.report()
    told = place if kind == "file" else place / "index.html"
    assert told.read_text() == "mine"
    assert kind == "file" or [path.name for path in place.iterdir()] == ["index.html"]


def test_an_empty_folder_is_taken_and_what_is_unfinished_is_made_again(written: Written) -> None:
    (written.out / "report").mkdir(parents=True)
    written.many(3)
    written.report()
    written.page.unlink()  # as if the first had been killed
    written.report()
    assert written.page.exists()


# Everything escaped

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    '" onmouseover="alert(3)" x=\'',
    "a&amp;b &lt;i&gt; <!-- <script",
    "line\nbreak\u2028and\u2029tab\t",
    "😀 naïve ‮esrever",
    "{{ 7 * 7 }} {% raw %} ${1+1} `x`",
    "]]> \\u003cscript\\u003e",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_and_reasons_stay_texts(written: Written, name: str) -> None:
    path = name.replace("/", "∕")
    written.image(f"{path}/{path}.png", f"photos/{path}.png", f"styles/{path}.png", label=path)
    written.rows[0] |= {"pair": name, "split": name, "device": name, "status": name}
    written.settings = {SETTINGS: {"recipe": {"title": name, name: [name]}, "versions": {}}}
    written.failures = [
        {"file_name": f"images/{path}.png", "content": path, "pair": name, "reason": name},
        {"annotation": name, "kind": "voc", "pair": name, "content": None, "reason": name},
    ]
    written.run |= {
        "warnings": [name],
        "passed_over": {name: {name: 2}},
        "unreachable": {name: name},
        "manifest": name,
        "error": name,
        "annotations": {name: {name: {"results": 1}}},
    }
    written.report()
    parsed = Parsed(written.page)
    # The same elements as of a plain name: nothing in it begins one, ends one, or has a handler.
    plain = Written(written.root / "plain")
    plain.image("a/a.png", "photos/a.png", "styles/a.png", label="a")
    plain.rows[0] |= {"split": "s", "device": "d", "status": "t"}
    plain.settings = {SETTINGS: {"recipe": {"title": "t", "n": ["n"]}, "versions": {}}}
    plain.failures = [{**row, "reason": "r"} for row in written.failures]
    plain.run |= {key: written.run[key] for key in ("warnings", "passed_over", "unreachable")}
    plain.run |= {"warnings": ["w"], "passed_over": {"p": {"s": 2}}, "unreachable": {"u": "r"}}
    plain.run |= {"error": "e", "annotations": {"p": {"k": {"results": 1}}}}
    plain.report()
    assert parsed.tags == Parsed(plain.page).tags
    assert not [each for each in parsed.attributes if each[1].startswith("on")]
    assert parsed.scripts[""] == Parsed(plain.page).scripts[""]
    # And it is all there.
    data = written.data()
    assert data["names"]["label"] == [path]
    assert data["names"]["pair"] == [name]
    assert data["images"][0]["file"] == [f"{path}/{path}.png"]
    said = " ".join(name.split())
    assert parsed.text.count(said) >= 6
    page = written.page.read_text(encoding="utf-8")
    assert "\u2028" not in page.partition("report-data")[2]


def test_names_that_are_no_text_are_linked_by_their_bytes(written: Written) -> None:
    raw = b"caf\xe9.png"
    written.image("a.png", "photos/b.png", None)
    try:
        (written.root / "photos/b.png").rename(
            Path(str(written.root), "photos", raw.decode("utf-8", "surrogateescape"))
        )
    except OSError:
        pytest.skip("this file system takes names of UTF-8 only")
    written.rows[0]["content"] = "photos/caf\\xe9.png"
    made = written.report()
    assert made.num_missing == 0
    assert written.data()["links"] == {"photos/caf\\xe9.png": "../../photos/caf%E9.png"}

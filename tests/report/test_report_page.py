"""The report's page in a real browser: filters, sorting, the slider, keys, and who can use it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.browser import Tab, find_axe
from support.outputs import Written

from stylebatch.report import maker
from stylebatch.report.writing import SCRIPTS

pytestmark = pytest.mark.slow

PER_PAGE = 60
NUM_IMAGES = 150
Row = dict[str, Any]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    written = Written(tmp_path_factory.mktemp("report"))
    written.many(NUM_IMAGES)
    written.failures = [
        {"file_name": "images/x.png", "content": "x.png", "pair": "all", "reason": "no image"}
    ]
    written.report()
    return written


@pytest.fixture
def tab(browser: Any, written: Written) -> Iterator[Tab]:
    tab = Tab(browser, written.page)
    yield tab
    tab.close()


def names(rows: list[Row]) -> list[str]:
    return [row["file_name"].removeprefix("images/") for row in rows]


def all_shown(tab: Tab) -> list[str]:
    """Return the images of all pages, turned one after another."""
    found = tab.shown()
    while tab.page.is_visible("#page-after") and tab.page.is_enabled("#page-after"):
        tab.page.click("#page-after")
        found += tab.shown()
    return found


def test_all_images_are_there_page_by_page(tab: Tab, written: Written) -> None:
    assert tab.text("#hits") == f"{NUM_IMAGES} pictures"
    assert len(tab.shown()) == PER_PAGE
    assert all_shown(tab) == names(written.rows)
    tab.page.select_option("#page", "1")
    assert tab.shown() == names(written.rows)[:PER_PAGE]


FILTERS: dict[str, tuple[dict[str, str], Callable[[Row], bool]]] = {
    "style": ({"style": "styles/x"}, lambda row: False),
    "class": ({"label": "owls"}, lambda row: row["label"] == "owls"),
    "split": ({"split": "val"}, lambda row: row["split"] == "val"),
    "status": ({"status": "converged"}, lambda row: row["status"] == "converged"),
    "originals": ({"status": "original"}, lambda row: row["kind"] == "original"),
    "below": ({"status": "below the thresholds"}, lambda row: row["accepted"] is False),
    "device": ({"device": "cuda:1"}, lambda row: row["device"] == "cuda:1"),
    "no style": ({"style": "-"}, lambda row: row["style"] is None),
    "two": (
        {"label": "cats", "split": "train"},
        lambda row: row["label"] == "cats" and row["split"] == "train",
    ),
    "score": (
        {"score": "ssim", "least": "0.25", "most": "0.5"},
        lambda row: row.get("ssim") is not None and 0.25 <= row["ssim"] <= 0.5,
    ),
    "loss": (
        {"score": "loss_total", "most": "1"},
        lambda row: row["losses"] is not None and row["losses"]["total"] <= 1,
    ),
    "words": (
        {"q": "OWLS wave"},
        lambda row: "owls" in row["file_name"] and "wave" in (row["style"] or row["file_name"]),
    ),
}
FILTERS["style"] = (
    {"style": "blend:dusk"},
    lambda row: row["style"] == "blend:dusk",
)


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_shows_what_the_metadata_say(tab: Tab, written: Written, name: str) -> None:
    chosen, holds = FILTERS[name]
    if {"score", "device"} & chosen.keys():
        tab.page.click("#more-filters summary")
    for key, value in chosen.items():
        (tab.fill if key in ("least", "most", "q") else tab.choose)(key, value)
    expected = names([row for row in written.rows if holds(row)])
    assert 0 < len(expected) < NUM_IMAGES
    assert all_shown(tab) == expected
    assert tab.text("#hits") == f"{len(expected)} of {NUM_IMAGES} pictures"
    tab.page.click("#reset")
    assert tab.text("#hits") == f"{NUM_IMAGES} pictures"


def test_what_matches_nothing_is_said(tab: Tab) -> None:
    tab.fill("q", "no such thing")
    assert tab.shown() == []
    assert tab.text("#none") == "No picture matches these filters."
    assert tab.text("#hits") == f"0 of {NUM_IMAGES} pictures"


@pytest.mark.parametrize("order", ["up", "down"])
@pytest.mark.parametrize("key", ["loss_total", "seconds", "closed", "strength", "finished", "name"])
def test_sorting_is_pythons_and_what_has_no_value_comes_last(
    tab: Tab, written: Written, key: str, order: str
) -> None:
    def value(row: Row) -> Any:
        if key == "finished":
            return (written.out / row["file_name"]).stat().st_mtime
        if key == "loss_total":
            return (row["losses"] or {}).get("total")
        if key == "name":
            return row["file_name"]
        return row.get(key)

    tab.choose("sort", key)
    tab.choose("order", order)
    rows, sign = written.rows, 1 if order == "up" else -1
    if key == "name":
        expected = rows[::sign]
    else:
        known = [row for row in rows if value(row) is not None]
        known.sort(key=lambda row: sign * value(row))
        expected = known + [row for row in rows if value(row) is None]
    assert all_shown(tab) == names(expected)


def test_the_address_brings_the_same_choice_back(browser: Any, tab: Tab, written: Written) -> None:
    tab.choose("label", "dogs")
    tab.choose("sort", "loss_total")
    tab.choose("order", "down")
    shown = tab.shown()
    fragment = tab.ask("location.hash")
    other = Tab(browser, written.page, fragment)
    assert other.shown() == shown
    other.page.click("#cards > li:nth-child(3) .trio")
    fragment = other.ask("location.hash")
    other.close()
    third = Tab(browser, written.page, fragment)
    assert third.page.is_visible("#detail")
    assert third.ask("document.getElementById('stage-result').src").endswith(shown[2])
    third.close()
    # What is not known is passed over.
    fourth = Tab(browser, written.page, "#label=wolves&sort=magic&page=-3&image=gone&score=x")
    assert fourth.shown() == names(written.rows)[:PER_PAGE]
    fourth.close()


# One picture


def clip(tab: Tab) -> str:
    return str(tab.ask("getComputedStyle(document.getElementById('stage-result')).clipPath"))


def test_the_slider_moves_from_photograph_to_result(tab: Tab, written: Written) -> None:
    tab.page.click("#cards > li:nth-child(1) .trio")
    assert clip(tab) == "inset(0px 0px 0px 50%)"
    tab.page.focus("#slider")
    for _ in range(10):
        tab.page.keyboard.press("ArrowRight")
    assert clip(tab) == "inset(0px 0px 0px 60%)"
    tab.page.keyboard.press("Home")
    assert clip(tab) == "inset(0px 0px 0px 0%)"
    assert tab.page.get_attribute("#slider", "aria-valuetext") == "0 % photograph, 100 % result"
    box = tab.page.locator("#stage").bounding_box()
    tab.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 20)
    tab.page.mouse.up()
    assert clip(tab) in ("inset(0px 0px 0px 25%)", "inset(0px 0px 0px 24%)")
    # Both are there, at full size and in the same place.
    sizes = tab.ask(
        "[...document.querySelectorAll('#stage img')].map((image) => "
        "[image.naturalWidth, image.naturalHeight, image.getBoundingClientRect().x])"
    )
    with Image.open(written.out / written.rows[0]["file_name"]) as image:
        assert sizes[0][:2] == sizes[1][:2] == list(image.size)
    assert sizes[0][2] == sizes[1][2]


def test_what_is_seen_left_of_the_line_is_the_photograph(browser: Any, tmp_path: Path) -> None:
    written = Written(tmp_path)
    written.image("a.png", "photos/a.png", "styles/s.png")
    Image.new("RGB", (300, 200), (255, 0, 0)).save(written.out / "images/a.png")
    Image.new("RGB", (600, 400), (0, 0, 255)).save(written.root / "photos/a.png")
    written.report()
    tab = Tab(browser, written.page)
    tab.page.click(".trio")
    tab.page.wait_for_timeout(200)
    box = tab.page.locator("#stage").bounding_box()
    (tmp_path / "shot.png").write_bytes(tab.page.screenshot(clip=box))
    with Image.open(tmp_path / "shot.png") as shot:
        width, height = shot.size
        assert abs(width / height - 1.5) < 0.02
        left = shot.getpixel((width // 4, height // 2))[:3]  # type: ignore[index]
        right = shot.getpixel((width * 3 // 4, height // 2))[:3]  # type: ignore[index]
    assert (left, right) == ((0, 0, 255), (255, 0, 0))
    tab.close()


def test_keys_lead_through_the_pictures_and_out(tab: Tab, written: Written) -> None:
    tab.choose("label", "cats")
    shown = all_shown(tab)
    tab.page.select_option("#page", "1") if len(shown) > PER_PAGE else None

    def current() -> str:
        return str(tab.ask("new URLSearchParams(location.hash.slice(1)).get('image')"))

    tab.page.focus("#cards > li:nth-child(2) .trio")
    tab.page.keyboard.press("Enter")
    assert tab.page.is_visible("#detail")
    assert current() == shown[1]
    tab.page.keyboard.press("ArrowRight")
    assert current() == shown[2]
    for _ in range(3):
        tab.page.keyboard.press("ArrowLeft")
    assert current() == shown[0]
    assert tab.page.is_disabled("#detail-before")
    assert tab.text("#detail-place") == f"1 of {len(shown)}"
    # Tab stays inside it, whatever it comes to.
    for _ in range(30):
        tab.page.keyboard.press("Tab")
        inside = "document.getElementById('detail').contains(document.activeElement)"
        assert tab.ask(f"{inside} || document.activeElement === document.body")
    tab.page.keyboard.press("Escape")
    assert not tab.page.is_visible("#detail")
    assert tab.ask("document.activeElement.closest('li').dataset.file") == shown[0]
    assert "image" not in tab.ask("location.hash")


def test_one_picture_tells_its_numbers_and_its_losses(tab: Tab, written: Written) -> None:
    place = next(n for n, row in enumerate(written.rows) if row["losses"] and n < PER_PAGE)
    row = written.rows[place]
    tab.page.click(f"#cards > li:nth-child({place + 1}) .trio")
    facts = tab.ask(
        "Object.fromEntries([...document.querySelectorAll('#detail-facts > div')]"
        ".map((each) => [...each.children].map((child) => child.textContent)))"
    )
    assert facts["class"] == row["label"]
    assert facts["split"] == row["split"]
    assert float(facts["loss"]) == pytest.approx(row["losses"]["total"], rel=5e-3)
    assert facts["device"] == row["device"]
    chart = tab.page.locator("#detail-losses svg")
    assert "in 8 evaluations" in chart.get_attribute("aria-label")
    assert tab.page.locator("#detail-losses polyline").count() >= 2
    before = tab.page.get_attribute("#detail-losses polyline", "points")
    tab.page.click("#detail-losses input[type=checkbox]")
    assert tab.page.get_attribute("#detail-losses polyline", "points") != before
    links = tab.ask("[...document.querySelectorAll('#detail-links a')].map((a) => a.href)")
    for link in links:
        assert Path(link.removeprefix("file://")).is_file()
    assert len(links) >= 3


def test_where_the_photograph_is_gone_only_the_result_is_shown(
    browser: Any, tmp_path: Path
) -> None:
    written = Written(tmp_path)
    written.image("a.png", "photos/a.png", "styles/s.png")
    (tmp_path / "photos/a.png").unlink()
    (tmp_path / "styles/s.png").unlink()
    written.report()
    tab = Tab(browser, written.page)
    assert tab.page.is_visible("#inputs-lost")
    assert tab.page.locator(".trio .gap").count() == 2
    tab.page.click(".trio")
    assert "The photograph was not found" in tab.text("#stage-note")
    assert not tab.page.is_visible("#slider")
    assert clip(tab) == "none"
    tab.close()


# Large sets


def test_large_sets_bring_images_and_curves_by_scripts(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maker, "MOST_IN_ONE", 10)
    monkeypatch.setattr(maker, "IMAGES_PER_SCRIPT", 50)
    monkeypatch.setattr(maker, "CURVES_PER_SCRIPT", 7)
    written = Written(tmp_path)
    written.many(NUM_IMAGES, seed=3)
    written.report()
    tab = Tab(browser, written.page)
    assert all_shown(tab) == names(written.rows)
    tab.choose("label", "owls")
    owls = [row for row in written.rows if row["label"] == "owls"]
    assert all_shown(tab) == names(owls)
    last = max(n for n, row in enumerate(owls) if row["losses"])
    tab.page.select_option("#page", str(last // PER_PAGE + 1)) if len(owls) > PER_PAGE else None
    tab.page.click(f"#cards > li:nth-child({last % PER_PAGE + 1}) .trio")
    tab.page.wait_for_selector("#detail-losses svg polyline")
    total = owls[last]["losses"]["total"]
    label = tab.page.get_attribute("#detail-losses svg", "aria-label")
    assert float(label.split(" to ")[1].split()[0]) == pytest.approx(total + 1 / 8, rel=5e-3)
    tab.close()


# Names


def test_hostile_names_do_nothing_but_stand_there(browser: Any, tmp_path: Path) -> None:
    written = Written(tmp_path)
    hostile = [
        "<script>alert(1)<∕script>",
        '" onload="alert(2)" x=\'',
        "<img src=x onerror=alert(3)>",
        "a b#c?d%20&e=f",
        "😀\n</script>".replace("/", "∕"),
    ]
    for name in hostile:
        fields = {"label": name, "split": name, "device": name, "status": name, "pair": name}
        written.image(f"{name}/{name}.png", f"photos/{name}.png", f"styles/{name}.png", **fields)
    reason = "</script><script>alert(4)</script><img src=x onerror=alert(5)>"
    written.failures = [{"file_name": "images/x", "content": "x", "reason": reason}]
    written.run |= {"warnings": [reason], "error": reason}
    written.report()
    tab = Tab(browser, written.page)
    assert tab.shown() == [f"{name}/{name}.png" for name in hostile]
    for number in range(len(hostile)):
        tab.page.click(f"#cards > li:nth-child({number + 1}) .trio")
        tab.wait("document.getElementById('stage-content').naturalWidth > 0")
        assert tab.ask("document.getElementById('stage-result').naturalWidth") > 0
        assert tab.ask("document.querySelector('#detail-style img').naturalWidth") > 0
        tab.page.keyboard.press("Escape")
    tab.choose("label", hostile[2])
    assert tab.shown() == [f"{hostile[2]}/{hostile[2]}.png"]
    assert reason in tab.text("#failures")
    assert tab.page.locator("script").count() == 2
    tab.close()


# For everybody


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 320])
def test_axe_finds_nothing_serious(browser: Any, written: Written, scheme: str, width: int) -> None:
    if (axe := find_axe()) is None:
        pytest.skip("needs axe-core: npm install axe-core, or $STYLEBATCH_AXE")
    size = {"width": width, "height": 800}
    tab = Tab(browser, written.page, color_scheme=scheme, viewport=size)
    tab.ask(axe.read_text(encoding="utf-8"))
    tab.ask("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    found = tab.ask("axe.run()")["violations"]
    tab.page.click("#cards > li:nth-child(1) .trio")
    tab.page.wait_for_selector("#detail-losses svg")
    found += tab.ask("axe.run()")["violations"]
    told = [(each["id"], each["nodes"][0]["html"]) for each in found]
    assert told == []
    tab.close()


def test_narrow_screens_need_no_scrolling_sideways(browser: Any, written: Written) -> None:
    tab = Tab(browser, written.page, viewport={"width": 320, "height": 640})
    assert tab.ask("document.documentElement.scrollWidth") == 320
    tab.page.click("#more-filters summary")
    assert tab.page.is_visible("#filters [name=label]")
    assert tab.ask("document.documentElement.scrollWidth") == 320
    tab.page.click("#cards > li:nth-child(1) .trio")
    tab.page.wait_for_timeout(200)
    assert tab.ask("document.getElementById('detail').scrollWidth") <= 320
    assert tab.ask("document.documentElement.scrollWidth") == 320
    tab.close()


def test_dark_and_light_are_the_systems(browser: Any, written: Written) -> None:
    def lightness(scheme: str) -> tuple[int, int]:
        tab = Tab(browser, written.page, color_scheme=scheme)
        style = "getComputedStyle(document.body)"
        colours = [tab.ask(f"{style}.{name}") for name in ("backgroundColor", "color")]
        tab.close()
        paper, ink = (sum(map(int, each.strip("rgb()").split(","))) // 3 for each in colours)
        return paper, ink

    assert lightness("light")[0] > 240 > 60 > lightness("light")[1]
    assert lightness("dark")[0] < 40 < 220 < lightness("dark")[1]


def test_without_scripts_all_but_the_pictures_can_be_read(browser: Any, written: Written) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(written.page.as_uri())
    text = page.inner_text("body")
    page.close()
    assert "scripts are off" in text
    assert "no image" in text
    assert "150" in text


def test_figures_answer(tab: Tab, written: Written) -> None:
    assert tab.page.locator("#histograms svg").count() == 2
    assert tab.page.locator("#throughput rect").count() > 10
    assert tab.page.locator("#together polyline").count() >= 2
    tab.page.click("#styles button >> nth=1")
    styles = sorted({row["style"] for row in written.rows if row["style"]})
    expected = names([row for row in written.rows if row["style"] == styles[1]])
    assert all_shown(tab) == expected


def test_links_to_sections_lead_there_and_keep_what_is_chosen(tab: Tab) -> None:
    tab.choose("label", "cats")
    shown = tab.shown()
    for name in ("speed", "failures", "gallery"):
        tab.page.click(f".strip a[href='#{name}']")
        tab.wait(f"Math.abs(document.getElementById('{name}').getBoundingClientRect().top) < 900")
        assert tab.ask("document.activeElement.id") == name
        assert tab.ask("location.hash") == "#label=cats"
    assert tab.shown() == shown


# While a run goes on


def test_a_page_that_is_kept_fresh_loads_itself_again_and_keeps_its_place(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stylebatch.report import records

    monkeypatch.setattr(
        records, "_read_ledgers", lambda dataset, found: found.activities.update(x={})
    )
    written = Written(tmp_path)
    written.many(70)
    written.report(refresh_s=2.0)
    tab = Tab(browser, written.page)
    assert tab.text(".state") == "A run is going on part x: at work"
    tab.choose("label", "cats")
    tab.ask("document.activeElement.blur()")
    tab.ask("window.scrollTo({top: 200, behavior: 'instant'})")
    before = len(all_shown(tab))
    tab.ask("window.scrollTo({top: 200, behavior: 'instant'})")
    written.image("cats/new.png", "photos/cats/new.png", None, label="cats")
    written.report(refresh_s=2.0)
    tab.wait(f"document.getElementById('hits').textContent.startsWith('{before + 1} ')")
    assert tab.ask("window.scrollY") == 200
    # It can be held still, and a picture that is looked at stays.
    tab.page.uncheck("#live-on")
    written.rows.pop()
    written.report(refresh_s=2.0)
    tab.page.wait_for_timeout(5000)
    assert tab.text("#hits").startswith(f"{before + 1} ")
    tab.page.check("#live-on")
    tab.ask("document.activeElement.blur()")
    tab.wait(f"document.getElementById('hits').textContent.startsWith('{before} ')")
    tab.close()


def test_every_script_that_is_there_is_in_the_page() -> None:
    folder = Path(maker.__file__).parent / "page"
    assert sorted(SCRIPTS) == sorted(path.stem for path in folder.glob("*.js"))

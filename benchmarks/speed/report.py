"""The report of large outputs: how long it takes to make, how large it is, how soon it is there.

    python -m benchmarks.speed.report                      # 300, 10,000 and 100,000 images
    python -m benchmarks.speed.report --images 10000

"first" and "again", where nothing has changed, are CPU seconds: other work on the machine changes
them less. The browser's times are those of a headless Chromium ($CHROMIUM, or the one that is
installed) by playwright; without both they are left out. "usable" is from the navigation until all
is read, the first page of pictures stands and filters answer; "filter" and "sort" from a choice
until the page is drawn anew.
"""

import argparse
import importlib.util
import os
import shutil
import tempfile
import time
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.setting.machine import cpu_model
from benchmarks.speed.report_inputs import make_output
from stylebatch.output.layout import Dataset
from stylebatch.report import make_report

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
REPEATS = 5
ROW = "{:>9}{:>10}{:>10}{:>12}{:>12}{:>12}{:>10}{:>10}"
# Choose, and wait until the browser has drawn what follows from it.
CHOOSE = """async ([name, value]) => {
    const form = document.getElementById("filters");
    const start = performance.now();
    form[name].value = value;
    form[name].dispatchEvent(new Event("input", {bubbles: true}));
    await new Promise((done) => setTimeout(() => requestAnimationFrame(() => setTimeout(done))));
    return performance.now() - start;
}"""


def main() -> None:
    """Print a table: a row for each number of images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[300, 10_000, 100_000])
    options = parser.parse_args()
    print(f"{date.today()}, {cpu_model()}, {os.cpu_count()} cores")
    heads = ("first s", "again s", "page MB", "folder MB", "usable s", "filter ms", "sort ms")
    print(ROW.format("images", *heads))
    for num_images in options.images:
        with tempfile.TemporaryDirectory(prefix="stylebatch-report-") as folder:
            print_row(Dataset(make_output(Path(folder), num_images)), num_images)


def print_row(dataset: Dataset, num_images: int) -> None:
    """Make a report twice, open it, and print how long that took."""
    first_s, again_s = (cpu_seconds_to_make(dataset) for _ in range(2))
    page = dataset.report / "index.html"
    sizes = [path.stat().st_size for path in dataset.report.rglob("*") if path.is_file()]
    in_browser = ("–", "–", "–")
    if CHROMIUM and importlib.util.find_spec("playwright"):
        in_browser = measure(page)
    megabytes = (f"{page.stat().st_size / 1e6:.2f}", f"{sum(sizes) / 1e6:.1f}")
    print(
        ROW.format(f"{num_images:,}", f"{first_s:.1f}", f"{again_s:.1f}", *megabytes, *in_browser)
    )


def cpu_seconds_to_make(dataset: Dataset) -> float:
    """Make a report and return how much time of a core it took."""
    before = time.process_time()
    make_report(dataset)
    return time.process_time() - before


def measure(page: Path) -> tuple[str, str, str]:
    """Return how long the browser takes until it is usable, after a filter, and after a sort."""
    from playwright.sync_api import sync_playwright

    usable, filtered, ordered = [], [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for _ in range(REPEATS):
            tab: Any = browser.new_page(viewport={"width": 1440, "height": 1000})
            started = time.perf_counter()
            tab.goto(page.as_uri(), wait_until="commit")
            tab.wait_for_selector("html[data-ready]", timeout=120_000)
            usable.append(time.perf_counter() - started)
            filtered.append(tab.evaluate(CHOOSE, ["label", "class03"]))
            tab.evaluate(CHOOSE, ["label", ""])
            ordered.append(tab.evaluate(CHOOSE, ["sort", "loss_total"]))
            tab.close()
        browser.close()
    return f"{median(usable):.2f}", f"{median(filtered):.0f}", f"{median(ordered):.0f}"


if __name__ == "__main__":
    main()

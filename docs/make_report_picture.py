"""Make docs/report.jpg: a report's gallery, and one picture of it, as a browser shows them.

    stylebatch report out
    python docs/make_report_picture.py

`make run` writes `out/`. It needs playwright (`pip install playwright`) and Chromium.
"""

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

HERE = Path(__file__).parent
# (colours, what is done before the picture is taken)
VIEWS = (("light", ""), ("dark", "document.querySelectorAll('.trio')[1].click()"))
SIZE, GAP = (1280, 800), 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path, default=Path("out/report/index.html"))
    parser.add_argument("--output", type=Path, default=HERE / "report.jpg")
    options = parser.parse_args()
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        views = [view(browser, options.report, colours, code) for colours, code in VIEWS]
        browser.close()
    sheet = Image.new("RGB", (SIZE[0], len(views) * (SIZE[1] + GAP) - GAP), "white")
    for number, each in enumerate(views):
        sheet.paste(each, (0, number * (SIZE[1] + GAP)))
    sheet.save(options.output, quality=84, optimize=True)
    print(f"{options.output}: {options.output.stat().st_size:,} bytes")


def view(browser: Browser, report: Path, colours: str, code: str) -> Image.Image:
    """Return what the browser shows of a report after some JavaScript."""
    width, height = SIZE
    tab = browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme="dark" if colours == "dark" else "light",
    )
    tab.goto(report.absolute().as_uri())
    tab.wait_for_selector("html[data-ready]")
    tab.evaluate(code)
    tab.wait_for_timeout(500)
    with Image.open(io.BytesIO(tab.screenshot())) as shot:
        return shot.convert("RGB")


if __name__ == "__main__":
    main()

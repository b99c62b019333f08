"""A real headless Chromium, where there is one: pages are opened as their readers do."""

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.paths import ROOT
from support.runs import wait_until

NAMES = ("chromium", "chromium-browser", "google-chrome")
AXE = "node_modules/axe-core/axe.min.js"


def find_chromium() -> str | None:
    """Return the browser's path: $STYLEBATCH_CHROMIUM, or one that is installed."""
    told = os.environ.get("STYLEBATCH_CHROMIUM")
    return told or next(filter(None, map(shutil.which, NAMES)), None)


def find_axe() -> Path | None:
    """Return axe-core's file: $STYLEBATCH_AXE, or what `npm install axe-core` leaves here."""
    told = os.environ.get("STYLEBATCH_AXE")
    path = Path(told) if told else ROOT / AXE
    return path if path.is_file() else None


@contextmanager
def running_browser() -> Iterator[Any]:
    """Start the browser, with a home of its own; skip where there is none, or no playwright."""
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("needs playwright: pip install playwright")
    if (path := find_chromium()) is None:
        pytest.skip("needs Chromium: apt-get install chromium, or $STYLEBATCH_CHROMIUM")
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory(prefix="stylebatch-browser-") as home, sync_playwright() as it:
        environment: dict[str, Any] = {**os.environ, "HOME": home}
        browser = it.chromium.launch(
            executable_path=path,
            # In containers everybody is root, and shared memory is small.
            args=["--no-sandbox", "--disable-dev-shm-usage"],
            env=environment,
        )
        yield browser
        browser.close()


class Tab:
    """A page that is open, and what it has complained of.

    Attributes:
        complaints: what it wrote to the console as a warning or an error, and what it has thrown;
            and what it has asked of the user.
    """

    def __init__(self, browser: Any, path: Path, fragment: str = "", **options: Any) -> None:
        options = {"viewport": {"width": 1280, "height": 900}, **options}
        self.page = browser.new_page(**options)
        self.complaints: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", self._asked)
        self.page.goto(path.as_uri() + fragment)
        self.page.wait_for_selector("html[data-ready]")

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _asked(self, dialog: Any) -> None:
        self.complaints.append(f"asked: {dialog.message}")
        dialog.dismiss()

    def ask(self, code: str, *argument: Any) -> Any:
        """Return what JavaScript says: of the next page, where one loads itself meanwhile."""
        from playwright.sync_api import Error

        for _ in range(20):
            try:
                return self.page.evaluate(code, *argument)
            except Error as error:
                if "navigation" not in str(error):
                    raise
            self.page.wait_for_selector("html[data-ready]")
        raise AssertionError("the page does nothing but load itself")

    def wait(self, code: str) -> None:
        """Wait until JavaScript says true; the page's own policy forbids the browser to ask."""
        wait_until(lambda: self.ask(code), code, timeout_s=60)

    def choose(self, name: str, value: str) -> None:
        """Set a filter."""
        self.page.select_option(f"#filters [name={name}]", value)

    def fill(self, name: str, value: str) -> None:
        """Write into a filter, and wait as long as the page does for more."""
        self.page.fill(f"#filters [name={name}]", value)
        self.page.wait_for_timeout(250)

    def shown(self) -> list[str]:
        """Return the images of the page's cards, in order."""
        found: list[str] = self.ask(
            "[...document.querySelectorAll('#cards > li')].map((card) => card.dataset.file)"
        )
        return found

    def text(self, selector: str) -> str:
        """Return an element's text, as it is read."""
        return str(self.page.inner_text(selector))

    def close(self) -> None:
        """Close it; nothing was complained of."""
        self.page.close()
        assert self.complaints == []

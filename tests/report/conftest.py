"""One browser for all tests of the page."""

from collections.abc import Iterator
from typing import Any

import pytest
from support.browser import running_browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium, or a skip with its reason."""
    with running_browser() as found:
        yield found

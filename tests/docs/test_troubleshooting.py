"""docs/troubleshooting.md: every message of the code stands in it, and says what to do."""

import importlib
import pkgutil
import re
import subprocess
import sys

from support.documents import PAGES
from support.paths import ROOT

import stylebatch
from stylebatch.errors import Problems, RunError, UserError

PAGE = "docs/troubleshooting.md"
# They only end a list of others, or stand for a job that is tried elsewhere.
WITHOUT_ADVICE = {"… of other lists", "out of memory on …"}


def rows() -> list[list[str]]:
    part = PAGES[PAGE].partition("## Messages")[2]
    cells = [re.split(r" \|(?: |$)", line[2:]) for line in part.splitlines() if line[:2] == "| "]
    return [row for row in cells if row[0] != "it says"]


def test_it_is_up_to_date_with_the_code() -> None:
    script = (sys.executable, "docs/make_troubleshooting.py", "--check")
    subprocess.run(script, cwd=ROOT, check=True, capture_output=True, text=True)


def test_every_message_says_what_is_allowed_or_what_to_do() -> None:
    silent = {row[0] for row in rows() if not row[1] and not row[2]}
    assert silent - WITHOUT_ADVICE == {row for row in silent if row.startswith("can't be read")}
    assert len(rows()) > 150


def test_every_kind_of_error_has_its_exit_code() -> None:
    """By the classes themselves: the page is made from their text."""
    for module in pkgutil.walk_packages(stylebatch.__path__, "stylebatch."):
        if not module.name.endswith("__main__"):
            of_ray = module.name.endswith(("on_ray", "ray_cluster"))
            if of_ray and not importlib.util.find_spec("ray"):
                continue  # they define none
            importlib.import_module(module.name)
    page = PAGES[PAGE]
    found = [*_all_below(UserError)]
    assert len(found) > 30
    for kind in found:
        told = (kind.__doc__ or "").splitlines()[0].rstrip(".")
        if f"### {told}\n" in page:
            assert f"### {told}\n\nExit code {kind.exit_code}.\n" in page, kind
    headed = {line.removeprefix("### ") for line in page.splitlines() if line[:4] == "### "}
    assert headed <= {(kind.__doc__ or "").splitlines()[0].rstrip(".") for kind in found}
    assert RunError in found


def _all_below(kind: type[UserError]) -> set[type[UserError]]:
    below = {each for direct in kind.__subclasses__() for each in {direct, *_all_below(direct)}}
    return below - {Problems}

"""The documents as tests read them: code blocks, code in sentences, tables, anchors."""

import re

from support.paths import ROOT

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
}
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    """Return a page's code blocks in a language ("" for none)."""
    return [text for name, text in _BLOCK.findall(PAGES[page]) if name == language]


def prose(page: str) -> str:
    """Return a page without its code blocks."""
    return _BLOCK.sub("", PAGES[page])


def code(page: str) -> list[str]:
    """Return all code of a page, line by line, comments aside; then that in sentences."""
    lines = [line for _, text in _BLOCK.findall(PAGES[page]) for line in text.splitlines()]
    return [re.sub(r"(^|\s)#.*", "", line) for line in lines] + re.findall(
        r"`([^`\n]+)`", prose(page)
    )


def table(page: str, header: str, heading: str = "") -> list[list[str]]:
    """Return the cells of the first table, below a heading, whose first row begins so."""
    below = PAGES[page].partition(f"\n{heading}\n")[2] if heading else PAGES[page]
    _, _, rest = below.partition(f"\n{header}")
    assert rest, f"{page} has no table {header!r} below {heading!r}"
    rows = rest.partition("\n\n")[0].strip().splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def anchors(page: str) -> set[str]:
    """Return what the headings of a page can be linked by."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

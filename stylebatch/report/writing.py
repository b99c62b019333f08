"""The page's bytes: template, styles, scripts and data in one file, nothing unescaped."""

import base64
import json
from collections.abc import Mapping
from functools import cache
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stylebatch.system.words import counted, duration

_PAGE = Path(__file__).parent / "page"
# In the order in which they build on each other.
SCRIPTS = (
    *("dom", "data", "choose", "charts", "figures", "curve", "gallery", "detail", "live", "start"),
)
# What ends a script or begins a tag, and what old JavaScript took for the end of a line.
_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def embedded(value: Any) -> str:
    """Return JSON that stands safely in a script element, whatever its texts say."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(_ESCAPES)


def script(kind: str, number: int, value: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return a script that brings data, and its name, which tells its bytes.

    `fetch` reads nothing beside a page that was opened from a disk; a script element does.
    """
    data = f"stylebatchReport.take({kind!r},{number},{embedded(value)})\n".encode()
    return f"{kind}-{number}-{blake2b(data, digest_size=8).hexdigest()}.js", data


def page(context: Mapping[str, Any], data: Mapping[str, Any]) -> bytes:
    """Return the page.

    Args:
        context: what the template shows as it stands.
        data: what the scripts read.
    """
    style, code = _style(), _code()
    policy = "; ".join(
        (
            "default-src 'none'",
            "img-src 'self' file: data:",
            f"style-src {_hash(style)}",
            f"script-src 'self' file: {_hash(code)}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    # Data are no script: a policy is for what runs.
    whole = {"policy": policy, "style": Markup(style), "code": Markup(code)}
    told = Markup(embedded(data))
    text: str = _template().render({**context, **whole, "data": told})
    return text.encode("utf-8", errors="replace")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"


@cache
def _style() -> str:
    return (_PAGE / "report.css").read_text(encoding="utf-8")


@cache
def _code() -> str:
    parts = ((_PAGE / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    return "(() => {\n'use strict';\n" + "\n".join(parts) + "})();\n"


@cache
def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(_PAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"counted": counted, "duration": duration}
    return environment.get_template("index.html.jinja")

"""Outputs as records tell them, written by hand: no run, no ledger, any name and any number."""

import json
import os
import random
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from PIL import Image
from support.runs import picture

from stylebatch.output.layout import Dataset
from stylebatch.report import Report, make_report

COLUMNS = "evaluation,level,total,content,style,tv,accepted,seconds"
SETTINGS = "00aa00aa00aa00aa"
LABELS, STYLES = ("cats", "dogs", "owls"), ("wave", "night", "field", "blend:dusk")


class Written:
    """A folder with an output, its photographs and its styles."""

    def __init__(self, root: Path) -> None:
        self.root, self.dataset = root, Dataset(root / "out")
        self.out = root / "out"
        self.rows: list[dict[str, Any]] = []
        self.failures: list[dict[str, Any]] = []
        self.settings: dict[str, Any] = {SETTINGS: {"recipe": {"title": "any"}, "versions": {}}}
        self.run: dict[str, Any] = {
            "run_id": "r",
            "manifest": "pipeline.yaml",
            "manifest_path": str(root / "pipeline.yaml"),
            "started": "2026-11-27T00:00:00+00:00",
            "exit_code": 0,
            "seconds": 12.5,
        }

    def image(self, name: str, content: str, style: str | None, **fields: Any) -> dict[str, Any]:
        """Add an image with its photograph, its style and its line of the metadata."""
        number = len(self.rows)
        self.draw(f"out/images/{name}", number)
        self.draw(content, 1000)
        if style and not style.startswith("blend:"):
            self.draw(style, 2000)
        row = {
            **{"file_name": f"images/{name}", "pair": "all", "label": None, "split": None},
            **{"kind": "stylised", "content": content, "style": style, "variant": 1},
            **{"strength": 1.0, "settings_id": SETTINGS, "device": "cpu", "seconds": 1.5},
            **{"status": "converged", "evaluations": 3, "accepted": True, "retries": 0},
            "losses": {"total": 1.5, "content": 0.5, "style": 0.75, "tv": 0.25},
        }
        self.rows.append(row | fields)
        return self.rows[-1]

    def draw(self, path: str, number: int, size: tuple[int, int] = (48, 32)) -> None:
        """Draw a picture where there is none."""
        target = self.root / path
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            picture(number, *size).save(target)

    def log(self, name: str, text: str) -> Path:
        """Write the loss log of an image."""
        path = self.dataset.log_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
        return path

    def many(self, count: int, seed: int = 0) -> None:
        """Add so many images of all kinds, drawn by chance, with loss logs."""
        chance = random.Random(seed)
        for number in range(count):
            photo, label = number // 3, chance.choice(LABELS)
            style = chance.choice(STYLES)
            path = style if style.startswith("blend:") else f"styles/{style}.png"
            content = f"photos/{label}/p{photo:03}.png"
            fields: dict[str, Any] = {"label": label, "split": chance.choice(["train", "val"])}
            name = f"{label}/p{photo:03}-{style.replace(':', '_')}-{number}.png"
            if number % 10 == 9:
                nothing = dict.fromkeys(("losses", "status", "accepted", "device", "seconds"))
                fields |= {**nothing, "kind": "original", "evaluations": None, "variant": None}
                self.image(name, content, None, **fields)
                continue
            total = round(chance.lognormvariate(0, 1), 3)
            fields |= {
                "losses": {"total": total, "content": total / 2, "style": total / 2, "tv": 0.0},
                "status": chance.choice(["converged", "budget_spent"]),
                "accepted": chance.random() > 0.2,
                "device": chance.choice(["cuda:0", "cuda:1"]),
                "seconds": round(chance.uniform(1, 9), 3),
                "strength": round(chance.uniform(0.5, 2), 3),
                "closed": None if number % 7 == 3 else round(chance.random(), 4),
                "ssim": round(chance.random(), 4),
            }
            self.image(name, content, path, **fields)
            lines = [f"{at},0,{total + 1 / at:.6g},1,1,0,1,{at}" for at in range(1, 9)]
            self.log(name, "\n".join([COLUMNS, *lines]) + "\n")
        self.spread_times(60.0)

    def spread_times(self, step_s: float) -> None:
        """Let images be finished one after another."""
        for number, row in enumerate(self.rows):
            at = 1_790_000_000 + number * step_s
            os.utime(self.out / row["file_name"], (at, at))

    def write(self) -> None:
        """Write the records as they are now."""
        self.out.mkdir(parents=True, exist_ok=True)
        for name, rows in (("metadata", self.rows), ("failures", self.failures)):
            text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
            (self.out / f"{name}.jsonl").write_text(text, encoding="utf-8")
        for name, value in (("settings", self.settings), ("run", self.run)):
            (self.out / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")

    def report(self, **options: Any) -> Report:
        """Write the records, then the report."""
        self.write()
        return make_report(self.dataset, **options)

    @property
    def page(self) -> Path:
        """Where the report is."""
        return self.out / "report/index.html"

    def data(self) -> dict[str, Any]:
        """Return what the page's scripts read, found by a parser of HTML."""
        found: dict[str, Any] = json.loads(Parsed(self.page).scripts["report-data"])
        return found


class Parsed(HTMLParser):
    """A page's elements: scripts by their id, all tags, all attributes, and the text that is read.

    Attributes:
        scripts: the texts of script elements; of those without an id under "".
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.scripts: dict[str, str] = {}
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text = ""
        self._script: str | None = None
        self._is_style = False
        self.feed(path.read_text(encoding="utf-8"))
        self.text = re.sub(r"\s+", " ", self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag == "script":
            self._script = dict(attrs).get("id") or ""
        self._is_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        """Note the end of one."""
        self._script, self._is_style = None, False

    def handle_data(self, data: str) -> None:
        """Take a text."""
        if self._script is not None:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data
        elif not self._is_style:
            self.text += data


def size_of(path: Path) -> tuple[int, int]:
    """Return an image's width and height."""
    with Image.open(path) as image:
        return image.size

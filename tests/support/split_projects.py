"""Projects with splits: photographs in folders, and a manifest that is really read."""

from pathlib import Path
from typing import Any

import yaml
from support.projects import Project, png, waiting

from stylebatch.manifest import Manifest, load_manifest
from stylebatch.output.shard import Shard
from stylebatch.plan import PlanSummary, plan_jobs, resolve_styles
from stylebatch.records import Job
from stylebatch.system.files import write_synced


class SplitProject(Project):
    """A folder whose manifest has one pair over `photos`, of which tests choose the keys."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        write_synced(root / "styles/s.png", png(1000))
        self.summary = PlanSummary()

    def photos(self, *paths: str, first: int = 0) -> None:
        """Write photographs, each of its own bytes."""
        for number, path in enumerate(paths, first):
            self.photo(path, number)

    def write(self, path: str, *lines: str) -> None:
        """Write a text file beside the manifest."""
        write_synced(self.root / path, "".join(f"{line}\n" for line in lines).encode())

    def load(self, *pairs: dict[str, Any], **keys: Any) -> Manifest:
        """Read a manifest of one pair with some keys, or of several."""
        document = {
            "version": 1,
            "output": "out",
            "extractor": {"weights": "random"},
            "defaults": {"content": "photos", "styles": ["styles"]},
            "pairs": list(pairs) or [{"name": "all", **keys}],
        }
        path = self.root / "pipeline.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return load_manifest(path)

    def split(
        self, *pairs: dict[str, Any], shard: Shard | None = None, **keys: Any
    ) -> dict[str, Job]:
        """Return all jobs of such a manifest by output."""
        manifest = self.load(*pairs, **keys)
        self.summary = PlanSummary()
        with self.ledger(read_only=True) as ledger:
            styles = resolve_styles(manifest, ledger)
            planned = ledger.begin_plan(manifest, styles, self.dataset)
            for folder in plan_jobs(manifest, ledger, styles, self.summary, shard):
                planned.add(folder)
            planned.finish()
            return {job.output: job for job in waiting(planned)}

    @property
    def selected(self) -> Any:
        """What the last plan has found of the only pair's images."""
        return self.summary.pairs["all"].selected

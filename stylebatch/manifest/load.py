"""Read a manifest, find everything that is wrong with it, and resolve what it says."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from stylebatch.library.shelf import Library
from stylebatch.manifest.changes import apply_changes
from stylebatch.manifest.model import Manifest
from stylebatch.manifest.output import check_apart, read_output
from stylebatch.manifest.pairs import PairReader
from stylebatch.manifest.paths import NAME_RULE, path_problem
from stylebatch.manifest.problems import Findings
from stylebatch.manifest.run_fields import Run
from stylebatch.manifest.run_options import read_run_options
from stylebatch.manifest.schema import Extractor, ManifestFields, PairFields
from stylebatch.manifest.settings import SettingsResolver
from stylebatch.manifest.validate import check_shape
from stylebatch.manifest.yaml_lines import Loc, read_document
from stylebatch.system.files import default_cache_folder

_REQUIRED = {
    "version": "1",
    "output": "a folder or an s3:// URL",
    "pairs": "a list of pairs",
}


def load_manifest(path: Path, text: str | None = None, changes: Sequence[str] = ()) -> Manifest:
    """Read a manifest and check all of it that can be checked without opening an image.

    Args:
        text: what is to stand at the path; None: what stands there.
        changes: keys that are otherwise than written: KEY=VALUE, as in `pairs.0.steps=50`.

    Raises:
        ManifestError: one thing is wrong.
        Problems: several are, by line.
    """
    document = read_document(path, text)
    apply_changes(document, changes)
    findings = Findings(document)
    fields = check_shape(findings)
    manifest = _resolve(path, fields, findings)
    findings.raise_if_any()
    return manifest


def _resolve(path: Path, fields: ManifestFields, findings: Findings) -> Manifest:
    """Return what a manifest says; where there are findings it is incomplete, and never used."""
    root = path.parent
    for key, what in _REQUIRED.items():
        if getattr(fields, key) is None and not findings.is_broken(key):
            findings.add((), f"no '{key}'", f"allowed is {what}", f"add `{key}: …`")
    pairs, run = fields.pairs or [], fields.run or Run()
    options = read_run_options(run, root, findings)
    output, store = read_output(fields.output, root, options, findings)
    _check_names(pairs, findings)
    settings = SettingsResolver(fields.extractor or Extractor(), run.precision, root, findings)
    library = Library(root / run.cache if run.cache else default_cache_folder(), root)
    reader = PairReader(root, fields, settings, findings, library)
    read = [reader.read(index, pair) for index, pair in enumerate(pairs)]
    if store is not None:
        check_apart(store, (pair for points in read for pair in points), findings)
    return Manifest(
        path=path,
        root=root,
        output=output,
        seed=fields.seed,
        pairs=tuple(pair for points in read for pair in points),
        run=options,
        store=store,
    )


def _check_names(pairs: list[PairFields], findings: Findings) -> None:
    """Pairs need names that no file system takes for one another."""
    seen: dict[str, str] = {}
    for index, pair in enumerate(pairs):
        loc: Loc = ("pairs", index, "name")
        if pair.name is None:
            if not findings.is_broken(*loc):
                findings.add(loc, "no 'name'", NAME_RULE, "add `name: …`")
            continue
        if problem := path_problem(pair.name):
            findings.add(loc, f"'{pair.name}' {problem}", NAME_RULE, "rename it")
        elif ":" in pair.name:
            found = f"'{pair.name}' holds a :, after which the points of a sweep are named"
            findings.add(loc, found, "allowed is a name without it", "rename it")
        same = unicodedata.normalize("NFC", pair.name).casefold()
        if same in seen:
            found = f"'{pair.name}' is the name of {seen[same]} too"
            findings.add(loc, found, "allowed is one pair per name", "rename one of them")
        seen.setdefault(same, f"pairs[{index}]")

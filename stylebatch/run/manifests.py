"""Whose an output's pairs are: two manifests with one would set each other's images aside."""

import os
from pathlib import Path

import yaml

from stylebatch.errors import UserError
from stylebatch.ledger import Ledger
from stylebatch.manifest import Manifest, base_name

_KEY = "manifests"


class ManifestError(UserError):
    """A manifest with a pair that is another's on the same output."""


def check_only_manifest(manifest: Manifest, ledger: Ledger) -> None:
    """Refuse a manifest whose pairs another one has, which is still there, on this output.

    One that was renamed, or from which a pair has moved, is no other.

    Raises:
        ManifestError: that is so.
    """
    mine = _from_output(manifest)
    for pair, place in (ledger.get(_KEY) or {}).items():
        other = Path(os.path.normpath(manifest.output.absolute() / place))
        if pair in _pairs(manifest) and place != mine and _claims(other, pair, manifest):
            where = f"{manifest.path.name}: pair '{pair}'"
            whose = f"the pair '{pair}' of {other}"
            found = f"{manifest.dataset().place} has images of {whose}"
            todo = "give the pair another name, or the manifest another output"
            raise ManifestError(where, found, "one manifest for a pair of an output", todo)


def note_manifest(manifest: Manifest, ledger: Ledger) -> None:
    """Note whose the pairs are from now on."""
    known = ledger.get(_KEY) or {}
    now = known | dict.fromkeys(sorted(_pairs(manifest)), _from_output(manifest))
    if now != known:
        ledger.put(_KEY, now)


def _pairs(manifest: Manifest) -> set[str]:
    return {base_name(pair.name) for pair in manifest.pairs}


def _from_output(manifest: Manifest) -> str:
    # So that a copied or moved project is not taken for another.
    return os.path.relpath(manifest.path.absolute(), manifest.output.absolute())


def _claims(path: Path, pair: str, manifest: Manifest) -> bool:
    """Whether another manifest is there and has the pair on the same output."""
    try:
        if path.samefile(manifest.path):
            return False
        written = yaml.safe_load(path.read_bytes())
        names = {each.get("name") for each in written["pairs"]}
        output = str(written["output"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError):
        return False
    if manifest.store:
        return pair in names and output.rstrip("/") == manifest.store.url
    place = os.path.realpath(path.parent / output)
    return pair in names and place == os.path.realpath(manifest.output)

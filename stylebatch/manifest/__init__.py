"""What the user writes: its schema, its errors with their lines, and what it resolves to."""

from stylebatch.manifest.load import load_manifest
from stylebatch.manifest.model import (
    Assign,
    Manifest,
    Pair,
    RunOptions,
    StyleSource,
    SweepPoint,
    base_name,
)
from stylebatch.manifest.run_options import parse_duration, parse_failures
from stylebatch.manifest.schema import json_schema
from stylebatch.manifest.yaml_lines import ManifestError

__all__ = [
    "Assign",
    "Manifest",
    "ManifestError",
    "Pair",
    "RunOptions",
    "StyleSource",
    "SweepPoint",
    "base_name",
    "json_schema",
    "load_manifest",
    "parse_duration",
    "parse_failures",
]

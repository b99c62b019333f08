"""What the user writes: its schema, its errors with their lines, and what it resolves to."""

from stylebatch.manifest.draft import Draft, draft_manifest
from stylebatch.manifest.load import load_manifest
from stylebatch.manifest.model import (
    Assign,
    Manifest,
    Pair,
    RayOptions,
    RunOptions,
    StyleSource,
    SweepPoint,
    base_name,
)
from stylebatch.manifest.run_options import parse_duration, parse_failures
from stylebatch.manifest.schema import json_schema
from stylebatch.manifest.selection import EVERYTHING, NO_SPLIT, Selection, Split
from stylebatch.manifest.survey import (
    Candidates,
    Photographs,
    SurveyError,
    choose_content,
    choose_styles,
    describe_classes,
    find_candidates,
    survey_photographs,
    survey_styles,
    unreadable_styles,
)
from stylebatch.manifest.yaml_lines import ManifestError

__all__ = [
    "EVERYTHING",
    "NO_SPLIT",
    "Assign",
    "Candidates",
    "Draft",
    "Manifest",
    "ManifestError",
    "Pair",
    "Photographs",
    "RayOptions",
    "RunOptions",
    "Selection",
    "Split",
    "StyleSource",
    "SurveyError",
    "SweepPoint",
    "base_name",
    "choose_content",
    "choose_styles",
    "describe_classes",
    "draft_manifest",
    "find_candidates",
    "json_schema",
    "load_manifest",
    "parse_duration",
    "parse_failures",
    "survey_photographs",
    "survey_styles",
    "unreadable_styles",
]

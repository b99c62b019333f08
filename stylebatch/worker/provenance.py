"""What a file says of how it was made: nothing that differs from one run to the next."""

import json
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from stylebatch.pictures.formats import Provenance
from stylebatch.records import Job


def describe_original(job: Job) -> Provenance:
    """Return what the file of a photograph says that was carried over."""
    return _provenance({"content": _name(job)})


def describe_stylised(job: Job, style: str, recipe: str) -> Provenance:
    """Return what an image's file says.

    Args:
        style: its name.
        recipe: the name of the recipe that its settings began with.
    """
    facts = {"content": _name(job), "style": style, "recipe": recipe}
    return _provenance({**facts, "strength": job.strength, "seed": job.noise_seed})


def _name(job: Job) -> str:
    """Return the photograph's own name: where it lies may change, and is nobody's business."""
    return job.content.rpartition("/")[2]


def _provenance(facts: dict[str, object]) -> Provenance:
    return Provenance(_software(), json.dumps(facts))


@cache
def _software() -> str:
    try:
        return f"stylebatch {version('stylebatch')}"
    except PackageNotFoundError:
        return "stylebatch"

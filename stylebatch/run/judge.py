"""An output looked at once more: every image's scores from its file."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stylebatch.errors import UserError
from stylebatch.extractors.weights import WeightSet, layers_digest
from stylebatch.ledger import open_together
from stylebatch.manifest import Manifest
from stylebatch.output.acceptance import Scores, scores_in
from stylebatch.output.layout import Dataset
from stylebatch.plan import resolve_styles
from stylebatch.recipes import LAYER_FIELDS, Settings, make_settings, recipe_on
from stylebatch.records import Job, Style

# Why an image can't be judged.
_SETTINGS = "made with settings that the manifest no longer has"
_STYLE = "made with a style that the manifest no longer has"


class JudgedFile(NamedTuple):
    """An image of an output.

    Attributes:
        output: its path below `images/`.
        scores: from its file.
        told: those that were recorded when it was made.
        outside: the scores that lie outside its pair's thresholds.
    """

    output: str
    pair: str
    label: str | None
    style: str
    strength: float
    scores: Scores
    told: Scores
    outside: tuple[str, ...]


@dataclass(slots=True)
class Judgement:
    """What was found of an output.

    Attributes:
        unjudged: how many images are left out, by the reason.
    """

    images: list[JudgedFile] = field(default_factory=list)
    unjudged: Counter[str] = field(default_factory=Counter)


def judge_output(
    dataset: Dataset,
    manifest: Manifest,
    weights: WeightSet | None = None,
    *,
    device: str = "auto",
    tell: Callable[[int, int], object] = lambda done, total: None,
) -> Judgement:
    """Judge the stylised images that stand, in the order of their paths.

    Args:
        manifest: which it was made with.
        weights: of another network, on whose own layers style distances are measured; None: those
            of each image's settings.
        tell: is called with how many were judged, of how many.

    Raises:
        UserError: no ledger; styles that can't be read; a device that is not there.
    """
    from stylebatch.device.choice import choose_devices
    from stylebatch.device.judge import Judge

    found = Judgement()
    with open_together(dataset) as ledger:
        judge = Judge(choose_devices(device)[0], manifest.root, manifest.run.cache)
        settings = _measuring(manifest, weights)
        styles = resolve_styles(manifest, ledger)
        acceptances = manifest.acceptances()
        rows = [row for row in ledger.done() if row["kind"] == "stylised"]
    for number, row in enumerate(rows):
        tell(number, len(rows))
        reason = _trouble(row, settings, styles)
        if not reason:
            job = _job(row)
            try:
                data = dataset.tree.read(dataset.image_path(job.output))
                of_file = judge.score_file(data, job, styles[job.style], settings[job.settings_id])
            except (UserError, OSError) as error:
                reason = str(error)
            else:
                outside = acceptances[job.pair].outside(of_file) if job.pair in acceptances else []
                if weights is not None:
                    # Thresholds are of what the set's own network sees.
                    outside = [name for name in outside if name != "closed"]
                found.images.append(_judged(row, of_file, outside))
        if reason:
            found.unjudged[reason] += 1
    tell(len(rows), len(rows))
    return found


def _measuring(manifest: Manifest, weights: WeightSet | None) -> dict[str, Settings]:
    """Return what style distances are measured with, by the id of the settings they stand for."""
    own = manifest.all_settings()
    if weights is None:
        return own
    # Without a network nothing is called closed: the other scores are what they are.
    return {key: _on(weights, each) if each.needs_network else each for key, each in own.items()}


def _on(weights: WeightSet, settings: Settings) -> Settings:
    """Return settings on another network, with its own layers."""
    fields = settings.recipe.model_dump() | dict.fromkeys(LAYER_FIELDS, "default")
    recipe = recipe_on(weights.arch, fields)
    digest = layers_digest(weights, recipe.layers)
    return make_settings(recipe, weights, digest, "float32", settings.file_format, settings.levels)


def _trouble(
    row: Mapping[str, Any], settings: Mapping[str, Settings], styles: Mapping[str, Style]
) -> str:
    if row["settings_id"] not in settings:
        return _SETTINGS
    style = styles.get(row["style"])
    return "" if style and style.digest == row["style_digest"] else _STYLE


def _job(row: Mapping[str, Any]) -> Job:
    """Return what an image was made of, with the strength at which it was made at last."""
    strength = row["facts"].get("strength", row["strength"])
    return Job(
        output=row["output"],
        fingerprint="",
        pair=row["pair"],
        settings_id=row["settings_id"],
        content=row["content"],
        content_digest=row["content_digest"],
        label=row["label"],
        style=row["style"],
        variant=row["variant"],
        width=0,
        height=0,
        strength=strength,
        noise_seed=row["seed"],
        mask=row.get("mask", ""),
        mask_digest=row.get("mask_digest", ""),
        split=row["split"],
    )


def _judged(row: Mapping[str, Any], scores: Scores, outside: Iterable[str]) -> JudgedFile:
    told, job = scores_in(row["facts"]), _job(row)
    return JudgedFile(
        job.output, job.pair, job.label, job.style, job.strength, scores, told, tuple(outside)
    )

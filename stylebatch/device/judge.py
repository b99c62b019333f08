"""Scores from files: what was made, judged once more with convolutions in float32."""

from dataclasses import replace
from pathlib import Path

import torch

from stylebatch.device.canvas import make_canvas
from stylebatch.device.content import Content, ContentError, read_content, read_picture
from stylebatch.device.device import Device
from stylebatch.device.pixel_scores import pixel_scores
from stylebatch.device.planned_file import read_planned
from stylebatch.device.tensors import to_tensor
from stylebatch.output.acceptance import Scores, closed_share
from stylebatch.pictures.images import Pixels, decode, upright_size
from stylebatch.pictures.sizes import cut_centre, resize
from stylebatch.recipes import Settings
from stylebatch.records import Job, Style
from stylebatch.system.files import default_cache_folder


class Judge:
    """Measures pictures against what they were made of, one at a time.

    What it says depends on the file alone, not on how it was made: 8 bits as they are, brought back
    to the size at which the style was transferred.
    """

    def __init__(self, device: str, root: Path, cache: Path | None = None) -> None:
        """Open a device.

        Args:
            root: the folder that paths of photographs and styles start from.
            cache: the folder of cached style targets, None for the usual one.
        """
        self._root = root
        self._device = Device(device, root, cache or default_cache_folder())

    def score_file(self, data: bytes, job: Job, style: Style, settings: Settings) -> Scores:
        """Return the scores of an image's file.

        Args:
            job: what it was made of, at its last strength; its work size need not be told.
            settings: whose layers, statistics and weights measure the style distance.

        Raises:
            ContentError: a photograph or mask that is gone, or has changed since.
            StyleError, ImageError: as `StyleTargets.get`.
        """
        photograph = read_planned(
            self._root, job.content, job.content_digest, "image", ContentError
        )
        width, height = settings.work_size(*upright_size(photograph, job.content))
        job = replace(job, width=width, height=height)
        made = decode(data, job.output).rgb
        if not settings.needs_network:
            return self._score_recolored(made, job, settings)
        content = read_content(self._root, job, settings)
        return self.score(made, content, style, settings, job.strength)

    def score(
        self, made: Pixels, content: Content, style: Style, settings: Settings, strength: float
    ) -> Scores:
        """Return the scores of a picture.

        Args:
            made: (H, W, 3); of another size than the content at work size it is resampled to that,
                or to the part of it that the file shows.
            strength: at which it was made: it decides what the style distance is to.
        """
        shown, mask = _shown(content)
        height, width = shown.shape[:2]
        made = resize(made, width, height, settings.recipe.resampling)
        exact = replace(settings, precision="float32")
        engine = self._device.engine(exact, 1, width, height)
        chroma = self._device.style_chroma(exact, engine, shown, style)
        problem = self._device.problem(
            "judged",
            exact,
            engine,
            pixels=shown,
            style=style,
            strength=strength,
            noise_seed=None,
            mask=mask,
        )
        objective, statistics = (
            self._device.objective(exact, (height, width)),
            problem.statistics[-1],
        )
        with torch.no_grad():
            targets = objective.targets(problem.content, statistics, strength, problem.mask)
            image = to_tensor(made).to(problem.content.device)
            before = float(targets["content_style"])
            after = float(objective.losses(image, targets).style)
        return {"closed": closed_share(before, after), **pixel_scores(made, shown, chroma)}

    def _score_recolored(self, made: Pixels, job: Job, settings: Settings) -> Scores:
        """Return the scores of a colour transfer, which is as large as its file."""
        picture, mask = read_picture(self._root, job, settings.levels)
        recipe = settings.recipe
        work = (job.width, job.height)
        canvas = make_canvas(recipe, picture.rgb, None, mask, *work, keeps_content=True)
        assert canvas.content is not None
        height, width = canvas.content.shape[:2]
        made = resize(made, width, height, recipe.output_resampling)
        return {"closed": None, **pixel_scores(made, canvas.content, 0.0)}


def _shown(content: Content) -> tuple[Pixels, Pixels | None]:
    """Return what of a content at work size its file shows, (h, w, 3), and the mask there."""
    canvas = content.canvas
    if canvas.covering is None:
        return content.pixels, content.mask
    height, width = content.pixels.shape[:2]
    size = (
        max(1, round(width * canvas.width / canvas.covering[0])),
        max(1, round(height * canvas.height / canvas.covering[1])),
    )
    mask = None if content.mask is None else cut_centre(content.mask, *size)
    return cut_centre(content.pixels, *size), mask

"""A probe of colour transfers: one image of each shape read, changed and encoded; no torch."""

import time
from collections.abc import Iterable

from stylebatch.device.canvas import finish
from stylebatch.device.recolor import ColorTransfer
from stylebatch.device.style_images import StyleImages
from stylebatch.errors import UserError
from stylebatch.pictures.formats import encode
from stylebatch.preview.probed import Probe, Probed
from stylebatch.records import Job
from stylebatch.worker.spec import WorkerSpec


def probe_colors(spec: WorkerSpec, candidates: Iterable[tuple[list[Job], int]]) -> Probe:
    """Measure shapes in this process; arguments as of `speed_probe.probe`."""
    shapes, trouble = list[Probed](), ""
    for jobs, _ in candidates:
        for job in jobs:
            try:
                shapes.append(measure_colors(spec, job))
                break
            except UserError as error:
                trouble = str(error)
    return Probe(shapes, 0.0, trouble)


def measure_colors(spec: WorkerSpec, job: Job) -> Probed:
    """Measure a job, its style's statistics left out: they are made once.

    Raises:
        UserError: a file that can't be read.
    """
    settings, style = spec.settings[job.settings_id], spec.styles[job.style]
    transfer = ColorTransfer(StyleImages(spec.root, spec.cache))
    transfer.of_job(spec.root, job, settings, style)
    began = time.perf_counter()
    made = transfer.of_job(spec.root, job, settings, style)
    pixels = finish(made.pixels, made.canvas, settings.recipe)
    encode(pixels, made.canvas.alpha, settings.file_format)
    file_s = time.perf_counter() - began - made.seconds
    return Probed(job.shape, made.seconds, made.seconds, file_s)

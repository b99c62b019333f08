"""How many images of one shape fit into a GPU's memory: measured with one and with two of them."""

from typing import NamedTuple

import torch

from stylebatch.transfer.objective import Objective
from stylebatch.transfer.optimizers import OPTIMIZERS
from stylebatch.transfer.optimizers.protocol import OptimizerSpec
from stylebatch.transfer.sizes import at_scale
from stylebatch.transfer.statistics import num_rows

# Of what is free. The rest is for what the probe does not see: coarser levels' slots, a second try
# with Adam, results on their way out, larger workspaces of cuDNN's, and fragments.
SHARE = 0.75


class Peaks(NamedTuple):
    """Bytes at the peak of an evaluation, beyond what was there before it."""

    of_one: int
    of_two: int


def max_images(free: int, peaks: Peaks) -> int:
    """Return how many images fit into so many bytes: at least one.

    The second image's share is taken for each one's; what the first takes more than that is there
    once. Where the second took nothing, which a workspace that was chosen anew can cause, the whole
    of both is taken for each one's.
    """
    each = peaks.of_two - peaks.of_one
    if each <= 0:
        each = max(1, peaks.of_two)
    once = max(0, peaks.of_one - each)
    return max(1, (int(free * SHARE) - once) // each)


def free_bytes(device: torch.device) -> int:
    """Return what a GPU has free, with what torch holds of it and does not use."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def measure_peaks(
    objective: Objective, spec: OptimizerSpec, size: tuple[int, int], *, is_masked: bool
) -> Peaks:
    """Run an evaluation of one image and then of two on the objective's GPU.

    Args:
        size: (height, width) of the finest level.

    Raises:
        torch.OutOfMemoryError: where not even these fit.
    """
    device = objective.extractor.device
    peaks = []
    for images in (1, 2):
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run_once(objective, spec, images, size, is_masked=is_masked)
        peaks.append(torch.cuda.max_memory_allocated(device) - before)
    return Peaks(*peaks)


def run_once(
    objective: Objective,
    spec: OptimizerSpec,
    images: int,
    size: tuple[int, int],
    *,
    is_masked: bool,
) -> None:
    """Do one step of a batch with all that it keeps; its numbers mean nothing."""
    extractor, spec_of_style = objective.extractor, objective.spec
    content = torch.full((1, 3, *size), 0.5, device=extractor.device)
    style = {}
    for layer in spec_of_style.style_layers:
        channels = extractor.num_channels(layer)
        rows = num_rows(spec_of_style.statistic, channels)
        for scale in spec_of_style.style_scales_at(*size, extractor.smallest_edge_px):
            style[at_scale(layer, scale)] = content.new_ones(rows, channels)
    mask = content[:, :1] if is_masked else None
    targets = {
        name: value.repeat(images, *[1] * (value.dim() - 1))
        for name, value in objective.targets(content, style, 1.0, mask).items()
    }
    optimizer = OPTIMIZERS[spec.optimizer](spec, images, size, content)
    for slot in range(images):
        optimizer.admit(slot, content[0], 1)
    points = optimizer.ask(images).clone()
    losses, gradients = objective.evaluate(points, targets)
    optimizer.tell(images, losses.total, gradients)

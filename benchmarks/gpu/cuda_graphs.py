"""One evaluation of a full batch as a CUDA graph: hundreds of launches become one."""

import torch
from torch import Tensor

from stylebatch.transfer.objective import Losses, Objective, Targets

WARM_UP = 3


class GraphedEvaluation:
    """`Objective.evaluate` of one shape and number of images, recorded once and played back.

    Not measured yet, and so not used by the engine: no GPU could be reached when it was written.
    `benchmarks.gpu.steps` prints what it saves. Small images gain, if any: what a GPU computes for
    longer than the host takes to launch it hides the launches anyway.
    """

    def __init__(self, objective: Objective, images: Tensor, targets: Targets) -> None:
        """Record an evaluation.

        Args:
            images: (B, 3, H, W); those of every later call have this shape.
            targets: of B images; they stay where they are, and what is in them then counts.
        """
        self._images, self._targets = images.clone(), targets
        # What is done once, such as choosing algorithms, can't be recorded; on another stream, as
        # torch asks for.
        stream = torch.cuda.Stream(images.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(images.device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                objective.evaluate(self._images, targets)
        torch.cuda.current_stream(images.device).wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(images.device), torch.cuda.graph(self._graph):
            self._losses, self._gradients = objective.evaluate(self._images, targets)

    def __call__(self, images: Tensor) -> tuple[Losses, Tensor]:
        """Return losses (B,) and gradients (B, 3, H, W); the next call writes into the same."""
        self._images.copy_(images)
        self._graph.replay()
        return self._losses, self._gradients

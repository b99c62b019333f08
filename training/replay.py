"""Images that the student itself makes by optimisation: where it is wrong, they go."""

import random

import torch
from crops import Crops
from student import LAYERS, Student
from torch import Tensor

from stylebatch.recipes import Recipe, recipe_fields
from stylebatch.specs import objective_spec, solver_spec
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.losses import gram_matrix
from stylebatch.transfer.objective import Objective
from stylebatch.transfer.problem import Problem
from stylebatch.weights import NORMALISATIONS

EDGE_PX = 128
IMAGES, KEPT = 6, 400
# The image is looked at after so many evaluations.
SNAPSHOTS = (4, 10, 20, 40)


class Replay:
    """Keeps the latest images that versions of the student have made."""

    def __init__(
        self, student: Student, photographs: Crops, paintings: Crops, rng: random.Random
    ) -> None:
        self._student, self._rng = student, rng
        self._photographs, self._paintings = photographs, paintings
        self.images: list[Tensor] = []
        fields = {**recipe_fields("balanced"), "steps": SNAPSHOTS[-1], "tolerance": 0}
        self._recipe = Recipe(
            **{
                **fields,
                "content_layers": {LAYERS[3]: 1},
                "style_layers": dict.fromkeys(LAYERS[:3], 1),
                "progress_at": SNAPSHOTS,
            }
        )

    def make(self) -> None:
        """Stylise some crops with the student as it is, and keep the images on their way."""
        objective = Objective(objective_spec(self._recipe), self._student)  # type: ignore[arg-type]
        solver = solver_spec(self._recipe, NORMALISATIONS["imagenet"])
        engine = Engine(objective, solver, IMAGES, EDGE_PX, EDGE_PX)
        for key in range(IMAGES):
            content = self._photographs.draw(EDGE_PX)[None]
            statistics = self._statistics(self._paintings.draw(EDGE_PX)[None])
            strength = 2 ** self._rng.uniform(-1, 2)
            engine.admit(Problem(key, content, (statistics,), strength))
        trained = [parameter for group in self._student.groups() for parameter in group]
        for parameter in trained:
            parameter.requires_grad_(False)
        while engine.running:
            self.images += [snapshot.image[0] for snapshot in engine.step().snapshots]
        for parameter in trained:
            parameter.requires_grad_(True)
        self.images = self.images[-KEPT:]

    def _statistics(self, style: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            features = self._student(style)
        return {
            layer: gram_matrix(features[layer])[0] / features[layer][0, 0].numel()
            for layer in LAYERS[:3]
        }

    def draw(self, edge_px: int) -> Tensor:
        """Return a crop (3, edge, edge) of one of the images."""
        image = self._rng.choice(self.images)
        left, top = (self._rng.randint(0, EDGE_PX - edge_px) for _ in range(2))
        crop = image[:, top : top + edge_px, left : left + edge_px]
        return crop.flip(2) if self._rng.random() < 0.5 else crop

"""Images that the student itself makes by optimisation: where it is wrong, they go."""

import random

from torch import Tensor

from stylebatch.device.choice import choose_precision
from stylebatch.device.from_recipe import objective_spec, solver_spec
from stylebatch.device.style_statistics import image_statistics
from stylebatch.extractors.weights import NORMALISATIONS
from stylebatch.recipes import recipe_fields, recipe_on
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.objective import Objective
from stylebatch.transfer.problem import Problem
from training.crops import Crops
from training.student import INPUT_STD, PADDING, SLIM, Student

EDGE_PX = 128
# Old images show what an old version did not see: only the last few hundred steps' are kept.
KEPT = 120
# The image is looked at after so many evaluations.
SNAPSHOTS = (6, 15, 30, 50)


class Replay:
    """Keeps the latest images that versions of the student have made."""

    def __init__(
        self, student: Student, photographs: Crops, paintings: Crops, rng: random.Random, count: int
    ) -> None:
        """Make `count` images at a time."""
        self._student, self._rng, self._count = student, rng, count
        self._photographs, self._paintings = photographs, paintings
        self.images: list[Tensor] = []
        # One level: what is looked at lies on the way of the size that is shown to the student.
        changes = {"steps": SNAPSHOTS[-1], "levels": 1, "tolerance": 0, "progress_at": SNAPSHOTS}
        self._recipe = recipe_on(SLIM.name, {**recipe_fields("balanced"), **changes})

    def make(self) -> None:
        """Stylise some crops with the student as it is, and keep the images on their way."""
        extractor = Extractor(
            SLIM,
            self._student.tensors(),
            self._recipe.layers,
            mean=self._student.mean,
            std=(INPUT_STD,) * 3,
            padding=PADDING,
            dtype=choose_precision("auto", "cpu"),
        )
        objective = Objective(objective_spec(self._recipe), extractor)
        solver = solver_spec(self._recipe, NORMALISATIONS["imagenet"])
        engine = Engine(objective, solver, self._count, EDGE_PX, EDGE_PX)
        for key in range(self._count):
            content = self._photographs.draw(EDGE_PX)[None]
            style = self._paintings.draw(EDGE_PX)[None]
            statistics = image_statistics(style, objective.spec, extractor)
            strength = self._rng.uniform(0.5, 2)
            engine.admit(Problem(key, content, (statistics,), strength))
        while engine.running:
            self.images += [snapshot.image[0] for snapshot in engine.step().snapshots]
        self.images = self.images[-KEPT:]

    def draw(self, edge_px: int) -> Tensor:
        """Return a crop (3, edge, edge) of one of the images."""
        image = self._rng.choice(self.images)
        left, top = (self._rng.randint(0, EDGE_PX - edge_px) for _ in range(2))
        crop = image[:, top : top + edge_px, left : left + edge_px]
        return crop.flip(2) if self._rng.random() < 0.5 else crop

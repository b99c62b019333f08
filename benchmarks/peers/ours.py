"""stylebatch on a peer's objective, and at its own defaults, watched as the peers are."""

from pathlib import Path

import torch

from benchmarks.peers.tools import Peer
from benchmarks.peers.watch import Watch
from benchmarks.setting.networks import load_extractor
from stylebatch.device.choice import choose_precision
from stylebatch.device.from_recipe import objective_spec, solver_spec
from stylebatch.device.style_statistics import image_statistics
from stylebatch.device.target_files import Statistics
from stylebatch.device.tensors import to_pixels, to_tensor
from stylebatch.extractors.weights import find_weights, layers_digest
from stylebatch.pictures.images import Pixels
from stylebatch.pictures.sizes import resize
from stylebatch.recipes import Settings, make_settings, recipe_fields, recipe_on
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.objective import Objective
from stylebatch.transfer.problem import Problem


def settings_for(peer: Peer, steps: int | None = None) -> Settings:
    """Return a peer's objective with the solver that its recipe ships with, and its budget."""
    fields = {**recipe_fields(peer.recipe), **peer.changes}
    recipe = recipe_on("vgg19", fields if steps is None else {**fields, "steps": steps})
    weights = find_weights("vgg19", str(peer.weights), Path.cwd())
    return make_settings(recipe, weights, layers_digest(weights, recipe.layers), "auto")


class Ours:
    """Settings on this machine, one image at a time, in the precision that `auto` chooses."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._objective = self._objective_in(choose_precision("auto", "cpu"))

    def _objective_in(self, dtype: torch.dtype) -> Objective:
        recipe = self._settings.recipe
        extractor = load_extractor(self._settings.weights, recipe, dtype)
        return Objective(objective_spec(recipe), extractor)

    def run(self, content: Pixels, style: Pixels, start: str) -> Watch:
        """Stylise one pair of squares, (H, W, 3)."""
        changes = {"start": start, "progress_every": 1}
        recipe = self._settings.recipe.model_copy(update=changes)
        spec = solver_spec(recipe, self._settings.weights.normalisation)
        watch = Watch()
        watch.begin()
        engine = Engine(self._objective, spec, 1, *content.shape[:2])
        statistics = tuple(
            _statistics(self._objective, resize(style, width, height))
            for height, width in engine.sizes
        )
        seed = 0 if start == "noise" else None
        engine.admit(
            Problem("pair", to_tensor(content), statistics, recipe.strength, noise_seed=seed)
        )
        while engine.running:
            for snapshot in engine.step().snapshots:
                image = snapshot.image
                watch.saw(lambda image=image: to_pixels(image.detach()))  # type: ignore[misc]
        return watch

    def loss(self, image: Pixels, content: Pixels, style: Pixels) -> float:
        """Return the loss of an image, in float32."""
        objective = self._objective_in(torch.float32)
        statistics = _statistics(objective, style)
        strength = self._settings.recipe.strength
        targets = objective.targets(to_tensor(content), statistics, strength)
        with torch.no_grad():
            return float(objective.losses(to_tensor(image), targets).total)


def _statistics(objective: Objective, style: Pixels) -> Statistics:
    return image_statistics(to_tensor(style), objective.spec, objective.extractor)

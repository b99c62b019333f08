"""A trial: every arm, a way of augmenting the photographs, on two networks and all tests."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.augmentation import corruptions, networks, views
from benchmarks.augmentation.parts import Labelled, Part, Pixels

PHOTOGRAPHS = "photographs"
NUM_VIEWS = 6
SHARE_OF_TRAINING = 0.8


class Arm(NamedTuple):
    """A way of augmenting: half the draws are photographs, half are of the sets.

    Attributes:
        sets: names of stylised sets; none: photographs only.
        strong: all draws are changed hard.
        noise: the draws of the sets have noise; without sets, half the photographs.
    """

    sets: tuple[str, ...] = ()
    strong: bool = False
    noise: bool = False

    @property
    def name(self) -> str:
        """What tables call it."""
        parts = [*self.sets, *["noise"] * self.noise, *["strong"] * self.strong]
        return " + ".join(parts) or PHOTOGRAPHS


class Trial:
    """Banks of views, their features and the tests, each made once and kept."""

    def __init__(
        self,
        part: Part,
        kinds: Sequence[corruptions.Corruption],
        severities: Sequence[int],
        cache: Path,
        steps: int = 600,
    ) -> None:
        """Prepare a trial.

        Args:
            cache: folder of features; another part or size needs another.
            steps: of training, in every arm.
        """
        self.part, self._cache, self.steps = part, cache, steps
        self.sets: dict[str, Pixels] = {PHOTOGRAPHS: part.train.images[None]}
        self._kinds, self._severities = kinds, severities
        self._banks: dict[tuple[str, bool, bool], Pixels] = {}
        cache.mkdir(parents=True, exist_ok=True)

    @cached_property
    def _features(self) -> networks.Features:
        return networks.Features()

    def bank(self, name: str, strong: bool, noise: bool) -> Pixels:
        """Return views of a set, uint8 (views, N, edge, edge, 3)."""
        key = (name, strong, noise)
        if key not in self._banks:
            edge = self.part.train.images.shape[1]
            images = self.sets[name]
            view = views.strong(edge) if strong else views.plain(edge)
            drawn = views.draw_views(images, view, NUM_VIEWS, seed=0)
            flat = drawn.reshape(-1, *drawn.shape[2:])
            self._banks[key] = views.noisy(flat, seed=0).reshape(drawn.shape) if noise else drawn
        return self._banks[key]

    def features(self, name: str, strong: bool, noise: bool) -> Tensor:
        """Return the features of a bank, float32 (views, N, features)."""
        bank = self.bank(name, strong, noise)
        file = f"{name}{'-strong' * strong}{'-noise' * noise}"
        return self._kept(file, bank.reshape(-1, *bank.shape[2:])).reshape(*bank.shape[:2], -1)

    def _kept(self, file: str, images: Pixels) -> Tensor:
        path = self._cache / f"{file}.pt"
        if not path.exists():
            torch.save(self._features(images), path)
        found: Tensor = torch.load(path, weights_only=True)
        return found

    @cached_property
    def tests(self) -> dict[str, Labelled]:
        """Photographs, other domains, and photographs in every corruption and severity."""
        part = self.part
        tests = {PHOTOGRAPHS: part.test, **part.domains}
        for kind in self._kinds:
            for severity in self._severities:
                images = corruptions.corrupted(part.test.images, kind, severity)
                tests[f"{kind.__name__} {severity}"] = Labelled(images, part.test.labels)
        return tests

    def run(self, arm: Arm, network: str, seed: int) -> dict[str, float]:
        """Train a network on four fifths of the photographs; return accuracies in percent."""
        part = self.part
        make = self.features if network == "frozen" else self._tensor_bank
        half = 0.5 if arm.sets or arm.noise else 1.0
        others = arm.sets or ((PHOTOGRAPHS,) if arm.noise else ())
        banks = [(make(PHOTOGRAPHS, arm.strong, False), half)]
        banks += [(make(name, arm.strong, arm.noise), half / len(others)) for name in others]
        generator = torch.Generator().manual_seed(1000 + seed)
        order = torch.randperm(len(part.paths), generator=generator)
        items = order[: round(SHARE_OF_TRAINING * len(order))]
        draws = networks.Draws(banks, torch.from_numpy(part.train.labels), items)
        train = networks.train_head if network == "frozen" else networks.train_small
        predict = train(draws, len(part.classes), seed, self.steps)
        return {
            name: networks.accuracy(predict, self._test_inputs(network, name), test.labels)
            for name, test in self.tests.items()
        }

    def _tensor_bank(self, name: str, strong: bool, noise: bool) -> Tensor:
        return torch.from_numpy(self.bank(name, strong, noise))

    def _test_inputs(self, network: str, name: str) -> Tensor:
        images = self.tests[name].images
        return (
            self._kept(f"test {name}", images) if network == "frozen" else torch.from_numpy(images)
        )


def summary(found: Mapping[str, float], domains: Sequence[str]) -> dict[str, float]:
    """Return the means that tables show: of photographs, domains, corruptions, noise and others."""
    corrupted = {name: value for name, value in found.items() if name[-1].isdigit()}
    noise = [value for name, value in corrupted.items() if name.split()[0] in corruptions.NOISE]
    others = [v for name, v in corrupted.items() if name.split()[0] not in corruptions.NOISE]
    return {
        PHOTOGRAPHS: found[PHOTOGRAPHS],
        "domains": float(np.mean([found[name] for name in domains])),
        **{name: found[name] for name in domains},
        "corruptions": float(np.mean(list(corrupted.values()))),
        "noise": float(np.mean(noise)),
        "others": float(np.mean(others)),
    }

"""Train `slim`: a narrow network whose linear heads give VGG-19's features.

    python -m training.train_slim VGG.safetensors PHOTOS PAINTINGS -o slim.safetensors

Regression on the features of crops of photographs, of paintings, and of images that earlier
versions of the network made by optimisation: without those the optimiser finds what it does not
see. Seeded: the same command gives the same file on one machine with one number of threads.
"""

import json
import math
import random
import time
from datetime import date
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
import typer
from torch import Tensor, nn

from stylebatch.device.choice import choose_precision
from stylebatch.extractors.weights import find_weights, load_tensors
from stylebatch.recipes import recipe_fields
from stylebatch.system.files import sha256_file
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.scales import halve
from stylebatch.transfer.sizes import at_scale
from training.crops import Crops, load_images
from training.holdout import HOLDOUT, read_names
from training.replay import Replay
from training.student import LAYERS, PADDING, SLIM, STYLE_LAYERS, VGG, Student

SOURCE = (
    "distilled from VGG-19 (Simonyan & Zisserman, CC BY 4.0) on CC0 photographs and "
    "public-domain paintings, by training/ of stylebatch"
)
# Of each crop, as `balanced` looks at images; a coarser one counts half.
NUM_SCALES = len(recipe_fields("balanced")["scales"])
WARM_UP_STEPS = 100
# Adam's, for the biases.
BIAS_RATE = 2e-3
# How much of an error's weight follows the size of its channel: 0 counts all channels alike.
MEAN_SHARE = 8.0


class Options(NamedTuple):
    """What decides a training, next to its inputs."""

    steps: int
    batch: int
    crop: int
    rate: float
    content_weight: float
    gram_weight: float
    replay_every: int
    replay_images: int
    seed: int


class Errors:
    """The teacher's features against the student's: relative errors of maps and Gram matrices."""

    def __init__(self, features: dict[str, Tensor], options: Options) -> None:
        """Take the size of each channel from some of the teacher's maps."""
        self._gram_weight = options.gram_weight
        self._layer_weights = dict.fromkeys(LAYERS, 1.0)
        self._layer_weights |= dict.fromkeys(SLIM.content_layers, options.content_weight)
        self._middle = {layer: features[layer].mean((0, 2, 3), keepdim=True) for layer in LAYERS}
        self._weights = {}
        for layer in LAYERS:
            variance = features[layer].var((0, 2, 3), keepdim=True)
            self._weights[layer] = 1 / (variance + MEAN_SHARE * variance.mean())

    def __call__(
        self, found: dict[str, Tensor], wanted: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the loss, and its parts by name."""
        parts: dict[str, Tensor] = {}
        # The first is exact.
        for layer in LAYERS[1:]:
            weight = self._weights[layer]
            spread = ((wanted[layer] - self._middle[layer]).square() * weight).mean()
            error = ((found[layer] - wanted[layer]).square() * weight).mean()
            parts[layer] = self._layer_weights[layer] * error / spread
        for layer in STYLE_LAYERS[1:]:
            target = _gram(wanted[layer])
            squares = (_gram(found[layer]) - target).square().sum((1, 2))
            share = squares / target.square().sum((1, 2))
            parts[f"gram {layer}"] = self._gram_weight * share.mean()
        values = {name: float(part.detach()) for name, part in parts.items()}
        return sum(parts.values(), torch.zeros(())), values


def _gram(maps: Tensor) -> Tensor:
    rows = maps.flatten(2)
    return rows @ rows.transpose(1, 2)


class Trainer:
    """The teacher, the student, and what they look at."""

    def __init__(self, vgg: Path, photographs: Crops, paintings: Crops, options: Options) -> None:
        self._photographs, self._paintings, self._options = photographs, paintings, options
        found = find_weights(VGG.name, str(vgg), Path.cwd())
        tensors, told = load_tensors(found, LAYERS), found.normalisation
        # As it will be used.
        dtype = self._dtype = choose_precision("auto", "cpu")
        self._teacher = Extractor(
            VGG, tensors, LAYERS, mean=told.mean, std=told.std, padding=PADDING, dtype=dtype
        )
        some = [crops.draw(options.crop) for crops in (photographs, paintings) for _ in range(24)]
        with torch.no_grad():
            features = {x: each.float() for x, each in self._teacher(torch.stack(some)).items()}
        self.student = Student(tensors, told.mean, told.std, features)
        self._errors = Errors(features, options)
        self.replay = Replay(
            self.student, photographs, paintings, photographs.rng, options.replay_images
        )
        matrices, self._vectors = self.student.groups()
        self._optimisers = {
            torch.optim.Muon(matrices, lr=options.rate, weight_decay=0): options.rate,
            torch.optim.Adam(self._vectors, lr=BIAS_RATE, betas=(0.9, 0.99)): BIAS_RATE,
        }

    def step(self, share: float) -> dict[str, float]:
        """Take one step with a share of the learning rates; return the errors before it."""
        images = self._batch()
        loss, parts = torch.zeros(()), dict[str, float]()
        for scale in range(NUM_SCALES):
            images = halve(images) if scale else images
            with torch.no_grad():
                wanted = {x: maps.float() for x, maps in self._teacher(images).items()}
            with torch.autocast("cpu", self._dtype, enabled=self._dtype != torch.float32):
                maps = self.student(images)
            error, found = self._errors({x: each.float() for x, each in maps.items()}, wanted)
            loss = loss + error / 2**scale
            parts |= {at_scale(layer, scale): value for layer, value in found.items()}
        self.student.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._vectors, 1.0)
        for optimiser, rate in self._optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = rate * share
            optimiser.step()
        return parts

    def _batch(self) -> Tensor:
        options = self._options
        num_made = options.batch * 6 // 10 if self.replay.images else 0
        images = [self.replay.draw(options.crop) for _ in range(num_made)]
        while len(images) < options.batch:
            crops = self._photographs if len(images) % 2 else self._paintings
            images.append(crops.draw(options.crop))
        return torch.stack(images)


def rate_at(step: int, steps: int) -> float:
    """Return the share of the learning rate: a short rise, then half a cosine."""
    return min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1 + math.cos(math.pi * step / steps))


def train(
    vgg: Annotated[Path, typer.Argument(help="VGG-19 to conv3_3 or deeper, .safetensors.")],
    photos: Annotated[Path, typer.Argument(help="Folder of photographs.")],
    paintings: Annotated[Path, typer.Argument(help="Folder of paintings.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The weights file.")],
    left_out: Annotated[
        Path, typer.Option(help="Images that are not trained on, one path a line.")
    ] = HOLDOUT,
    steps: Annotated[int, typer.Option(help="Steps of the optimiser.")] = 4000,
    batch: Annotated[
        int, typer.Option(help="Crops a step; a good half of them from made images.")
    ] = 8,
    crop: Annotated[int, typer.Option(help="Edge of a crop, px.")] = 96,
    rate: Annotated[float, typer.Option(help="Muon's learning rate.")] = 0.05,
    content_weight: Annotated[float, typer.Option(help="Of the content layer's errors.")] = 2.0,
    gram_weight: Annotated[float, typer.Option(help="Of the Gram matrices' errors.")] = 0.1,
    replay_every: Annotated[int, typer.Option(help="Make images after so many steps.")] = 150,
    replay_images: Annotated[int, typer.Option(help="So many at a time.")] = 6,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Train a light extractor."""
    torch.manual_seed(seed)
    rng, names = random.Random(seed), read_names(left_out)
    photographs = Crops(load_images(photos, names), rng, jitter=False)
    painted = Crops(load_images(paintings, names), rng, jitter=True)
    options = Options(
        steps, batch, crop, rate, content_weight, gram_weight, replay_every, replay_images, seed
    )
    trainer = Trainer(vgg, photographs, painted, options)
    facts = {
        "source": SOURCE,
        "teacher": f"sha256 {sha256_file(vgg)}",
        "training": json.dumps(options._asdict()),
        "date": date.today().isoformat(),
    }
    began, errors = time.perf_counter(), dict[str, float]()
    for step in range(steps):
        if step and step % replay_every == 0:
            trainer.replay.make()
            trainer.student.save(output, facts)
        for name, value in trainer.step(rate_at(step, steps)).items():
            errors[name] = 0.98 * errors.get(name, value) + 0.02 * value
        if step % 100 == 99:
            text = "  ".join(f"{name} {value:.4f}" for name, value in errors.items())
            print(f"{(time.perf_counter() - began) / 60:6.1f} min  {step + 1}  {text}", flush=True)
    trainer.student.save(output, facts)


if __name__ == "__main__":
    typer.run(train)

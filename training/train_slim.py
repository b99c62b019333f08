"""Train `slim`: a narrow network whose linear heads give VGG-19's features.

    python training/train_slim.py VGG.safetensors PHOTOS PAINTINGS -o slim.safetensors

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
from typing import Annotated

import torch
import typer
from crops import Crops, load_images, read_names
from replay import Replay
from student import LAYERS, SLIM, VGG, Student
from torch import Tensor, nn

from stylebatch.device import choose_precision
from stylebatch.files import sha256_file
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.losses import gram_matrix
from stylebatch.weights import find_weights, load_tensors

SOURCE = (
    "distilled from VGG-19 (Simonyan & Zisserman, CC BY 4.0) on CC0 photographs and "
    "public-domain paintings, by training/ of stylebatch"
)
HERE = Path(__file__).parent
STYLE_LAYERS = LAYERS[:3]
WARM_UP_STEPS = 100
# Adam's, for the biases.
BIAS_RATE = 2e-3
# How much of an error's weight follows the size of its channel: 0 counts all channels alike.
MEAN_SHARE = 8.0


class Errors:
    """The teacher's features against the student's: relative errors of maps and Gram matrices."""

    def __init__(self, features: dict[str, Tensor], gram_weight: float) -> None:
        """Take the size of each channel from some of the teacher's maps."""
        self._gram_weight = gram_weight
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
            parts[layer] = error / spread
        for layer in STYLE_LAYERS[1:]:
            target = gram_matrix(wanted[layer])
            squares = (gram_matrix(found[layer]) - target).square().sum((1, 2))
            share = squares / target.square().sum((1, 2))
            parts[f"gram {layer}"] = self._gram_weight * share.mean()
        return sum(parts.values(), torch.zeros(())), {
            k: float(x.detach()) for k, x in parts.items()
        }


def rate_at(step: int, steps: int) -> float:
    """Return the share of the learning rate: a short rise, then half a cosine."""
    return min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1 + math.cos(math.pi * step / steps))


def train(
    vgg: Annotated[Path, typer.Argument(help="VGG-19 to conv3_3 or deeper, .safetensors.")],
    photos: Annotated[Path, typer.Argument(help="Folder of photographs.")],
    paintings: Annotated[Path, typer.Argument(help="Folder of paintings.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The weights file.")],
    steps: Annotated[int, typer.Option(help="Steps of the optimiser.")] = 5000,
    batch: Annotated[
        int, typer.Option(help="Crops a step; a good half of them from made images.")
    ] = 10,
    crop: Annotated[int, typer.Option(help="Edge of a crop, px.")] = 96,
    rate: Annotated[float, typer.Option(help="Muon's learning rate.")] = 0.06,
    gram_weight: Annotated[float, typer.Option(help="Of the Gram matrices' errors.")] = 0.1,
    replay_every: Annotated[int, typer.Option(help="Make images after so many steps.")] = 150,
    start: Annotated[Path | None, typer.Option(help="Go on from this file.")] = None,
    left_out: Annotated[
        Path, typer.Option(help="Images that are not trained on, one path a line.")
    ] = HERE / "holdout.txt",
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Train a light extractor."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    names = read_names(left_out)
    photographs = Crops(load_images(photos, names), rng, jitter=False)
    painted = Crops(load_images(paintings, names), rng, jitter=True)
    found = find_weights(VGG.name, str(vgg), Path.cwd())
    tensors = load_tensors(found, LAYERS)
    mean, std = found.normalisation.mean, found.normalisation.std
    dtype = choose_precision("auto", "cpu")
    teacher = Extractor(VGG, tensors, LAYERS, mean=mean, std=std, dtype=dtype)
    student = Student(tensors, mean, std)
    with torch.no_grad():
        some = [source.draw(crop) for source in (photographs, painted) for _ in range(24)]
        features = teacher(torch.stack(some))
    student.scale_to(features)
    if start:
        student.start_from(load_tensors(find_weights(SLIM.name, str(start), Path.cwd()), LAYERS))
    errors = Errors(features, gram_weight)
    replay = Replay(student, photographs, painted, rng)
    matrices, vectors = student.groups()
    optimisers = [
        torch.optim.Muon(matrices, lr=rate, weight_decay=0),
        torch.optim.Adam(vectors, lr=BIAS_RATE, betas=(0.9, 0.99)),
    ]
    facts = {
        "source": SOURCE,
        "teacher": f"sha256 {sha256_file(vgg)}",
        "training": json.dumps(
            {"steps": steps, "batch": batch, "crop": crop, "rate": rate, "seed": seed}
        ),
        "date": date.today().isoformat(),
    }
    began, mean_parts = time.perf_counter(), dict[str, float]()
    for step in range(steps):
        if (step or start) and step % replay_every == 0:
            replay.make()
            student.save(output, facts)
        images = [replay.draw(crop) for _ in range(batch * 6 // 10 if replay.images else 0)]
        while len(images) < batch:
            images.append((photographs if len(images) % 2 else painted).draw(crop))
        stacked = torch.stack(images)
        with torch.no_grad():
            wanted = teacher(stacked)
        loss, parts = errors(student(stacked), wanted)
        for optimiser, full in zip(optimisers, (rate, BIAS_RATE), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = full * rate_at(step, steps)
            optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(vectors, 1.0)
        for optimiser in optimisers:
            optimiser.step()
        for name, value in parts.items():
            mean_parts[name] = 0.98 * mean_parts.get(name, value) + 0.02 * value
        if step % 100 == 99:
            text = "  ".join(f"{name} {value:.4f}" for name, value in mean_parts.items())
            print(f"{(time.perf_counter() - began) / 60:6.1f} min  {step + 1}  {text}", flush=True)
    student.save(output, facts)


if __name__ == "__main__":
    typer.run(train)

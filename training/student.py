"""The network that is trained: `slim` as the table of architectures has it, with its heads."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.extractors.weights import Normalisation
from stylebatch.extractors.weights.convert import write_weights
from stylebatch.recipes import recipe_fields

SLIM, VGG = ARCHITECTURES["slim"], ARCHITECTURES["vgg19"]
LAYERS = tuple(SLIM.heads)
STYLE_LAYERS = SLIM.style_layers
# The teacher's and its own: as `balanced` has it.
PADDING = str(recipe_fields("balanced")["padding"])
# conv1_1 is linear: its filters are chosen from the teacher's own, and its head follows from them.
EXACT = LAYERS[0]
# Maps of about unit size inside the network; the teacher's input is in 0–255.
INPUT_STD = 64 / 255
FIRST_SCALE = 1 / 150

Tensors = dict[str, tuple[Tensor, Tensor]]


class Student(nn.Module):
    """Images (B, 3, H, W) in [0, 1] → the teacher's layers, imitated: (B, C, h, w) by name.

    Filters and heads are matrices (O, I·k·k), as the optimiser wants them.
    """

    _mean: Tensor

    def __init__(self, teacher: Tensors, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        """Start from the teacher's first filters and from seeded random ones.

        Args:
            teacher: the teacher's convolutions; only the first is looked at.
            mean, std: of the teacher's input.
        """
        super().__init__()
        self.mean = mean
        self.register_buffer("_mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.weights, self.biases = nn.ParameterDict(), nn.ParameterDict()
        for part in SLIM.convolutions():
            scale = (2 / part.fan_in) ** 0.5
            matrix = torch.randn(part.channels_out, part.fan_in) * scale
            self.weights[_key(part.name)] = nn.Parameter(matrix)
            self.biases[_key(part.name)] = nn.Parameter(torch.zeros(part.channels_out))
        self._set_first(teacher["conv1_1"], std)
        # The heads are trained towards features of unit size around zero.
        for layer in LAYERS[1:]:
            channels = SLIM.heads[layer].channels_out
            self.register_buffer(f"_size_{layer}", torch.ones(channels))
            self.register_buffer(f"_middle_{layer}", torch.zeros(channels))

    def _set_first(self, first: tuple[Tensor, Tensor], std: tuple[float, ...]) -> None:
        """Take the most independent of the teacher's filters, and the head that gives all back."""
        weight, bias = (tensor.double() for tensor in first)
        # Of our input, which has another scale than the teacher's.
        ratio = torch.tensor([INPUT_STD / value for value in std]).view(1, 3, 1, 1)
        every = (weight * ratio).flatten(1)
        chosen = most_independent(every, SLIM.convolutions()[0].channels_out)
        own, own_bias = every[chosen] * FIRST_SCALE, bias[chosen] * FIRST_SCALE
        head = every @ torch.linalg.pinv(own)
        name, head_name = SLIM.convolutions()[0].name, SLIM.heads[EXACT].name
        for key, matrix, shift in (
            (name, own, own_bias),
            (head_name, head, bias - head @ own_bias),
        ):
            self.weights[_key(key)] = nn.Parameter(matrix.float(), requires_grad=False)
            self.biases[_key(key)] = nn.Parameter(shift.float(), requires_grad=False)

    def scale_to(self, features: dict[str, Tensor]) -> None:
        """Set size and middle of each of the teacher's channels from some of its maps."""
        for layer in LAYERS[1:]:
            getattr(self, f"_size_{layer}").copy_(features[layer].std((0, 2, 3)))
            getattr(self, f"_middle_{layer}").copy_(features[layer].mean((0, 2, 3)))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        x = (images - self._mean) / INPUT_STD
        found = {}
        for layer in SLIM.layers:
            if layer.convolutions:
                (part,) = layer.convolutions
                weight = self.weights[_key(part.name)].view(part.shape)
                padding = part.padding
                if part.name in SLIM.padded(PADDING):
                    x, padding = F.pad(x, (padding,) * 4, mode="replicate"), 0
                x = F.conv2d(x, weight, self.biases[_key(part.name)], part.stride, padding)
            elif layer.pooling:
                x = F.max_pool2d(x, layer.pooling.kernel, layer.pooling.stride)
            else:
                x = F.relu(x)
            if layer.name in SLIM.heads:
                found[layer.name] = F.conv2d(x, *self._head(layer.name))
        return found

    def _head(self, layer: str) -> tuple[Tensor, Tensor]:
        key = _key(SLIM.heads[layer].name)
        weight, bias = self.weights[key], self.biases[key]
        if layer != EXACT:
            size, middle = getattr(self, f"_size_{layer}"), getattr(self, f"_middle_{layer}")
            weight, bias = weight * size[:, None], bias * size + middle
        return weight[:, :, None, None], bias

    def groups(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Return what is trained: matrices, and vectors."""
        matrices = [weight for weight in self.weights.values() if weight.requires_grad]
        return matrices, [bias for bias in self.biases.values() if bias.requires_grad]

    @torch.no_grad()
    def tensors(self) -> Tensors:
        """Return copies of filters and biases, as an extractor takes them."""
        found = {}
        for part in SLIM.convolutions():
            key = _key(part.name)
            layer = part.name.removesuffix(".head")
            if part is SLIM.heads.get(layer):
                weight, bias = self._head(layer)
            else:
                weight, bias = self.weights[key].view(part.shape), self.biases[key]
            found[part.name] = (weight.detach().clone(), bias.detach().clone())
        return found

    @torch.no_grad()
    def start_from(self, tensors: Tensors) -> None:
        """Take what an earlier training gave, but for what follows from the teacher."""
        for part in SLIM.convolutions():
            key, layer = _key(part.name), part.name.removesuffix(".head")
            if not self.weights[key].requires_grad:
                continue
            weight, bias = tensors[part.name][0].flatten(1), tensors[part.name][1]
            if part is SLIM.heads.get(layer):
                size, middle = getattr(self, f"_size_{layer}"), getattr(self, f"_middle_{layer}")
                weight, bias = weight / size[:, None], (bias - middle) / size
            self.weights[key].copy_(weight)
            self.biases[key].copy_(bias)

    def save(self, path: Path, facts: dict[str, str]) -> None:
        """Write the weights file that stylebatch reads."""
        red, green, blue = self.mean
        told = Normalisation((red, green, blue), (INPUT_STD,) * 3)
        write_weights(path, SLIM.name, self.tensors(), told, facts)


def _key(name: str) -> str:
    # Names of modules hold no dots.
    return name.replace(".", "-")


def most_independent(rows: Tensor, count: int) -> list[int]:
    """Choose rows of a matrix by pivoted Gram-Schmidt, the largest of the rest after its rank."""
    rank = int(torch.linalg.matrix_rank(rows))
    rest = rows / rows.norm(dim=1, keepdim=True)
    chosen: list[int] = []
    while len(chosen) < min(count, len(rows)):
        sizes = (rest if len(chosen) < rank else rows).norm(dim=1)
        sizes[chosen] = -1
        best = int(sizes.argmax())
        chosen.append(best)
        direction = rest[best] / rest[best].norm().clamp_min(1e-12)
        rest = rest - (rest @ direction)[:, None] * direction
    return chosen

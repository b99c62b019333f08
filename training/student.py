"""The network that is trained: `slim` as the table of architectures has it, with its heads."""

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.extractors.weights import Normalisation
from stylebatch.extractors.weights.convert import write_weights
from stylebatch.recipes import recipe_fields
from training.subset import choose_channels, fit_head, second_moments

SLIM, VGG = ARCHITECTURES["slim"], ARCHITECTURES["vgg19"]
# Before the activation, where heads are linear in what they imitate.
STYLE_LAYERS = tuple(SLIM.before_activation(layer) for layer in SLIM.style_layers)
LAYERS = (*STYLE_LAYERS, *SLIM.content_layers)
# The teacher's and its own: as `balanced` has it.
PADDING = str(recipe_fields("balanced")["padding"])
# conv1_1 is linear: its filters are chosen from the teacher's own, and its head follows from them.
EXACT = STYLE_LAYERS[0]
# Maps of about unit size inside the network; the teacher's input is in 0–255.
INPUT_STD = 64 / 255
FIRST_SCALE = 1 / 150

Tensors = dict[str, tuple[Tensor, Tensor]]


class Student(nn.Module):
    """Images (B, 3, H, W) in [0, 1] → the teacher's layers, imitated: (B, C, h, w) by name.

    Filters and heads are matrices (O, I·k·k), as the optimiser wants them. After the activation the
    style's layers follow from those before: some channels are formed and rectified, and a linear
    fit gives all from these.

    Attributes:
        chosen: layer of the style → which of the teacher's channels are formed.
    """

    _mean: Tensor

    def __init__(
        self,
        teacher: Tensors,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        maps: Mapping[str, Tensor],
    ) -> None:
        """Start from the teacher's first filters and from seeded random ones.

        Args:
            teacher: the teacher's convolutions; only the first is looked at.
            mean, std: of the teacher's input.
            maps: some of the teacher's, by layer of LAYERS.
        """
        super().__init__()
        self.mean = mean
        self.register_buffer("_mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.weights, self.biases = nn.ParameterDict(), nn.ParameterDict()
        # Those of the network, and heads before the activation.
        for part in SLIM.convolutions(LAYERS):
            scale = (2 / part.fan_in) ** 0.5
            matrix = torch.randn(part.channels_out, part.fan_in) * scale
            self.weights[_key(part.name)] = nn.Parameter(matrix)
            self.biases[_key(part.name)] = nn.Parameter(torch.zeros(part.channels_out))
        self.chosen: dict[str, list[int]] = {}
        for layer, before in zip(SLIM.style_layers, STYLE_LAYERS, strict=True):
            moments = second_moments(F.relu(maps[before]))
            chosen = choose_channels(moments, SLIM.heads[layer].channels_in)
            self.chosen[layer] = chosen
            weight, bias = fit_head(moments, chosen)
            # Fitted to the teacher's maps; its own first ones are smaller.
            scale = FIRST_SCALE if before == EXACT else 1
            self._freeze(SLIM.heads[layer].name, weight / scale, bias)
        self._set_first(teacher["conv1_1"], std)
        # The heads are trained towards features of unit size around zero.
        for layer in LAYERS[1:]:
            self.register_buffer(f"_size_{layer}", maps[layer].std((0, 2, 3)))
            self.register_buffer(f"_middle_{layer}", maps[layer].mean((0, 2, 3)))

    def _freeze(self, name: str, weight: Tensor, bias: Tensor) -> None:
        for group, values in ((self.weights, weight), (self.biases, bias)):
            group[_key(name)] = nn.Parameter(values.float(), requires_grad=False)

    def _set_first(self, first: tuple[Tensor, Tensor], std: tuple[float, ...]) -> None:
        """Take the teacher's filters that are chosen, and the head that gives all back."""
        weight, bias = (tensor.double() for tensor in first)
        # Of our input, which has another scale than the teacher's.
        ratio = torch.tensor([INPUT_STD / value for value in std]).view(1, 3, 1, 1)
        every = (weight * ratio).flatten(1)
        chosen = self.chosen[SLIM.style_layers[0]]
        own, own_bias = every[chosen] * FIRST_SCALE, bias[chosen] * FIRST_SCALE
        head = every @ torch.linalg.pinv(own)
        self._freeze(SLIM.convolutions()[0].name, own, own_bias)
        self._freeze(SLIM.heads[EXACT].name, head, bias - head @ own_bias)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        # So that poolings are quick: `Extractor`.
        x = ((images - self._mean) / INPUT_STD).contiguous(memory_format=torch.channels_last)
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
            if layer.name in LAYERS:
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
        """Return copies of filters, branches, heads and biases, as an extractor takes them."""
        found = {}
        for part in SLIM.convolutions():
            layer = part.name.partition(".")[0]
            if part is SLIM.heads.get(layer) and layer in LAYERS:
                weight, bias = self._head(layer)
            elif part is SLIM.branches.get(layer):
                weight, bias = self._head(SLIM.before_activation(layer))
                weight, bias = weight[self.chosen[layer]], bias[self.chosen[layer]]
            else:
                weight, bias = self.weights[_key(part.name)], self.biases[_key(part.name)]
            found[part.name] = (weight.view(part.shape).detach().clone(), bias.detach().clone())
        return found

    def save(self, path: Path, facts: dict[str, str]) -> None:
        """Write the weights file that stylebatch reads."""
        red, green, blue = self.mean
        told = Normalisation((red, green, blue), (INPUT_STD,) * 3)
        write_weights(path, SLIM.name, self.tensors(), told, facts)


def _key(name: str) -> str:
    # Names of modules hold no dots.
    return name.replace(".", "-")

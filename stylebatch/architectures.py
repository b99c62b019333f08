"""Layer tables of the extractors: names, shapes, cost. No torch here."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from stylebatch.errors import UserError


class UnknownLayerError(UserError):
    """A layer that the architecture does not have."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One operation of a network, under its paper name (`conv3_1`, `relu3_1`, `pool3`).

    Attributes:
        kind: conv | relu | pool.
        channels_in, channels_out: of its feature maps.
        downscale: input pixels per output pixel along an edge, pooling of the layer included.
        parameters: prefix of a convolution's tensors in torchvision's state dict, else "".
    """

    name: str
    kind: str
    channels_in: int
    channels_out: int
    downscale: int
    parameters: str = ""

    @property
    def multiply_adds_per_pixel(self) -> float:
        """Multiply-adds of a forward pass per pixel of the *input image*."""
        if self.kind != "conv":
            return 0.0
        return 9 * self.channels_in * self.channels_out / self.downscale**2


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network as a row of operations, in order."""

    name: str
    layers: tuple[Layer, ...]

    def up_to(self, names: Iterable[str]) -> tuple[Layer, ...]:
        """Return the operations needed for the named layers, the deepest of them last.

        Raises:
            UnknownLayerError: a name that the architecture does not have.
        """
        known = [layer.name for layer in self.layers]
        last = -1
        for name in names:
            if name not in known:
                raise _unknown_layer(self.name, name, known)
            last = max(last, known.index(name))
        return self.layers[: last + 1]

    def convolutions(self, names: Iterable[str]) -> tuple[Layer, ...]:
        """Return the convolutions whose weights the named layers need, in order."""
        return tuple(layer for layer in self.up_to(names) if layer.kind == "conv")

    def smallest_edge_px(self, names: Iterable[str], padding: str) -> int:
        """Return the smallest edge of an input of which the named layers still see something.

        Args:
            padding: zeros | reflect | replicate; reflection needs a second pixel to reflect.
        """
        deepest = max(layer.downscale for layer in self.up_to(names))
        return 2 * deepest if padding == "reflect" else deepest

    def multiply_adds_per_pixel(self, names: Iterable[str]) -> float:
        """Multiply-adds of one forward pass to the named layers per pixel of the input image."""
        return sum(layer.multiply_adds_per_pixel for layer in self.up_to(names))


def _unknown_layer(arch: str, name: str, known: list[str]) -> UnknownLayerError:
    near = get_close_matches(name, known, n=1)
    todo = f"did you mean '{near[0]}'?" if near else "name one of these"
    convs = [layer for layer in known if layer.startswith("conv")]
    allowed = f"{arch} has {', '.join(convs)} (relu… after the activation, pool…)"
    return UnknownLayerError("layer", f"'{name}' is no layer of {arch}", allowed, todo)


def _vgg(name: str, blocks: tuple[int, ...]) -> Architecture:
    """Source: Simonyan & Zisserman 2015, table 1; `parameters` counts torchvision's `features`."""
    layers: list[Layer] = []
    channels, index = 3, 0
    for block, convolutions in enumerate(blocks, start=1):
        width, downscale = min(64 * 2 ** (block - 1), 512), 2 ** (block - 1)
        for number in range(1, convolutions + 1):
            tag = f"{block}_{number}"
            prefix = f"features.{index}"
            layers.append(Layer(f"conv{tag}", "conv", channels, width, downscale, prefix))
            layers.append(Layer(f"relu{tag}", "relu", width, width, downscale))
            channels, index = width, index + 2
        layers.append(Layer(f"pool{block}", "pool", width, width, 2 * downscale))
        index += 1
    return Architecture(name, tuple(layers))


ARCHITECTURES: dict[str, Architecture] = {
    "vgg19": _vgg("vgg19", (2, 2, 4, 4, 4)),
}

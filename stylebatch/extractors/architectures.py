"""Layer tables of the extractors: names, shapes, cost. No torch here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from stylebatch.errors import UserError
from stylebatch.extractors.layers import Convolution, Layer, Pooling, Reach

__all__ = [
    "ARCHITECTURES",
    "DEFAULT_ARCHITECTURE",
    "Architecture",
    "Convolution",
    "Layer",
    "Pooling",
    "Reach",
    "UnknownLayerError",
]

# Convolutions that `replicate_shallow` means: of VGG those that see the full image, and one more.
NUM_SHALLOW = 3


class UnknownLayerError(UserError):
    """A layer that the architecture does not have."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network as a row of operations, in order.

    Attributes:
        content_layers, style_layers: its own, for a recipe whose layers are `default`: content
            before the activation, style after it.
        heads: 1×1 convolutions of layers that imitate wider ones; where there are any, only these
            layers can be named, and what they give is what their heads make of them.
        branches: 1×1 convolutions, of layers that rectify, of what these rectify: where there is
            one, the layer's maps are its output, rectified; what follows sees nothing of it.
        name_in_digests: where it is not its own. A network that gave its name to another keeps it
            there, and that other has one that stands for no network before it.
    """

    name: str
    layers: tuple[Layer, ...]
    content_layers: tuple[str, ...]
    style_layers: tuple[str, ...]
    heads: Mapping[str, Convolution] = field(default_factory=dict)
    branches: Mapping[str, Convolution] = field(default_factory=dict)
    name_in_digests: str = ""

    @property
    def digest_name(self) -> str:
        """The name that stands in digests: two networks never share one."""
        return self.name_in_digests or self.name

    def up_to(self, names: Iterable[str]) -> tuple[Layer, ...]:
        """Return the operations needed for the named layers, the deepest of them last.

        Raises:
            UnknownLayerError: a name that the architecture does not have, or that has no head
                where others have.
        """
        order = [layer.name for layer in self.layers]
        last = -1
        for name in names:
            if name not in self.tappable:
                raise _unknown_layer(self, name)
            last = max(last, order.index(name))
        return self.layers[: last + 1]

    @property
    def tappable(self) -> tuple[str, ...]:
        """The layers that a recipe can name."""
        return tuple(self.heads) or tuple(layer.name for layer in self.layers)

    def before_activation(self, name: str) -> str:
        """Return the layer that a layer rectifies; the layer itself where it does not rectify."""
        order = [layer.name for layer in self.layers]
        index = order.index(name)
        layer = self.layers[index]
        is_activation = not layer.convolutions and layer.pooling is None
        return order[index - 1] if is_activation else name

    def convolutions(self, names: Iterable[str] | None = None) -> tuple[Convolution, ...]:
        """Return the convolutions whose weights the named layers need (None: all), in order.

        Branches and heads come last.
        """
        wanted = self.tappable if names is None else tuple(names)
        layers = self.layers if names is None else self.up_to(wanted)
        sides = (self.branches, self.heads)
        aside = (part for side in sides for layer, part in side.items() if layer in wanted)
        return (*(part for layer in layers for part in layer.convolutions), *aside)

    def padded(self, padding: str) -> frozenset[str]:
        """Return the convolutions whose input's border is continued, where others see zeros.

        Args:
            padding: zeros | reflect | replicate | replicate_shallow: of the first three only.
        """
        every = [part.name for layer in self.layers for part in layer.convolutions]
        count = {"zeros": 0, "replicate_shallow": NUM_SHALLOW}.get(padding, len(every))
        return frozenset(every[:count])

    def smallest_edge_px(self, names: Iterable[str], padding: str) -> int:
        """Return the smallest edge of an input of which the named layers still see something.

        Args:
            padding: zeros | reflect | replicate; reflection needs more pixels than it adds.
        """
        edge = 1
        for layer in reversed(self.up_to(names)):
            edge = layer.edge_before(edge, padding)
        return edge

    def edge_of(self, name: str, edge: int) -> int:
        """Return the edge of a layer's maps of an input of this edge."""
        for layer in self.up_to([name]):
            edge = layer.edge_after(edge)
        return edge

    def reach_of(self, name: str) -> Reach:
        """Return which pixels of the input decide a position of a layer's maps.

        Padding that continues a border takes nothing from beyond them either.
        """
        found = Reach(1, 0, 0)
        for layer in reversed(self.up_to([name])):
            found = layer.reach_before(found)
        return found

    def multiply_adds_per_pixel(self, names: Iterable[str]) -> float:
        """Multiply-adds of one forward pass to the named layers per pixel of the input image."""
        return sum(layer.multiply_adds_per_pixel for layer in self.up_to(names))


def _unknown_layer(own: Architecture, name: str) -> UnknownLayerError:
    known = own.tappable
    near = get_close_matches(name, known, n=1)
    todo = f"did you mean '{near[0]}'?" if near else "name one of these"
    others = [other.name for other in ARCHITECTURES.values() if name in other.tappable]
    if others:
        todo = (
            f"it is one of {', '.join(others)}: use `recipe: balanced`, which takes each "
            "architecture's own, or override content_layers and style_layers "
            f"(`default`: {own.name}'s own)"
        )
    convolutions = [x.name for x in own.layers if x.convolutions and x.name in known]
    rest = [layer for layer in known if layer not in convolutions]
    more = ", …" if len(rest) > 3 else ""
    others_too = f" (and {', '.join(rest[:3])}{more})" if rest else ""
    allowed = f"{own.name} has {', '.join(convolutions)}{others_too}"
    return UnknownLayerError("layer", f"'{name}' is no layer of {own.name}", allowed, todo)


class _Table:
    """Layers one after another: each takes the channels and the scale of the one before."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.channels, self.downscale = 3, 1

    def convolve(
        self,
        name: str,
        parameters: str,
        channels: int,
        kernel: int = 3,
        stride: int = 1,
        padding: int = 1,
    ) -> None:
        part = Convolution(name, parameters, self.channels, channels, kernel, stride, padding)
        self._join(name, part)

    def _join(self, name: str, *parts: Convolution) -> None:
        self.downscale *= parts[0].stride
        channels = sum(part.channels_out for part in parts)
        self.layers.append(Layer(name, self.channels, channels, self.downscale, parts))
        self.channels = channels

    def rectify(self, name: str) -> None:
        self.layers.append(Layer(name, self.channels, self.channels, self.downscale))

    def pool(self, name: str, pooling: Pooling) -> None:
        self.downscale *= pooling.stride
        layer = Layer(name, self.channels, self.channels, self.downscale, pooling=pooling)
        self.layers.append(layer)

    def fire(self, name: str, parameters: str, squeezed: int) -> None:
        """Squeeze by 1×1, then expand by 1×1 and 3×3 side by side, each to 4 × as many channels."""
        self.convolve(f"{name}_squeeze", f"{parameters}.squeeze", squeezed, 1, 1, 0)
        self.rectify(f"{name}_squeeze_relu")
        parts = [
            Convolution(
                f"{name}_expand{kernel}x{kernel}",
                f"{parameters}.expand{kernel}x{kernel}",
                squeezed,
                4 * squeezed,
                kernel,
                padding=kernel // 2,
            )
            for kernel in (1, 3)
        ]
        self._join(f"{name}_expand", *parts)
        self.rectify(name)

    def named(self, name: str, content: list[str], style: list[str]) -> Architecture:
        return Architecture(name, tuple(self.layers), tuple(content), tuple(style))


def _vgg(name: str, blocks: tuple[int, ...]) -> Architecture:
    """Source: Simonyan & Zisserman 2015, table 1; `parameters` counts torchvision's `features`."""
    table, index = _Table(), 0
    for block, convolutions in enumerate(blocks, start=1):
        width = min(64 * 2 ** (block - 1), 512)
        for number in range(1, convolutions + 1):
            table.convolve(f"conv{block}_{number}", f"features.{index}", width)
            table.rectify(f"relu{block}_{number}")
            index += 2
        table.pool(f"pool{block}", Pooling())
        index += 1
    return table.named(name, content=["conv3_3"], style=["relu1_1", "relu2_1", "relu3_1"])


def _alexnet() -> Architecture:
    """Source: Krizhevsky 2014 (one tower, as torchvision has it)."""
    table = _Table()
    table.convolve("conv1", "features.0", 64, kernel=11, stride=4, padding=2)
    table.rectify("relu1")
    table.pool("pool1", Pooling(3))
    table.convolve("conv2", "features.3", 192, kernel=5, padding=2)
    table.rectify("relu2")
    table.pool("pool2", Pooling(3))
    for number, index, width in ((3, 6, 384), (4, 8, 256), (5, 10, 256)):
        table.convolve(f"conv{number}", f"features.{index}", width)
        table.rectify(f"relu{number}")
    table.pool("pool5", Pooling(3))
    return table.named("alexnet", content=["conv4"], style=["relu1", "relu2", "relu3"])


def _squeezenet() -> Architecture:
    """Source: Iandola et al. 2016; version 1.1 of the authors' repository, as torchvision has it.

    `fire2` is a module's output, after its activation; `fire2_expand` the same before it.
    """
    table, pooling = _Table(), Pooling(3, ceil_mode=True)
    table.convolve("conv1", "features.0", 64, stride=2, padding=0)
    table.rectify("relu1")
    table.pool("pool1", pooling)
    table.fire("fire2", "features.3", 16)
    table.fire("fire3", "features.4", 16)
    table.pool("pool3", pooling)
    table.fire("fire4", "features.6", 32)
    table.fire("fire5", "features.7", 32)
    table.pool("pool5", pooling)
    for number, index, squeezed in ((6, 9, 48), (7, 10, 48), (8, 11, 64), (9, 12, 64)):
        table.fire(f"fire{number}", f"features.{index}", squeezed)
    style = ["relu1", "fire2", "fire3"]
    return table.named("squeezenet1_1", content=["fire4_expand"], style=style)


# What VGG-19's layers have, which slim's stand for.
_VGG_CHANNELS = {"conv1_1": 64, "conv2_1": 128, "conv3_1": 256, "conv3_3": 256}


def _slim(
    name: str,
    widths: tuple[tuple[int, ...], ...],
    name_in_digests: str,
    rectified: Mapping[str, int] | None = None,
) -> Architecture:
    """VGG-19 to conv3_3 with fewer channels, and heads that give VGG's features; see training/.

    Args:
        rectified: layers after the activation that it has too: how many of VGG's channels are
            formed there, from which a head gives all.
    """
    table, index = _Table(), 0
    for block, channels in enumerate(widths, start=1):
        for number, width in enumerate(channels, start=1):
            table.convolve(f"conv{block}_{number}", f"features.{index}", width)
            table.rectify(f"relu{block}_{number}")
            index += 2
        table.pool(f"pool{block}", Pooling())
        index += 1
    layers = tuple(table.layers[:-1])
    narrow = {layer.name: layer.channels_out for layer in layers}
    rectified = rectified or {}
    branches = {
        layer: _one_by_one(f"{layer}.branch", f"branches.{layer}", narrow[layer], count)
        for layer, count in rectified.items()
        # Those of the first layer are VGG's own.
        if layer != "relu1_1"
    }
    wide = {each: _VGG_CHANNELS[each.replace("relu", "conv")] for each in rectified}
    wide |= _VGG_CHANNELS
    heads = {
        layer: _one_by_one(
            f"{layer}.head", f"heads.{layer}", rectified.get(layer, narrow[layer]), channels
        )
        for layer, channels in wide.items()
    }
    # Heads are linear, and so is what they imitate: before the activation.
    style_layers = tuple(rectified) or ("conv1_1", "conv2_1", "conv3_1")
    return Architecture(name, layers, ("conv3_3",), style_layers, heads, branches, name_in_digests)


def _one_by_one(name: str, parameters: str, channels_in: int, channels_out: int) -> Convolution:
    return Convolution(name, parameters, channels_in, channels_out, 1, padding=0)


DEFAULT_ARCHITECTURE = "vgg19"
ARCHITECTURES: dict[str, Architecture] = {
    each.name: each
    for each in (
        _vgg("vgg19", (2, 2, 4, 4, 4)),
        _vgg("vgg16", (2, 2, 3, 3, 3)),
        _alexnet(),
        _squeezenet(),
        _slim(
            "slim",
            ((32, 32), (48, 48), (96, 128, 128)),
            "slim-2",
            {"relu1_1": 32, "relu2_1": 48, "relu3_1": 96},
        ),
        # The one before, for sets that go on unchanged.
        _slim("slim-2026-11", ((32, 24), (48, 48), (96, 96, 96)), "slim"),
    )
}

"""Operations of a network: convolutions, poolings, and layers of them. No torch here."""

from dataclasses import dataclass
from typing import NamedTuple


class Reach(NamedTuple):
    """Which pixels of its input decide a position of a layer's maps, along one edge.

    Of position p these are p·downscale - before … p·downscale + after, as far as they are there.
    """

    downscale: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Convolution:
    """Filters with a bias: what a weights file holds under one prefix.

    Attributes:
        name: its layer's, unless the layer joins several.
        parameters: prefix of its tensors in torchvision's state dict.
        kernel, stride, padding: in pixels of its input, the same along both edges.
    """

    name: str
    parameters: str
    channels_in: int
    channels_out: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the filters: (O, I, height, width)."""
        return self.channels_out, self.channels_in, self.kernel, self.kernel

    @property
    def fan_in(self) -> int:
        """How many numbers make one number of its output."""
        return self.channels_in * self.kernel**2

    def edge_before(self, edge: int, padding: str) -> int:
        """Return the smallest edge of an input that gives an output of this edge."""
        needed = (edge - 1) * self.stride + self.kernel - 2 * self.padding
        # A reflection needs one pixel more than it adds.
        return max(needed, self.padding + 1 if padding == "reflect" else 1)

    def edge_after(self, edge: int) -> int:
        """Return the edge of its output of an input of this edge."""
        return (edge + 2 * self.padding - self.kernel) // self.stride + 1

    def reach_before(self, after: Reach) -> Reach:
        """Return the reach from its input on of what has this one from its output on."""
        return Reach(
            after.downscale * self.stride,
            after.before * self.stride + self.padding,
            after.after * self.stride - self.padding + self.kernel - 1,
        )


@dataclass(frozen=True, slots=True)
class Pooling:
    """A window that moves by `stride`; with `ceil_mode` the last one may reach over the edge."""

    kernel: int = 2
    stride: int = 2
    ceil_mode: bool = False

    def edge_before(self, edge: int) -> int:
        """Return the smallest edge of an input that gives an output of this edge."""
        start = (edge - 1) * self.stride
        return start + max(1, self.kernel - (self.stride - 1 if self.ceil_mode else 0))

    def edge_after(self, edge: int) -> int:
        """Return the edge of its output of an input of this edge."""
        if not self.ceil_mode:
            return (edge - self.kernel) // self.stride + 1
        found = -(-(edge - self.kernel) // self.stride) + 1
        # A window has to begin within its input.
        return found if (found - 1) * self.stride < edge else found - 1

    def reach_before(self, after: Reach) -> Reach:
        """Return the reach from its input on of what has this one from its output on."""
        return Reach(
            after.downscale * self.stride,
            after.before * self.stride,
            after.after * self.stride + self.kernel - 1,
        )


@dataclass(frozen=True, slots=True)
class Layer:
    """One operation of a network, under its paper name (`conv3_1`, `relu3_1`, `pool3`).

    It convolves, or pools, or (with neither) rectifies.

    Attributes:
        channels_in, channels_out: of its feature maps.
        downscale: input pixels per output pixel along an edge, stride of the layer included.
        convolutions: side by side on one input, their outputs joined along the channels.
    """

    name: str
    channels_in: int
    channels_out: int
    downscale: int
    convolutions: tuple[Convolution, ...] = ()
    pooling: Pooling | None = None

    @property
    def multiply_adds_per_pixel(self) -> float:
        """Multiply-adds of a forward pass per pixel of the *input image*."""
        every = sum(part.fan_in * part.channels_out for part in self.convolutions)
        return every / self.downscale**2

    def edge_before(self, edge: int, padding: str) -> int:
        """Return the smallest edge of an input that gives an output of this edge."""
        if self.pooling:
            return self.pooling.edge_before(edge)
        return max((part.edge_before(edge, padding) for part in self.convolutions), default=edge)

    def edge_after(self, edge: int) -> int:
        """Return the edge of its output of an input of this edge."""
        if self.pooling:
            return self.pooling.edge_after(edge)
        # Those side by side give maps of one size.
        return self.convolutions[0].edge_after(edge) if self.convolutions else edge

    def reach_before(self, after: Reach) -> Reach:
        """Return the reach from its input on of what has this one from its output on."""
        if self.pooling:
            return self.pooling.reach_before(after)
        if not self.convolutions:
            return after
        found = [part.reach_before(after) for part in self.convolutions]
        return Reach(found[0].downscale, max(x.before for x in found), max(x.after for x in found))

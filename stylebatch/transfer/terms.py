"""Which layers an objective looks at, on which scales of an image, with which weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stylebatch.transfer.sizes import num_scales, weights_at


@dataclass(frozen=True, slots=True)
class Look:
    """What one scale of the image is looked at for.

    Attributes:
        scale: 0 the full size, each next half of it.
        content, style: layer → the factor of its term.
    """

    scale: int
    content: Mapping[str, float]
    style: Mapping[str, float]

    @property
    def layers(self) -> frozenset[str]:
        """All layers of this scale."""
        return frozenset((*self.content, *self.style))


@dataclass(frozen=True, slots=True)
class Term:
    """One term's layers and scales; fields are those of `recipes.Recipe`."""

    layers: Mapping[str, float]
    scales: Sequence[float]
    factor: float
    reduction: str
    power: int

    def weights(self, count: int) -> list[dict[str, float]]:
        """Return the factor of each layer by scale, for an image that has so many scales.

        By `reduction` the layers' and scales' weights are shares of their sums, or stand as they
        are.
        """
        scales = weights_at(self.scales, count)
        share = sum(self.layers.values()) * sum(scales) if self.reduction == "mean" else 1.0
        return [
            {
                layer: (self.factor * (weight * scale) / share) ** self.power
                for layer, weight in self.layers.items()
                if scale
            }
            for scale in scales
        ]


def looks_at(
    content: Term, style: Term, height: int, width: int, smallest_px: int
) -> tuple[Look, ...]:
    """Return what each scale of an image of this size is looked at for, the full size first.

    Args:
        smallest_px: the smallest edge that the layers can do with.
    """
    wanted = max(len(content.scales), len(style.scales))
    count = num_scales(wanted, height, width, smallest_px)
    of_content, of_style = content.weights(count), style.weights(count)
    return tuple(
        Look(
            scale,
            of_content[scale] if scale < len(of_content) else {},
            of_style[scale] if scale < len(of_style) else {},
        )
        for scale in range(max(len(of_content), len(of_style)))
    )

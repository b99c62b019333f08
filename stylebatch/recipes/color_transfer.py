"""Recipes that only give a photograph the colours of a style: no network, no optimiser."""

from collections.abc import Mapping
from typing import Any

# The fields that decide something there, beside what a reader is told.
COLOR_TRANSFER_FIELDS = (
    *("color_transfer", "strength", "fit", "aspect", "enlarge", "size_px", "bucket_px"),
    *("resampling", "output_size", "output_resampling", "brightness", "saturation", "sharpness"),
    "side_by_side",
)
_TOLD = {"title", "source", "notes", *COLOR_TRANSFER_FIELDS}
# The fields that every other recipe has to say, with what they are where they say nothing: not
# told, and no part of a fingerprint. One step, as the time of an image is that of one evaluation.
UNUSED: Mapping[str, Any] = {
    **{"content_layers": {"none": 1.0}, "content_loss": "relative", "content_weight": 0.0},
    **{"style_layers": {"none": 1.0}, "style_loss": "relative", "style_weight": 1.0},
    **{"gram_divisor": "none", "layer_reduction": "mean", "tv_weight": 0.0},
    **{"pooling": "max", "padding": "zeros", "start": "content", "style_size_px": "same"},
    **{"optimizer": "lbfgs", "steps": 1, "tolerance": 0.0, "window": 1, "keep": "last"},
    **{"levels": 1, "history": 1, "preconditioner_levels": 0, "first_rms_change": 1.0},
    **{"max_rms_change": 1.0, "max_change": 1.0, "tolerated_rise": 0.0, "learning_rate": 1.0},
    **{"learning_rate_schedule": "constant", "betas": (0.0, 0.0), "epsilon": 1.0},
}


class UnfitFieldsError(ValueError):
    """Fields of a recipe that don't fit together.

    Attributes:
        allowed, todo: as in `errors.UserError`.
    """

    def __init__(self, found: str, allowed: str = "", todo: str = "change one of them") -> None:
        super().__init__(found)
        self.allowed, self.todo = allowed, todo


def fields_of_no_use(fields: Mapping[str, Any], written: Mapping[str, Any]) -> set[str]:
    """Return what is written for other recipes, and decides nothing in one with these fields."""
    if fields.get("color_transfer") is None:
        return {"color_transfer"} & written.keys()
    return written.keys() - set(COLOR_TRANSFER_FIELDS)


def own_fields(told: dict[str, Any]) -> dict[str, Any]:
    """Return those of a recipe's fields that decide something in it, or tell what it is."""
    if told.get("color_transfer") is None:
        return told
    return {name: value for name, value in told.items() if name in _TOLD}


def complete(fields: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a recipe's fields, where it is a colour transfer with what others would have to say.

    Args:
        fields: as they are written.
        known: the fields that there are; others are left to whoever checks them.

    Raises:
        UnfitFieldsError: a field that decides nothing there.
    """
    if fields.get("color_transfer") is None:
        return fields
    foreign = [name for name in fields if name in known and name not in _TOLD]
    if UNUSED.keys() <= set(foreign):
        if not isinstance(fields["color_transfer"], str):
            return fields  # to be refused for its type
        allowed = "allowed is `recipe: color-transfer` with it"
        found = "color_transfer is no field of a recipe that optimises"
        raise UnfitFieldsError(found, allowed, "remove it, or change the recipe")
    if foreign:
        found = f"{foreign[0]} decides nothing in a colour transfer: it optimises nothing"
        allowed = f"allowed are {', '.join(COLOR_TRANSFER_FIELDS)}"
        raise UnfitFieldsError(found, allowed, "remove it, or choose another recipe")
    return {**UNUSED, **fields}


def check_strength(color_transfer: str | None, strength: float) -> None:
    """Refuse a strength that a colour transfer has no meaning for.

    Raises:
        UnfitFieldsError: above 1.
    """
    if color_transfer is not None and strength > 1:
        found = f"strength {strength:g} is too much for a colour transfer"
        allowed = (
            "allowed is 0 (the photograph) to 1 (the style's colours): beyond it colours leave the "
            "style's again, and contrast may turn over"
        )
        raise UnfitFieldsError(found, allowed, "lower it, or choose another recipe")

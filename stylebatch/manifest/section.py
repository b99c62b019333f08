"""What the manifest's mappings have in common, and how a key of one is described."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from stylebatch.system.paths import expand_home

# A path that is read or written; of weights, names are too, and `find_weights` tells them apart.
Place = Annotated[str, Field(min_length=1), AfterValidator(expand_home)]
Positive = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A mapping of the manifest: no other keys, no silent conversions, no infinities."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def key(example: Any, default: Any = None, *, otherwise: str | None = None) -> Any:
    """Describe a key to editors and docs/manifest.md: an example, and what no default can say.

    Args:
        otherwise: what holds where the key is left out, if that is no fixed value.
    """
    if otherwise is None:  # what a type of its own has to say there would be lost
        return Field(default, examples=[example])
    return Field(default, examples=[example], json_schema_extra={"x-otherwise": otherwise})

"""What a pair may say of what its images have to be worth, as it is written."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from stylebatch.manifest.section import Section, key

Bounds = tuple[float | None, float | None]
Factor = Annotated[float, Field(gt=0, le=1e6)]


class AcceptFields(Section):
    """[LEAST, MOST] of each score, null where it is not bounded; and what becomes of the others."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    closed: Bounds | None = key([0.5, None])
    """share of the style distance that was closed, at most 1"""
    ssim: Bounds | None = key([0.2, 0.95])
    """structural similarity with the photograph, at most 1"""
    saturation: Bounds | None = key([0.02, 0.6])
    """mean of max(R, G, B) - min(R, G, B), 0 to 1"""
    speckle: Bounds | None = key([None, 2])
    """fine colour noise beside that of photograph and style, of which 1 has as much"""
    otherwise: Literal["reject", "retry", "keep"] = key("retry", "reject")
    """of an image outside: reject: not in the output; retry: made again at another strength, and
    rejected if none will do; keep: in the output, `accepted` false in its metadata"""
    retries: Annotated[int, Field(ge=1, le=100)] | None = key(
        3, otherwise="2, or as many as retry_strength lists"
    )
    """how often it is made again at most"""
    retry_strength: Factor | Annotated[list[Factor], Field(min_length=1)] | None = key(
        [2, 0.5], otherwise="drawn from the pair's [LOW, HIGH]"
    )
    """its own strength times this, times its square and so on; or times each of a list"""

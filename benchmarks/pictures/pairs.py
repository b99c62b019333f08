"""The pairs of photographs and styles in pairs.yaml, at a size."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.setting.inputs import PHOTOGRAPHS, read_pixels, style_at_size
from benchmarks.setting.styles import style_image
from stylebatch.pictures.images import Pixels
from stylebatch.pictures.sizes import resize, work_size
from stylebatch.recipes import recipe_fields

PAIRS = Path(__file__).with_name("pairs.yaml")


@dataclass(frozen=True, slots=True, eq=False)
class PicturePair:
    """A content image at work size and its style, (H, W, 3) in 8 bits.

    Attributes:
        style: at its own size; `style_at_size` is what a recipe looks at.
    """

    name: str
    content: Pixels
    style: Pixels
    style_at_size: Pixels


def load_pairs(shared: Path, which: str, edge: int, count: int | None = None) -> list[PicturePair]:
    """Load `development` or `report` at a longest edge, as many as are asked for."""
    entries = yaml.safe_load(PAIRS.read_text(encoding="utf-8"))[which][:count]
    return [_load(shared, edge, **entry) for entry in entries]


def _load(shared: Path, edge: int, content: str, style: str, crop: float = 0) -> PicturePair:
    photograph = read_pixels(shared / PHOTOGRAPHS / f"{content}.jpg")
    if crop:
        height, width = photograph.shape[:2]
        rows = min(height, round(width / crop))
        top = (height - rows) // 2
        photograph = photograph[top : top + rows]
    height, width = photograph.shape[:2]
    work = work_size(width, height, edge, int(recipe_fields("balanced")["bucket_px"]))
    painted = style_image(shared, style)
    name = f"{Path(content).name} x {style}"
    looked_at = style_at_size(painted, max(work))
    return PicturePair(name, resize(photograph, *work), painted, looked_at)

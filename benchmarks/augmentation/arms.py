"""The arms of the table, and how each set is made."""

from typing import Any

from benchmarks.augmentation.parts import Pixels
from benchmarks.augmentation.sets import Made, Work, by_module, by_stylebatch, without_worst
from benchmarks.augmentation.trial import Arm

# Of stylebatch's sets the manifest's pair; of the others the module beside this one.
RECIPES: dict[str, dict[str, Any]] = {
    "balanced": {"recipe": "balanced", "steps": 30},
    "augment": {"recipe": "augment", "strength": [0.5, 2]},
    "AdaIN": {"recipe": "balanced", "steps": 30, "override": {"statistic": "mean_std"}},
    "Reinhard": {"recipe": "color-transfer"},
}
MODULES = {"Ghiasi": "ghiasi"}
SETS = (*RECIPES, *MODULES)
# What a gate on scores would leave of a set: a tenth of it goes.
KEPT = "augment, best 90 %"

ARMS = (
    Arm(),
    Arm(noise=True),
    *(Arm((name,)) for name in SETS),
    Arm(("Reinhard",), noise=True),
    Arm(strong=True),
    Arm(strong=True, noise=True),
    *(Arm((name,), strong=True) for name in SETS),
    Arm(("Reinhard",), strong=True, noise=True),
    Arm(("augment",), strong=True, noise=True),
    Arm((KEPT,), strong=True),
    Arm(("augment", "Reinhard"), strong=True, noise=True),
)


def make_set(work: Work, name: str, photographs: Pixels) -> Made:
    """Make a set by its name, of photographs (N, edge, edge, 3)."""
    if name == KEPT:
        whole = make_set(work, "augment", photographs)
        return without_worst(work, "augment", whole, photographs, share=0.1)
    if name in MODULES:
        return by_module(work, MODULES[name])
    return by_stylebatch(work, name, RECIPES[name])

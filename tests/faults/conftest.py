"""The fault suite's fixtures: projects, and what was done to them in the end."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import faults as harness
from support.faults import Kind, MakeTrial, Trial

_started = time.monotonic()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the cases of the long form out of the sample."""
    if harness.IS_LONG:
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was done to how many runs."""
    if not harness.COUNTS:
        return
    minutes = (time.monotonic() - _started) / 60
    terminalreporter.section(f"faults, seed {harness.SEED}, {minutes:.1f} min")
    for what, count in sorted(harness.COUNTS.items()):
        terminalreporter.write_line(f"{count:5} {what}")


@pytest.fixture
def draw(request: pytest.FixtureRequest) -> random.Random:
    """Return numbers that depend on the seed and on the case only."""
    return random.Random(f"{harness.SEED} {request.node.name}")


@pytest.fixture
def make_trial(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[MakeTrial]:
    """Return what makes projects; what they have started ends with the test."""
    trials: list[Trial] = []

    def make(kind: Kind) -> Trial:
        root = tmp_path_factory.mktemp("trial")
        trials.append(Trial.make(root, kind, tmp_path_factory.mktemp))
        return trials[-1]

    yield make
    for trial in trials:
        trial.clean_up()


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """Return where a process that ends itself leaves a sign."""
    return tmp_path / "marker"

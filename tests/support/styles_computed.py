"""Style targets that can't be computed: whatever needs them has to find them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Never

import pytest

from stylebatch.device import style_targets


@contextmanager
def no_computing() -> Iterator[None]:
    """Let no style targets be computed in this process."""

    def refuse(*arguments: object) -> Never:
        raise AssertionError("targets should have been there")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style_targets, "compute_statistics", refuse)
        yield

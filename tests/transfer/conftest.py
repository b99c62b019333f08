"""What every test of the optimisation has: as many threads after it as before."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _same_threads_after() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)

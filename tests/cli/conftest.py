"""What several tests of commands start from."""

import pytest
from support.runs import Small, small_project


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A project whose four images are made: to be copied, not to be changed."""
    small = small_project(tmp_path_factory.mktemp("finished"))
    assert small.run().code == 0
    return small

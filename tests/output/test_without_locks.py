"""A file system without locks is named before anything starts; nothing else stands in for one."""

import pytest
from support.runs import Small, run_process

pytestmark = pytest.mark.slow

# In a process of its own, since whatever else of it has got hold of `fcntl` shall see this as well.
WITHOUT_LOCKS = """
import errno, fcntl, os, sys
def flock(*arguments):
    raise OSError(errno.{name}, os.strerror(errno.{name}))
fcntl.flock = flock
from stylebatch.cli import main
main()
"""


@pytest.mark.parametrize("name", ["ENOSYS", "ENOTSUP", "ENOLCK"])
def test_a_run_says_that_the_file_system_has_no_locks_and_starts_nothing(
    small: Small, name: str
) -> None:
    code = WITHOUT_LOCKS.format(name=name)
    for _ in range(2):  # not even its own lock, left behind, is in the way
        ended = run_process(code, "run", str(small.manifest))
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith(f"stylebatch: {small.out}: its file system has no locks")
        assert "-o flock" in ended.err
        assert "Traceback" not in ended.err
        assert small.images() == {}
    assert not small.out.exists()
    assert small.run().code == 0, "with locks it runs"
    assert len(small.images()) == 4


def test_what_else_goes_wrong_with_a_lock_is_not_taken_for_that(small: Small) -> None:
    code = WITHOUT_LOCKS.replace("{name}", "EIO")
    ended = run_process(code, "run", str(small.manifest))
    assert ended.code not in (0, 2)
    assert "no locks" not in ended.err

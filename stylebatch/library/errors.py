"""What can be wrong with a style of the library."""

from stylebatch.errors import UserError


class LibraryError(UserError):
    """A style that is not in the library, or a file that holds none."""


class DamagedError(LibraryError):
    """A part of a style's file is not what its digest says."""

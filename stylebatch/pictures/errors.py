"""The error of image files that can't be read."""

from stylebatch.errors import UserError


class ImageError(UserError):
    """A file that is not an image, or not one that can be read whole."""

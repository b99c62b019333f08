"""stylebatch turns folders of photographs into stylised training sets."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stylebatch.api import stylize

__all__ = ["__version__", "stylize"]
__version__ = version("stylebatch")


def __getattr__(name: str) -> Any:
    """Resolve `stylize` when it is asked for: it brings torch, which takes seconds to import."""
    if name == "stylize":
        from stylebatch.api import stylize

        return stylize
    raise AttributeError(f"module 'stylebatch' has no attribute '{name}'")

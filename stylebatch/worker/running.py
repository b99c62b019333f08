"""A job in a slot of a worker, and what its metadata say once it is done."""

from typing import Any, NamedTuple

from stylebatch.device.choice import precision_name
from stylebatch.device.content import Content
from stylebatch.output.acceptance import Try
from stylebatch.pictures.images import Pixels
from stylebatch.records import Job
from stylebatch.transfer.problem import Result


class Running(NamedTuple):
    """A job in a slot.

    Attributes:
        strength: at which it is made this time.
        beside: the style, where a picture of content, result and style is wanted.
        style_chroma: what its speckle is compared with.
        tries: those before this one.
    """

    job: Job
    content: Content
    strength: float
    beside: Pixels | None = None
    style_chroma: float = 0.0
    tries: tuple[Try, ...] = ()


def facts_of(result: Result, running: Running, device: str, precision: str) -> dict[str, Any]:
    """Return what `metadata.jsonl` says of how it went with an image, but for its scores.

    Args:
        running: with the tries before the one that is kept.
        precision: as asked for.
    """
    kept, retries = result.kept, len(running.tries)
    facts = {
        "evaluations": len(result.rows),
        "losses": {
            "total": kept.total,
            "content": kept.content,
            "style": kept.style,
            "tv": kept.tv,
        },
        "status": str(result.status),
        "restored": result.restored,
        "retried_with_adam": result.retried_with_adam,
        "retries": retries,
        "seconds": round(result.rows[-1].seconds, 3),
        "device": device,
        # What `auto` was here: other machines of the same run may have computed otherwise.
        "precision": precision_name(precision, device),
    }
    facts |= running.content.told
    # One that was not made again has its job's.
    return facts | ({"strength": running.strength} if retries else {})

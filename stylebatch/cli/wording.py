"""What is said of a run that goes on, in its own view and by `status`."""

from stylebatch.cli.durations import roughly
from stylebatch.run import Finishing, Stop
from stylebatch.system.words import counted
from stylebatch.worker.spec import SAVE_AFTER_S

# What ends soon, whatever its images take.
RESUMABLE = (Stop.DEADLINE, Stop.SIGNAL)


def left_text(left_s: float | None, most_left_s: float | None) -> str:
    """Say how long a run still takes; while that can't be told, how long at most."""
    if left_s is None and most_left_s is not None:
        return f"at most {roughly(most_left_s)} left"
    return "time left not known yet" if left_s is None else f"about {roughly(left_s)} left"


def stop_text(stopped_by: str, finishing: Finishing | None) -> str:
    """Say what a run that was stopped still finishes, and how to stop it at once."""
    if finishing is None:
        return f"{stopped_by}: finishing what has begun; once more (Ctrl-C) stops at once"
    if not finishing.images:
        return f"{stopped_by}: no image is begun any more"
    text = f"{stopped_by}: finishing {counted(finishing.images, 'image')}"
    them = "it" if finishing.images == 1 else "them"
    if stopped_by in RESUMABLE and (finishing.seconds or 0) > SAVE_AFTER_S:
        text += f" within about {roughly(SAVE_AFTER_S)}, or saving {them} half-made"
    elif finishing.seconds is not None:
        text += f", {'at most' if finishing.is_at_most else 'about'} {roughly(finishing.seconds)}"
    return f"{text}; once more (Ctrl-C) stops at once and leaves {them} to the next run"


def furthest_text(furthest: tuple[int, int] | list[int] | None) -> str:
    """Say how far the furthest image is; "" where none is in a slot."""
    return f"furthest at evaluation {furthest[0]} of at most {furthest[1]}" if furthest else ""

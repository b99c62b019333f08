"""A question that is answered in a process of its own: what it brings there does not stay here."""

from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from stylebatch.errors import RunError
from stylebatch.system.processes import end_with_parent, starting_another

# To start, import torch and answer, on a busy machine.
ANSWER_S = 300.0
T = TypeVar("T")


def ask_elsewhere(function: Callable[..., T], *arguments: Any) -> T:
    """Return what a function of a module returns, or raise what it raises, called in a process.

    Raises:
        RunError: the process has ended without an answer, or gives none.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    answer: Any = None
    process = context.Process(target=_answer, args=(theirs, function), daemon=True)
    with starting_another():
        process.start()
    theirs.close()
    try:
        # Not with the function: that is told before it listens, and somebody waits for it.
        ours.send(arguments)
        has_answered = ours.poll(ANSWER_S)
        answer, error = ours.recv() if has_answered else (None, None)
    except (EOFError, OSError):
        has_answered = False
    finally:
        process.kill()
        process.join(ANSWER_S)
        ours.close()
    if not has_answered:
        why = f"a process that looks after it gives no answer in {ANSWER_S:.0f} s, or was killed"
        raise RunError("this machine", why, "", "see `stylebatch doctor`, then run again")
    if error is not None:
        raise error
    found: T = answer
    return found


def _answer(pipe: "Connection[Any, Any]", function: Callable[..., Any]) -> None:
    end_with_parent()
    arguments = pipe.recv()
    try:
        pipe.send((function(*arguments), None))
    except Exception as error:
        pipe.send((None, error))

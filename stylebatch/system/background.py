"""Calls that are waited for elsewhere: so that a signal reaches whoever waits for their results."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_T = TypeVar("_T")


def in_background(call: Callable[[], _T]) -> Future[_T]:
    """Begin a call in a thread of its own, for which no process waits at its end."""
    future: Future[_T] = Future()

    def run() -> None:
        try:
            result = call()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, name="background", daemon=True).start()
    return future

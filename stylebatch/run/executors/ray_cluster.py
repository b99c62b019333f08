"""The connection to a Ray cluster."""

import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.exceptions import RayError

from stylebatch.errors import UserError
from stylebatch.manifest import RayOptions

# In which a head answers that is there.
ANSWER_S = 20.0


def connect(options: RayOptions) -> None:
    """Connect to a cluster; `local` begins one on this machine.

    Raises:
        UserError: there is none.
    """
    where = None if options.address == "local" else options.address
    _check_address(options.address)
    with _own_signals():
        try:
            ray.init(
                address=where,
                log_to_driver=False,
                logging_level=logging.ERROR,
                include_dashboard=False if where is None else None,
                runtime_env=dict(options.runtime_env) or None,
            )
        except (ConnectionError, ValueError, RayError) as error:
            raise _no_cluster(options.address, str(error).partition("\n")[0]) from error


def _check_address(address: str) -> None:
    """Ask whether anybody is at HOST:PORT: Ray itself would ask for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), ANSWER_S).close()
        except OSError as error:
            raise _no_cluster(address, error.strerror or str(error)) from error


def _no_cluster(address: str, why: str) -> UserError:
    todo = "start one (`ray start --head`), name its address, or `address: local`"
    return UserError("run.ray.address", f"no cluster at {address} ({why})", "", todo)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep our own handlers: Ray puts one in the place of SIGTERM's."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)

"""Objects of S3, Google Cloud Storage and Azure, by URL.

A URL is `s3://BUCKET/KEY`, `gs://BUCKET/KEY` or `az://CONTAINER/KEY`, its key as it is written: no
`%20` for a space. Credentials, endpoint, region and the rest stand in the environment, as obstore
reads them (`AWS_…`, `GOOGLE_…`, `AZURE_…`). What fails is an OSError, with the number that a file's
failure of that kind has. Only here, and in `object_writes`, is obstore called.
"""

import importlib.util
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache, partial
from itertools import chain, islice
from typing import Any, NamedTuple, TypeVar

from stylebatch.system.background import in_background
from stylebatch.system.read_ahead import is_transient
from stylebatch.system.store_errors import StoreError, as_os_errors, first_line

_T = TypeVar("_T")

# By scheme: whose it is, the class of obstore, the prefix of its variables.
_KINDS = {
    "s3": ("S3", "S3Store", "AWS_"),
    "gs": ("Google Cloud Storage", "GCSStore", "GOOGLE_"),
    "az": ("Azure", "AzureStore", "AZURE_"),
}
INSTALL = "pip install 'stylebatch[remote]'"
SCHEMES = tuple(f"{scheme}://" for scheme in _KINDS)
# Requests under way at once: a store takes some 50 ms to answer, whatever it is asked.
AT_ONCE = 32
# So often whoever waits for one looks whether to go on.
TICK_S = 0.2
# A request that stands still for so long is asked again; the whole of one takes at most the other.
# `AWS_READ_TIMEOUT=60s` and the like say otherwise.
_TIMEOUTS = {"connect_timeout": "5s", "read_timeout": "20s", "timeout": "600s"}
# Some 6 s of pauses before a failing store is given up for this time.
_RETRIES = {
    "max_retries": 5,
    "retry_timeout": timedelta(seconds=90),
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=5),
        "base": 2,
    },
}
# Before what obstore does not ask again by itself.
_HAS_RETRIED = re.compile(r"after \d+ retries")
_PAUSES_S = (0.2, 0.8, 2.0)


class StoredObject(NamedTuple):
    """What a store tells of an object: its key in the bucket, its bytes, its ETag ("" of none)."""

    key: str
    size: int
    etag: str


class Listed(NamedTuple):
    """What is just below a prefix: objects, and the keys of what a file system calls folders."""

    objects: list[StoredObject]
    folders: list[str]


def is_remote(path: str) -> bool:
    """Whether a path names an object, or a prefix, of a store."""
    return path.startswith(SCHEMES)


def split_url(url: str) -> tuple[str, str, str]:
    """Return the scheme, the bucket and the key or prefix ("" of a whole bucket) of a URL.

    Raises:
        StoreError: it names no bucket, or a key that no path can be.
    """
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    parts = key.rstrip("/").split("/")
    if not bucket or scheme not in _KINDS:
        allowed = ", ".join(f"{each}BUCKET/…" for each in SCHEMES)
        raise StoreError(url, f"names no bucket; allowed are {allowed}")
    if key and {"", ".", ".."} & {*parts}:
        raise StoreError(url, "has a part that is empty, `.` or `..`; write it without")
    return scheme, bucket, "/".join(parts)


def is_installed() -> bool:
    """Whether obstore is there."""
    return importlib.util.find_spec("obstore") is not None


@lru_cache(maxsize=64)
def opened(scheme: str, bucket: str) -> Any:
    """Return obstore's store of a bucket, as the environment says at the first call.

    Raises:
        StoreError: there is no obstore, or a setting in the environment is missing or wrong.
    """
    url = f"{scheme}://{bucket}"
    if not is_installed():
        raise StoreError(url, f"needs obstore, which is not installed: {INSTALL}")
    import obstore.store
    from obstore.exceptions import BaseError

    name, kind, prefix = _KINDS[scheme]
    told = {variable.upper() for variable in os.environ}
    config = {key: value for key, value in _TIMEOUTS.items() if prefix + key.upper() not in told}
    try:
        return getattr(obstore.store, kind)(bucket, config=config, retry_config=_RETRIES)
    except (BaseError, ValueError) as error:
        found = first_line(error).partition(" error: ")[2] or first_line(error)
        todo = f"set the variables {prefix}… of {name}"
        raise StoreError(url, f"can't be opened ({found}): {todo}") from error


def list_folder(url: str) -> Listed:
    """Return what is just below a URL, each list by name: one request for each 1,000.

    Raises:
        OSError: it can't be listed. A prefix that nothing has is no error.
    """
    obstore, store, key = at(url)
    found = _asked(url, lambda: obstore.list_with_delimiter(store, key or None))
    objects = sorted(_told(each) for each in found["objects"] if each["path"] != key)
    return Listed(objects, sorted(found["common_prefixes"]))


def list_ahead(url: str) -> Future[Listed]:
    """Begin `list_folder`."""
    return in_background(partial(list_folder, url))


def list_below(url: str) -> Iterator[StoredObject]:
    """Yield every object below a URL, as the store gives them: by key; errors as `list_folder`."""
    obstore, store, key = at(url)
    last: str | None = None

    def begin() -> tuple[Any, Any]:
        stream = obstore.list(store, key or None, offset=last, chunk_size=1000)
        return stream, next(stream, None)

    stream, chunk = _asked(url, begin)
    while chunk:
        yield from map(_told, chunk)
        last = chunk[-1]["path"]
        try:
            with as_os_errors(url):
                chunk = next(stream, None)
        except OSError as error:
            if not is_transient(error):
                raise
            stream, chunk = _asked(url, begin)


def head(url: str) -> StoredObject:
    """Return what a store tells of one object.

    Raises:
        FileNotFoundError: there is no such object.
        OSError: it can't be asked.
    """
    obstore, store, key = at(url)
    return _told(_asked(url, lambda: obstore.head(store, key)))


def changed_s(url: str) -> float:
    """Return when an object was written, by the store's clock, in s since 1970; errors as `head`.

    In whole seconds, of some stores.
    """
    obstore, store, key = at(url)
    return float(_asked(url, lambda: obstore.head(store, key))["last_modified"].timestamp())


def read_attributes(url: str) -> dict[str, str]:
    """Return the attributes that an object was put with; errors as `head`."""
    obstore, store, key = at(url)
    asked = {"head": True}
    return dict(_asked(url, lambda: obstore.get(store, key, options=asked)).attributes)


def read(url: str) -> bytes:
    """Return the bytes of an object; errors as `head`."""
    obstore, store, key = at(url)
    return _asked(url, lambda: bytes(obstore.get(store, key).bytes()))


def read_each(
    urls: Iterable[str], tick: Callable[[], object] = lambda: None
) -> Iterator[bytes | OSError]:
    """Yield the bytes of objects in their order, or why they can't be had; many are under way.

    Args:
        tick: is called again and again while one is waited for, and may raise.
    """
    waiting: deque[Future[bytes | OSError]] = deque()
    left, failing = iter(urls), 0
    while True:
        for url in islice(left, AT_ONCE - len(waiting)):
            waiting.append(in_background(partial(_read_or_error, url)))
        if not waiting:
            return
        found = _awaited(waiting.popleft(), tick)
        is_failing = isinstance(found, OSError) and is_transient(found)
        failing = failing + 1 if is_failing else 0
        yield found
        if isinstance(found, OSError) and failing == AT_ONCE:
            break
    # Nobody waits for a store that does not answer at each of a million photographs.
    yield from (found for _ in chain(waiting, left))


def _awaited(future: Future[_T], tick: Callable[[], object]) -> _T:
    while True:
        tick()
        with suppress(FutureTimeout):
            return future.result(TICK_S)


def at(url: str) -> tuple[Any, Any, str]:
    """Return obstore, the store of a URL, and its key there."""
    scheme, bucket, key = split_url(url)
    store = opened(scheme, bucket)
    import obstore

    return obstore, store, key


def _asked(url: str, ask: Callable[[], _T]) -> _T:
    """Ask a store what changes nothing.

    Raises:
        OSError: in place of obstore's errors.
    """
    if threading.current_thread() is not threading.main_thread():
        return _patiently_asked(url, ask)
    # obstore holds signals back as long as it waits.
    return in_background(lambda: _patiently_asked(url, ask)).result()


def _patiently_asked(url: str, ask: Callable[[], _T]) -> _T:
    """Ask again what may pass: obstore does so itself, but not after a body that was cut."""
    for pause_s in _PAUSES_S:
        try:
            with as_os_errors(url):
                return ask()
        except OSError as error:
            if not is_transient(error) or _is_asked_enough(error):
                raise
        time.sleep(pause_s)
    with as_os_errors(url):
        return ask()


def _is_asked_enough(error: OSError) -> bool:
    return _HAS_RETRIED.search(str(error.__cause__)) is not None


def _told(found: Any) -> StoredObject:
    return StoredObject(found["path"], found["size"], etag_of(found))


def etag_of(told: Any) -> str:
    """Return an ETag with its quotes, which Azure's listings leave out."""
    etag = str(told["e_tag"] or "")
    return f'"{etag}"' if etag and '"' not in etag else etag


def _read_or_error(url: str) -> bytes | OSError:
    try:
        return read(url)
    except OSError as error:
        return error

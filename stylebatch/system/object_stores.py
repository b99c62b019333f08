"""Objects of S3, Google Cloud Storage and Azure, by URL: only here is obstore called.

A URL is `s3://BUCKET/KEY`, `gs://BUCKET/KEY` or `az://CONTAINER/KEY`, its key as it is written: no
`%20` for a space. Credentials, endpoint, region and the rest stand in the environment, as obstore
reads them (`AWS_…`, `GOOGLE_…`, `AZURE_…`). What fails is an OSError, with the number that a file's
failure of that kind has.
"""

import errno
import importlib.util
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

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
_PAUSES_S = (0.2, 0.8, 2.0)


class StoredObject(NamedTuple):
    """What a store tells of an object: its key in the bucket, its bytes, its ETag ("" of none).

    Attributes:
        version: where the store keeps several of an object, or tells them apart by it.
    """

    key: str
    size: int
    etag: str
    version: str = ""


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
    obstore, store, key = _at(url)
    found = _asked(url, lambda: obstore.list_with_delimiter(store, key or None))
    objects = sorted(_told(each) for each in found["objects"] if each["path"] != key)
    return Listed(objects, sorted(found["common_prefixes"]))


def list_below(url: str) -> Iterator[StoredObject]:
    """Yield every object below a URL, as the store gives them: by key; errors as `list_folder`."""
    obstore, store, key = _at(url)
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
    obstore, store, key = _at(url)
    return _told(_asked(url, lambda: obstore.head(store, key)))


def changed_s(url: str) -> float:
    """Return when an object was written, by the store's clock, in s since 1970; errors as `head`.

    In whole seconds, of some stores.
    """
    obstore, store, key = _at(url)
    return float(_asked(url, lambda: obstore.head(store, key))["last_modified"].timestamp())


def read_attributes(url: str) -> dict[str, str]:
    """Return the attributes that an object was put with; errors as `head`."""
    obstore, store, key = _at(url)
    asked = {"head": True}
    return dict(_asked(url, lambda: obstore.get(store, key, options=asked)).attributes)


def read(url: str) -> bytes:
    """Return the bytes of an object; errors as `head`."""
    obstore, store, key = _at(url)
    return _asked(url, lambda: bytes(obstore.get(store, key).bytes()))


def read_each(urls: Iterable[str]) -> Iterator[bytes | OSError]:
    """Yield the bytes of objects in their order, or why they can't be had; many are under way."""
    waiting: deque[Future[bytes | OSError]] = deque()
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="store")
    try:
        for url in urls:
            waiting.append(pool.submit(_read_or_error, url))
            if len(waiting) > AT_ONCE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def put(
    url: str,
    data: bytes | Path,
    *,
    is_new: bool = False,
    replaces: StoredObject | None = None,
    attributes: Mapping[str, str] | None = None,
) -> str:
    """Write an object in one step, and return its ETag.

    Args:
        data: its bytes, or the file that holds them. Larger ones go up in parts.
        is_new: only where there is none. A request that was answered too late is sent again: then
            the object that is found may be this one.
        replaces: only where this one stands; likewise.
        attributes: `Content-Type` and the like, and words of one's own.

    Raises:
        FileExistsError: `is_new`, and there is one.
        OSError: it can't be written; ESTALE: not the one that it `replaces` is there.
    """
    obstore, store, key = _at(url)
    mode: Any = "create" if is_new else None
    if replaces:
        told_apart_by = {"e_tag": f'"{replaces.etag}"', "version": replaces.version}
        mode = {key: value for key, value in told_apart_by.items() if value.strip('"')}
    with as_os_errors(url):
        if mode:  # not in parts, which can't be conditional
            told = obstore.put(
                store, key, data, mode=mode, attributes=attributes, use_multipart=False
            )
        else:
            told = obstore.put(store, key, data, attributes=attributes)
    return _etag(told)


def copy(source: str, target: str) -> None:
    """Copy an object within its bucket, in place of what has the other name; errors as `head`."""
    obstore, store, key = _at(source)
    _, other, target_key = _at(target)
    if other is not store:
        raise OSError(errno.EXDEV, "another bucket", target)
    with as_os_errors(source):
        obstore.copy(store, key, target_key)


def delete(urls: Sequence[str]) -> None:
    """Remove objects of one bucket; one that is not there is no error.

    Raises:
        OSError: one can't be removed; others may have been.
    """
    if not urls:
        return
    obstore, store, _ = _at(urls[0])
    keys = [split_url(url)[2] for url in urls]
    with as_os_errors(urls[0]):
        try:
            obstore.delete(store, keys)
        except FileNotFoundError:
            # Of Google and Azure, which may have stopped there.
            for key in keys:
                try:
                    obstore.delete(store, key)
                except FileNotFoundError:
                    continue


def _at(url: str) -> tuple[Any, Any, str]:
    """Return obstore, the store of a URL, and its key there."""
    scheme, bucket, key = split_url(url)
    store = opened(scheme, bucket)
    import obstore

    return obstore, store, key


def _asked(url: str, ask: Callable[[], _T]) -> _T:
    """Ask a store what changes nothing; obstore does so again, but not after a body that was cut.

    Raises:
        OSError: in place of obstore's errors.
    """
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
    return f"after {_RETRIES['max_retries']} retries" in str(error.__cause__)


def _told(found: Any) -> StoredObject:
    return StoredObject(found["path"], found["size"], _etag(found), found["version"] or "")


def _etag(told: Any) -> str:
    """Return an ETag without its quotes, which Azure's listings leave out."""
    return (told["e_tag"] or "").strip('"')


def _read_or_error(url: str) -> bytes | OSError:
    try:
        return read(url)
    except OSError as error:
        return error

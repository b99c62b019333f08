"""Objects of a store written, copied and removed, by URL; see `object_stores`."""

import errno
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from stylebatch.system.background import in_background
from stylebatch.system.object_stores import StoredObject, at, etag_of, split_url
from stylebatch.system.store_errors import as_os_errors

_T = TypeVar("_T")


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
    return _heard(lambda: _put(url, data, attributes, replaces, is_new=is_new))


def _put(
    url: str,
    data: bytes | Path,
    attributes: Mapping[str, str] | None,
    replaces: StoredObject | None,
    *,
    is_new: bool,
) -> str:
    obstore, store, key = at(url)
    mode: Any = "create" if is_new else None
    with as_os_errors(url):
        if replaces:
            # As the store itself writes them: with or without quotes, and a number beside it.
            seen = obstore.head(store, key)
            if etag_of(seen) != replaces.etag:
                raise OSError(errno.ESTALE, "another one meanwhile", url)
            mode = {name: seen[name] for name in ("e_tag", "version") if seen[name]}
        if mode:  # not in parts, which can't be conditional
            told = obstore.put(
                store, key, data, mode=mode, attributes=attributes, use_multipart=False
            )
        else:
            told = obstore.put(store, key, data, attributes=attributes)
    return etag_of(told)


def copy(source: str, target: str) -> None:
    """Copy an object within its bucket, in place of what has the other name; errors as `head`."""
    obstore, store, key = at(source)
    _, other, target_key = at(target)
    if other is not store:
        raise OSError(errno.EXDEV, "another bucket", target)
    with as_os_errors(source):
        _heard(lambda: obstore.copy(store, key, target_key))


def delete(urls: Sequence[str]) -> None:
    """Remove objects of one bucket; one that is not there is no error.

    Raises:
        OSError: one can't be removed; others may have been.
    """
    if urls:
        _heard(lambda: _delete(urls))


def _delete(urls: Sequence[str]) -> None:
    obstore, store, _ = at(urls[0])
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


def _heard(call: Callable[[], _T]) -> _T:
    """Make a call and wait for it, so that a signal still reaches the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return call()
    return in_background(call).result()

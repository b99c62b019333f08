"""What obstore raises, as the OSError that a file's failure of that kind is."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

# Where those ask for credentials whom nothing else has given any.
_METADATA_SERVERS = ("169.254.169.254", "169.254.170.2", "metadata.google.internal")
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")


class StoreError(OSError):
    """A store that can't be opened: a wrong URL, no obstore, wrong settings. Says what to do."""

    def __init__(self, url: str, problem: str) -> None:
        super().__init__(errno.EINVAL, problem, url)


@contextmanager
def as_os_errors(url: str) -> Iterator[None]:
    """Let errors of obstore be OSErrors that name a URL."""
    from obstore import exceptions

    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise _os_error(url, error) from error
    except (exceptions.BaseError, ValueError) as error:
        raise _os_error(url, error) from error


def _os_error(url: str, error: Exception) -> OSError:
    """Say as an OSError what obstore says in its own words."""
    from obstore import exceptions

    text = str(error)
    status, code = _found(_STATUS, text), _found(_CODE, text)
    told = f"{status} {code}".strip()
    if any(server in text for server in _METADATA_SERVERS):
        return PermissionError(errno.EACCES, "no credentials in the environment", url)
    if code == "NoSuchBucket" or "ContainerNotFound" in text:
        return FileNotFoundError(errno.ENOENT, "no such bucket", url)
    if isinstance(error, FileNotFoundError) or status == "404":
        return FileNotFoundError(errno.ENOENT, "no such object", url)
    if isinstance(error, exceptions.AlreadyExistsError):
        return FileExistsError(errno.EEXIST, "is there already", url)
    refused = exceptions.PermissionDeniedError, exceptions.UnauthenticatedError
    if isinstance(error, refused) or status in ("401", "403"):
        return PermissionError(errno.EACCES, f"permission denied ({told})", url)
    if isinstance(error, exceptions.PreconditionError):
        return OSError(errno.ESTALE, "another one meanwhile", url)
    if status == "429" or status.startswith("5"):
        return OSError(errno.EIO, f"the store answers {told}", url)
    if "kind: Timeout" in text or "TimedOut" in text:
        return TimeoutError(errno.ETIMEDOUT, "the store does not answer in time", url)
    if "HttpError" in text or "reqwest::Error" in text:
        return OSError(errno.EHOSTUNREACH, "the store can't be reached", url)
    if isinstance(error, exceptions.InvalidPathError):
        return OSError(errno.EINVAL, "below it is a key of which a part is empty, `.` or `..`", url)
    return OSError(errno.EINVAL, first_line(error), url)


def _found(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""


def first_line(error: Exception) -> str:
    """Return what obstore says, without how it came to that."""
    return str(error).partition("\n")[0]

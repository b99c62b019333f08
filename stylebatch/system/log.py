"""The log of an output's runs: `.stylebatch/run.log`, rotated."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

LOG_BYTES, LOG_FILES = 2_000_000, 5
LOG_NOTE = "the log is "

logger = logging.getLogger("stylebatch")


class _LogFile(RotatingFileHandler):
    """A log on a disk that may be full or gone: that the run itself says, and once."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        pass


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Write stylebatch's log records to a file that is rotated; nothing reaches the terminal."""
    handler = _LogFile(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    except BaseException as error:
        logger.exception("the run ended with an error")
        error.add_note(f"{LOG_NOTE}{path}")
        raise
    finally:
        logger.removeHandler(handler)
        # What could not be written is still waiting, and would hide what ended the run.
        with suppress(OSError):
            handler.close()

"""Loss logs of many images in one Parquet file: for sets of which nobody wants a file each."""

import importlib.util
from collections.abc import Iterable, Sequence
from itertools import chain

from stylebatch.errors import UserError
from stylebatch.output.loss_log import COLUMNS, LossRow

INSTALL = "pip install 'stylebatch[export]'"


class NoParquetError(UserError):
    """What writes Parquet is not installed."""


def check_parquet() -> None:
    """Refuse to begin what could not be written.

    Raises:
        NoParquetError: with the command that installs what is missing.
    """
    if importlib.util.find_spec("pyarrow") is None:
        found, allowed = "parquet needs pyarrow, which is not installed", "without it csv and none"
        raise NoParquetError("run.losses", found, allowed, INSTALL)


def encode_table(name: str, logs: Iterable[tuple[str, Sequence[LossRow]]]) -> bytes:
    """Encode the loss logs of some images as one table.

    Args:
        name: of the file, which stands in each row: an image's rows are those of the file that its
            metadata names.
        logs: each image's path under images/, and its rows.
    """
    # Takes a while, and only who asks for it has it.
    import pyarrow  # type: ignore[import-untyped]
    from pyarrow import parquet

    logs = list(logs)
    rows = list(chain.from_iterable(each for _, each in logs))
    text = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    number, whole = pyarrow.float32(), pyarrow.int32()
    kinds = {"evaluation": whole, "level": whole, "accepted": pyarrow.bool_()}
    columns = {
        "loss_log": pyarrow.array([name] * len(rows), text),
        "file_name": pyarrow.array([path for path, each in logs for _ in each], text),
    }
    for column in COLUMNS:
        values = [getattr(row, column) for row in rows]
        columns[column] = pyarrow.array(values, kinds.get(column, number))
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.table(columns), sink, compression="zstd")
    encoded: bytes = sink.getvalue().to_pybytes()
    return encoded

"""Parquet with the images inside, and a schema that says so to Hugging Face's `datasets`."""

import importlib.util
import json
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from stylebatch.export.columns import COLUMNS, LOSSES
from stylebatch.export.request import ExportError
from stylebatch.output.loss_table import INSTALL
from stylebatch.system.placed import HashedFile

# As `datasets` writes images: a reader holds one group at a time.
ROWS_IN_A_GROUP = 100


class ParquetRow(NamedTuple):
    """One image as it goes into a file.

    Attributes:
        label: its class's number, None where it has no class.
        metadata: its line.
    """

    image: bytes
    label: int | None
    metadata: dict[str, Any]


def check_pyarrow() -> None:
    """Refuse to begin what could not be written.

    Raises:
        ExportError: with the command that installs what is missing.
    """
    if importlib.util.find_spec("pyarrow") is None:
        found, allowed = "needs pyarrow, which is not installed", "without it the other formats"
        raise ExportError("export parquet", found, allowed, INSTALL)


def writer_version() -> str:
    """Return what decides the bytes beside the rows."""
    import pyarrow  # type: ignore[import-untyped]

    return f"pyarrow {pyarrow.__version__}"


def write_file(file: HashedFile, rows: Iterable[ParquetRow], classes: Sequence[str]) -> None:
    """Write a file, a group of rows at a time.

    Images are compressed already: of these columns nothing is to be gained.
    """
    # Takes a while, and only who asks for it has it.
    import pyarrow
    from pyarrow import parquet

    schema = _schema(classes)
    compression = dict.fromkeys([*schema.names, *(f"losses.{name}" for name in LOSSES)], "zstd")
    compression |= {"image.bytes": "none", "image.path": "zstd"}
    del compression["image"], compression["losses"]
    rows = iter(rows)
    with parquet.ParquetWriter(file, schema, compression=compression) as writer:
        while group := list(islice(rows, ROWS_IN_A_GROUP)):
            table = pyarrow.Table.from_pylist([_as_dict(row) for row in group], schema)
            writer.write_table(table, row_group_size=ROWS_IN_A_GROUP)


def _as_dict(row: ParquetRow) -> dict[str, Any]:
    image = {"bytes": row.image, "path": row.metadata["file_name"]}
    return {**row.metadata, "image": image, "label": row.label}


def _schema(classes: Sequence[str]) -> Any:
    """Return the schema, with the features that `datasets` reads in its metadata."""
    import pyarrow

    kinds = {
        "string": pyarrow.string(),
        "int32": pyarrow.int32(),
        "int64": pyarrow.int64(),
        "float64": pyarrow.float64(),
        "bool": pyarrow.bool_(),
        "losses": pyarrow.struct([(name, pyarrow.float64()) for name in LOSSES]),
    }
    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    fields = {"image": image, "label": pyarrow.int64()}
    features: dict[str, Any] = {
        "image": {"_type": "Image"},
        # It can't be made of no classes.
        "label": {"names": list(classes), "_type": "ClassLabel"} if classes else _feature("int64"),
    }
    for name, kind in COLUMNS.items():
        if name not in fields:
            fields[name] = kinds[kind]
            features[name] = _feature(kind)
    told = json.dumps({"info": {"features": features}})
    return pyarrow.schema(list(fields.items()), metadata={"huggingface": told})


def _feature(kind: str) -> dict[str, Any]:
    if kind == "losses":
        return {name: _feature("float64") for name in LOSSES}
    return {"dtype": kind, "_type": "Value"}

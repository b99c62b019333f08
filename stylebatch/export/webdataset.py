"""WebDataset: tar files in which the members of a sample stand together, under one key.

Python's own `tarfile` writes them: the library's writer stamps each member with the time.
Source: https://github.com/webdataset/webdataset, "The WebDataset Format".
"""

import io
import tarfile
from collections.abc import Iterable
from typing import IO, NamedTuple, cast

from stylebatch.system.placed import HashedFile

_MODE = 0o644


class Sample(NamedTuple):
    """One image as it goes into a shard.

    Attributes:
        key: free of dots, of at most 90 ASCII characters.
        suffix: of the image's file, without its dot.
        label: its class's number, None where it has no class.
        metadata: its line, as JSON.
    """

    key: str
    suffix: str
    image: bytes
    label: int | None
    metadata: str


def write_shard(file: HashedFile, samples: Iterable[Sample]) -> None:
    """Write a shard: the same samples give the same bytes."""
    # A stream: nothing behind what is being written is read or changed again.
    stream = cast("IO[bytes]", file)
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.USTAR_FORMAT) as tar:
        for sample in samples:
            _add(tar, f"{sample.key}.{sample.suffix}", sample.image)
            if sample.label is not None:
                _add(tar, f"{sample.key}.cls", str(sample.label).encode())
            _add(tar, f"{sample.key}.json", sample.metadata.encode())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), _MODE
    tar.addfile(member, io.BytesIO(data))
    # It keeps all members, for who would ask for them.
    tar.members.clear()  # type: ignore[attr-defined]

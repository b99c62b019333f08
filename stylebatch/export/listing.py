"""All images of an export in its order: in a database of its own on the disk, not in memory."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from hashlib import blake2b
from types import TracebackType
from typing import NamedTuple

from stylebatch.export.places import with_hash
from stylebatch.export.request import ExportError, ShardSize

_CACHE_KIB = 16 * 1024
_TABLE = """
CREATE TABLE images (
    id INTEGER PRIMARY KEY, split TEXT NOT NULL, label TEXT, kind TEXT NOT NULL,
    place TEXT NOT NULL, rank BLOB NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    file_name TEXT NOT NULL, row TEXT NOT NULL
)
"""
_HASH_DIGITS = (8, 16, 32)


class Image(NamedTuple):
    """One image of an export.

    Attributes:
        split: as the export names it.
        place: what it is called there, without its suffix.
        rank: its place in a shuffled order, b"" where nothing is shuffled.
        size, mtime_ns: of its file, when it was listed.
        row: its line of the metadata, as JSON.
        number: from 1, by file name; 0 before it is listed.
    """

    split: str
    label: str | None
    kind: str
    place: str
    rank: bytes
    size: int
    mtime_ns: int
    file_name: str
    row: str
    number: int = 0


class Shard(NamedTuple):
    """Images that follow each other, within a split.

    Attributes:
        position: from 0, within its split.
        first: rank and number of its first image.
    """

    split: str
    position: int
    first: tuple[bytes, int]
    num_images: int


_FIELDS = (
    *("split", "label", "kind", "place", "rank", "size"),
    *("mtime_ns", "file_name", "row"),
)
_SELECT = f"SELECT {', '.join(_FIELDS)}, id FROM images"


class Listing:
    """Holds the images; gone when it is closed, or its process ends."""

    def __init__(self) -> None:
        # With no name it is a temporary file, of which only the cache is held in memory.
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute(_TABLE)

    def __enter__(self) -> "Listing":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    def fill(self, images: Iterable[Image]) -> None:
        """Take all images, in the order of their file names; then tell names apart.

        Raises:
            ExportError: some can't be told apart.
        """
        marks = ", ".join("?" * len(_FIELDS))
        self._connection.execute("BEGIN")
        self._connection.executemany(
            f"INSERT INTO images ({', '.join(_FIELDS)}) VALUES ({marks})",
            (image[:-1] for image in images),
        )
        self._connection.execute("CREATE INDEX in_order ON images (split, rank, id)")
        self._tell_apart()
        self._connection.execute("COMMIT")

    def _tell_apart(self) -> None:
        """Give each name that several have a hash: case is ignored, as file systems do."""
        self._connection.create_function("with_hash", 3, with_hash, deterministic=True)
        shared = "SELECT lower(place) FROM images GROUP BY lower(place) HAVING count(*) > 1"
        for digits in _HASH_DIGITS:
            changed = self._connection.execute(
                f"UPDATE images SET place = with_hash(place, file_name, {digits}) "
                f"WHERE lower(place) IN ({shared})"
            )
            if not changed.rowcount:
                return
        if found := self._connection.execute(f"{shared} LIMIT 1").fetchone():
            todo = "give one of the pairs another `into:`"
        raise ExportError(found[0], "several images would have this name", "", todo)

    @property
    def num_images(self) -> int:
        """How many there are."""
        (count,) = self._connection.execute("SELECT count(*) FROM images").fetchone()
        return int(count)

    def counts(self, column: str) -> dict[str | None, int]:
        """Return how many images there are of each split, label or kind, sorted by these."""
        query = f"SELECT {column}, count(*) FROM images GROUP BY {column} ORDER BY {column}"
        return dict(self._connection.execute(query))

    def images(self, split: str | None = None) -> Iterator[Image]:
        """Yield all images, or those of a split, by their file names."""
        # `+`: by the index of the other order they would have to be sorted.
        where = "" if split is None else "WHERE +split = ?"
        values = () if split is None else (split,)
        yield from self._select(f"{where} ORDER BY id", values)

    def of_shard(self, shard: Shard) -> Iterator[Image]:
        """Yield the images of a shard, in order."""
        yield from self._select(
            "WHERE split = ? AND (rank, id) >= (?, ?) ORDER BY rank, id LIMIT ?",
            (shard.split, *shard.first, shard.num_images),
        )

    def _select(self, rest: str, values: Sequence[object]) -> Iterator[Image]:
        with closing(self._connection.cursor()) as cursor:
            yield from map(Image._make, cursor.execute(f"{_SELECT} {rest}", values))

    def shards(self, size: ShardSize) -> list[Shard]:
        """Divide each split's images, in order, into shards that hold no more than a size."""
        shards: list[Shard] = []
        num_images = num_bytes = 0
        split = None
        query = "SELECT split, rank, id, size FROM images ORDER BY split, rank, id"
        for of_image, rank, number, more in self._connection.execute(query):
            is_full = num_images == size.images or (
                size.num_bytes is not None and num_bytes + more > size.num_bytes
            )
            if of_image != split or is_full:
                position = shards[-1].position + 1 if of_image == split else 0
                shards.append(Shard(of_image, position, (rank, number), 0))
                split, num_images, num_bytes = of_image, 0, 0
            num_images, num_bytes = num_images + 1, num_bytes + more
            shards[-1] = shards[-1]._replace(num_images=num_images)
        return shards


def rank_of(seed: int, file_name: str) -> bytes:
    """Return an image's place in a shuffled order, which other images don't change."""
    return blake2b(f"{seed}\n{file_name}".encode(), digest_size=8).digest()

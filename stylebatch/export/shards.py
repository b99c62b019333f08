"""WebDataset and Parquet: images side by side in large files, in a shuffled order."""

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

from stylebatch.export import parquet, webdataset
from stylebatch.export.contents import Contents, Tell, suffix_of
from stylebatch.export.listing import Image, Shard, rank_of
from stylebatch.export.places import key_of
from stylebatch.export.request import Request
from stylebatch.export.target import Target
from stylebatch.system.placed import HashedFile

CLASSES = "classes.txt"


class Shards:
    """Writes either format; both name a file for its split and its number."""

    is_sharded, is_yolo = True, False

    def __init__(self, request: Request) -> None:
        """Look whether it can be written.

        Raises:
            ExportError: what writes it is not installed.
        """
        self._request, self._is_tar = request, request.format == "webdataset"
        self.notes: list[str] = []
        self._version = "" if self._is_tar else parquet.writer_version()

    def takes(self, file_name: str) -> bool:
        """Whether an image is part of it: each one is."""
        return True

    def place(self, row: dict[str, Any], split: str) -> tuple[str, bytes]:
        """Return an image's key, and its rank."""
        name = row["file_name"]
        return key_of(name), rank_of(self._request.seed, name)

    def check(self, contents: Contents) -> None:
        """Refuse nothing."""

    def write(self, target: Target, contents: Contents, tell: Tell) -> None:
        """Write the classes, then the shards."""
        target.put_text(CLASSES, "".join(f"{name}\n" for name in contents.classes))
        shards = contents.listing.shards(self._request.shard_size)
        counts = Counter(shard.split for shard in shards)
        total, done = contents.listing.num_images, 0
        for shard in shards:
            path = f"{shard.split}-{shard.position:06d}.tar"
            if not self._is_tar:
                of_all = f"{shard.position:05d}-of-{counts[shard.split]:05d}"
                path = f"data/{shard.split}-{of_all}.parquet"
            key = contents.key(contents.listing.of_shard(shard), self._version)
            told = partial(_told, contents, shard, partial(tell, "writing"), done)
            write = partial(
                self._write_tar if self._is_tar else self._write_parquet, contents, told
            )
            target.put(path, key, write, shard.num_images)
            done += shard.num_images
            tell("writing", done, total)

    def _write_tar(self, contents: Contents, images: Any, file: HashedFile) -> None:
        webdataset.write_shard(
            file,
            (
                webdataset.Sample(
                    image.place,
                    suffix_of(image),
                    contents.read(image),
                    contents.number(image),
                    image.row,
                )
                for image in images()
            ),
        )

    def _write_parquet(self, contents: Contents, images: Any, file: HashedFile) -> None:
        rows = (
            parquet.ParquetRow(contents.read(image), contents.number(image), json.loads(image.row))
            for image in images()
        )
        parquet.write_file(file, rows, contents.classes)


def _told(contents: Contents, shard: Shard, tell: Any, before: int) -> Iterator[Image]:
    for number, image in enumerate(contents.listing.of_shard(shard), before):
        tell(number, contents.listing.num_images)
        yield image

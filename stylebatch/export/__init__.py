"""An output as others read it: WebDataset, Parquet, YOLO's folders, COCO."""

from stylebatch.export.exporter import Exported, export
from stylebatch.export.request import KINDS, TASKS, Request, ShardSize, parse_shard_size

__all__ = [
    "KINDS",
    "TASKS",
    "Exported",
    "Request",
    "ShardSize",
    "export",
    "parse_shard_size",
]

"""Which job is in which state, and what its inputs were: SQLite, one writer."""

from stylebatch.ledger.adopt import AdoptedImage
from stylebatch.ledger.annotations import AnnotationFile
from stylebatch.ledger.aside import AsideImage
from stylebatch.ledger.database import REMEDY, LedgerError, damaged_ledger, is_damage
from stylebatch.ledger.ledger import Ledger
from stylebatch.ledger.planned_jobs import PairCounts, PlannedJobs
from stylebatch.ledger.shards import (
    Standing,
    copy_together,
    merge_ledgers,
    merge_shards,
    open_together,
    read_standing,
)
from stylebatch.ledger.sizes import MadeImage, Waiting
from stylebatch.ledger.stale import StaleFound

__all__ = [
    "REMEDY",
    "AdoptedImage",
    "AnnotationFile",
    "AsideImage",
    "Ledger",
    "LedgerError",
    "MadeImage",
    "PairCounts",
    "PlannedJobs",
    "StaleFound",
    "Standing",
    "Waiting",
    "copy_together",
    "damaged_ledger",
    "is_damage",
    "merge_ledgers",
    "merge_shards",
    "open_together",
    "read_standing",
]

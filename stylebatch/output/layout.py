"""The output tree: where things are, and what is made and swept there."""

import secrets
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from stylebatch.output.shard import Shard
from stylebatch.output.store import Store, note_store, read_store
from stylebatch.output.stored_tree import StoredTree
from stylebatch.output.tree import FolderTree, Tree
from stylebatch.system import files, folders, listing
from stylebatch.system.object_stores import AT_ONCE

# The folder of the images, which the records' paths begin with: they resolve from the output.
IMAGES = "images"
# What stylebatch keeps for itself.
STATE = ".stylebatch"
# Between what is a run's own id and the name of its shard.
_OF_SHARD = "-shard-"
_SAVED = ".safetensors"


def _beside(output: str) -> str:
    """Return what files are called by that belong to an image, without their suffix.

    Others than PNG keep their own: an image and its successor of another format are both there
    until the older is set aside.
    """
    return output.removesuffix(".png")


class Dataset:
    """An output folder: images in a tree of their own, everything else beside it.

    A shard's run shares the images; ledger, lock, log and summary are its own, in `home`.

    Of an output in an object store this is the state, on this machine: `tree` is where its images
    are, and what belongs to them; records are written here and published (`publishing.py`).
    """

    def __init__(self, root: Path, shard: Shard | None = None, store: Store | None = None) -> None:
        """Name the places of an output.

        Args:
            store: where it is, if it is in none; None: as its state says.
        """
        self.root, self.shard, self._store = root, shard, store
        self.images = root / IMAGES
        self.losses = root / "losses"
        self.progress = root / "progress"
        self.side_by_side = root / "side_by_side"
        self.metadata = root / "metadata.jsonl"
        self.settings = root / "settings.json"
        self.failures = root / "failures.jsonl"
        self.card = root / "README.md"
        # A page that shows all of it, on request.
        self.report = root / "report"
        self.state = root / STATE
        # A folder for each run that has set something aside.
        self.stale = self.state / "stale"
        # Half-made images, for the next run to go on with.
        self.saved = self.state / "saved"
        # In which folders of the images there are tables for loaders, and where they are written.
        self.tables = self.state / "tables.json"
        self.unfinished_table = self.state / "table.jsonl"
        # What the records were when they were written last: others are somebody's edit.
        self.written = self.state / "written.json"
        # Held while anybody takes a lock on the output.
        self.gate = self.state / "gate"
        # Held while the records of the whole output are read from its ledgers and written.
        self.records = self.state / "records"
        # Held while they are put into a store, and what was put there last.
        self.putting, self.published = self.state / "putting", self.state / "published.json"
        # Held while the report is written.
        self.reporting = self.state / "report"
        self._shards = self.state / "shards"
        self.home = self._shards / shard.name if shard else self.state
        self.summary = (self.home if shard else root) / "run.json"
        self.ledger = self.home / "ledger.sqlite"
        self.lock = self.home / "lock"
        # Written and checked by `lock.py`. Not in the lock's own file: whoever tries to get the
        # lock empties that.
        self.holder = self.home / "holder.json"
        # What its run is doing, written and read by `activity.py`.
        self.activity = self.home / "activity.json"
        self.log = self.home / "run.log"

    @cached_property
    def tree(self) -> Tree:
        """Where its images are, and what belongs to them."""
        return self.stored or FolderTree(self.root)

    @property
    def readers(self) -> int | None:
        """How many threads should read files of the tree; None: as many as there are cores."""
        return AT_ONCE if self.store else None

    @cached_property
    def store(self) -> Store | None:
        """The object store that it is in, None of one in its folder."""
        return self._store or read_store(self.state)

    @cached_property
    def stored(self) -> StoredTree | None:
        """Where its images are, if that is in an object store."""
        return StoredTree(self.root, self.store.url) if self.store else None

    @property
    def place(self) -> str:
        """Where it is, as people are told."""
        return self.store.url if self.store else str(self.root)

    def tell(self, path: Path) -> str:
        """Return where a file of it is, as people are told."""
        return self.stored.url(path) if self.stored else str(path)

    @property
    def name(self) -> str:
        """What it is called."""
        return self.store.name if self.store else self.root.absolute().name

    @property
    def whole(self) -> "Dataset":
        """The output as a run without a shard sees it."""
        return Dataset(self.root, store=self._store)

    def shards(self) -> list["Dataset"]:
        """Return the output as each shard sees it that has left something there."""
        found = map(Shard.from_name, listing.list_folders(self._shards))
        return [Dataset(self.root, shard, self._store) for shard in sorted(filter(None, found))]

    def rivals(self) -> list["Dataset"]:
        """Return the output as those see it that may not run while this one does, but itself.

        A shard and its siblings share no output.
        """
        if self.shard is None:
            return self.shards()
        count = self.shard.count
        others = [each for each in self.shards() if each.shard and each.shard.count != count]
        return [self.whole, *others]

    def name_run(self, run_id: str) -> str:
        """Return a run's id with its shard: that tells whose its temporaries are."""
        return f"{run_id}{_OF_SHARD}{self.shard.name}" if self.shard else run_id

    def temporary_folder(self, run_id: str) -> Path:
        """Where a run's workers write before they rename: on the file system of the images."""
        return self.state / "tmp" / run_id

    def worker_folder(self, run_id: str, worker: int, incarnation: int) -> Path:
        """Where one worker of a run writes, and no other that has its number before or after."""
        return self.temporary_folder(run_id) / f"worker{worker}-{incarnation}"

    def stale_folder(self, run_id: str) -> Path:
        """Where a run moves what has no place any more."""
        return self.stale / run_id

    def saved_path(self, fingerprint: str) -> Path:
        """Where a job's half-made image is, if it was saved."""
        return self.saved / f"{fingerprint}{_SAVED}"

    def list_saved(self) -> set[str]:
        """Return the fingerprints of the jobs whose images were saved half-made."""
        found = listing.list_sizes(self.saved)
        return {name.removesuffix(_SAVED) for name in found if name.endswith(_SAVED)}

    def image_path(self, output: str) -> Path:
        """Where a job's image is."""
        return self.images / output

    def open_image(self, output: str) -> BinaryIO:
        """Open a job's image to be read."""
        return self.tree.open(self.image_path(output))

    def loader_table(self, folder: str) -> Path:
        """Where the table is that loaders find among the images of a folder (below `images/`)."""
        return self.images / folder / self.metadata.name

    def log_path(self, output: str) -> Path:
        """Where a job's loss log is."""
        return self.losses / f"{_beside(output)}.csv"

    def log_table_path(self, name: str) -> Path:
        """Where a table of several images' loss logs is."""
        return self.losses / name

    def progress_folder(self, output: str) -> Path:
        """Where a job's images on its way are, if the recipe asks for them."""
        return self.progress / _beside(output)

    def progress_path(self, output: str, evaluation: int) -> Path:
        """Where its image after so many evaluations is."""
        return self.progress_folder(output) / f"{evaluation:05}.png"

    def side_by_side_path(self, output: str) -> Path:
        """Where content, result and style are in one picture, if the recipe asks for it."""
        return self.side_by_side / f"{_beside(output)}.png"

    @property
    def own_folders(self) -> tuple[Path, ...]:
        """The folders that every output has."""
        return self.images, self.losses, self.state

    def make_folders(self) -> list[Path]:
        """Make the folders that every run needs; `home` is for whoever holds the lock.

        Returns:
            those that were not there, a folder before the one that it is in.
        """
        every = [*self.own_folders, self.root, *self.root.parents]
        made = [folder for folder in every if files.stat_file(folder) is None]
        for folder in self.own_folders:
            files.make_folder(folder)
        if self._store:
            note_store(self.state, self._store)
        return made

    def unmake_folders(self, made: Iterable[Path]) -> None:
        """Take back what `make_folders` has made, our state with all that is in it.

        Others may begin here meanwhile: the state goes in one step, and of the rest what is empty.
        """
        for folder in made:
            if folder == self.root and self.store:
                folders.remove_tree(folder)  # with the records that were fetched
            elif folder == self.state:
                gone = self.root / f"{self.state.name}-{secrets.token_hex(4)}"
                with suppress(OSError):  # what was refused is what the user has to read
                    files.rename(folder, gone)
                    folders.remove_tree(gone)
            else:
                folders.remove_if_empty(folder)

    def sweep_temporaries(self, run_id: str) -> None:
        """Remove what killed runs left behind; only whoever holds the lock may.

        Those of this shard's siblings stay: they may be at work.
        """
        for name in self.tree.list_folders(self.state / "tmp"):
            if name != run_id and not self._is_of_sibling(name):
                self.remove_temporaries(name)
        records = (self.metadata, self.settings, self.failures, self.card, self.whole.summary)
        for target in (*records, self.tables, self.unfinished_table, self.written):
            folders.sweep_unfinished(target)
        folders.sweep_unfinished_like(self.root, "metadata-*.jsonl")
        for target in (self.holder, self.summary):
            folders.sweep_unfinished(target)

    def _is_of_sibling(self, run_id: str) -> bool:
        owner = Shard.from_name(run_id.rpartition(_OF_SHARD)[2])
        return owner is not None and self.shard is not None and self.shard.is_sibling(owner)

    def remove_home(self) -> None:
        """Remove what a shard kept for itself, once another ledger has what its own had."""
        assert self.shard is not None
        # First, and for good: a ledger that came back could be older than what replaced it.
        files.remove_file(self.ledger)
        files.sync_folder(self.home)
        folders.remove_tree(self.home)

    def shut_out(self, run_id: str, worker: int, incarnation: int) -> None:
        """Remove where a worker writes: one that is still there can't put anything in place."""
        self.tree.shut_out(self.worker_folder(run_id, worker, incarnation))

    def remove_temporaries(self, run_id: str) -> None:
        """Remove what a run that has ended wrote and did not rename."""
        self.tree.remove_folder(self.temporary_folder(run_id))

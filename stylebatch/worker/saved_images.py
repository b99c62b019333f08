"""Half-made images in files, from which the next run goes on; what can't be saved is only lost."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch

from stylebatch.device.choice import precision_name
from stylebatch.device.tensor_files import UnvouchedError, decode_tensors, encode_tensors
from stylebatch.output.acceptance import Try
from stylebatch.output.aside import claim_progress
from stylebatch.output.lock import check_owner
from stylebatch.records import Job, JobSaved, JobsDropped, device_kind
from stylebatch.system.crash_points import reached
from stylebatch.system.files import (
    make_folders_below,
    read_bytes,
    remove_file,
    rename,
    stat_file,
    sync_folder,
    write_synced,
)
from stylebatch.system.words import size_text
from stylebatch.transfer.suspended import FORMAT, Suspended
from stylebatch.worker.running import Running
from stylebatch.worker.spec import WorkerSpec


class SavedImages:
    """The files of one output, by the fingerprints of their jobs: those that lay there at first."""

    def __init__(self, spec: WorkerSpec, tell: Callable[[str], object]) -> None:
        """Look what is there.

        Args:
            tell: is told what is wrong with them, which stops nothing.
        """
        self._spec, self._tell = spec, tell
        self._dataset = spec.dataset
        self._known = self._dataset.list_saved()
        # Of an output in a store the state may be on another machine.
        self._is_refused = stat_file(self._dataset.home) is None

    def resume(self, running: Running) -> tuple[Running, Suspended | None]:
        """Return an image as far as it has come in an earlier run, the same where it has not.

        Returns:
            it with its strength and tries, and what an engine goes on with; None where it begins.
        """
        job = running.job
        if job.fingerprint not in self._known:
            return running, None
        try:
            tensors, text = decode_tensors(read_bytes(self._dataset.saved_path(job.fingerprint)))
            told = json.loads(text)
            tries = tuple(Try(strength, scores) for strength, scores in told["tries"])
            if told["kind"] != self._kind(job):
                self.refuse(job, "is of another version, or another kind of device")
            # Which strength is tried next hangs on them.
            elif tries and told["acceptance"] != self._acceptance(job):
                self.refuse(job, "goes with other thresholds (`accept`)")
            else:
                if job.is_replacement:
                    claim_progress(self._dataset, job.output, self._spec.run_id)
                numbers = told["numbers"]
                image = None if numbers is None else Suspended(tensors, numbers)
                return running._replace(strength=told["strength"], tries=tries), image
        except OSError as error:
            self.refuse(job, f"can't be read ({error.strerror})")
        except (UnvouchedError, ValueError, KeyError, TypeError):
            self.refuse(job, "is damaged")
        return running, None

    def refuse(self, job: Job, why: str) -> None:
        """Say that what was saved of an image is of no use, and remove it."""
        self._tell(f"{job.output}: what was saved of it {why}; it is begun anew")
        self.remove(job.fingerprint)

    def write(
        self, running: Running, image: Suspended | None, *, has_time: bool = True
    ) -> JobSaved | JobsDropped:
        """Save an image that has left its slot; return whether it was, or is forgotten.

        Args:
            running: with the strength and the tries to go on with.
            image: taken out of the engine; None where it is to begin at that strength.
            has_time: without it nothing is saved any more.

        Raises:
            LostOutputError: the output is no longer this run's.
        """
        worker, job = self._spec.worker, running.job
        if not has_time:
            self._tell(f"{self._dataset.saved}: saving takes too long; the rest is begun anew")
        elif not self._is_refused:
            text = json.dumps(self._told(running, image))
            data = encode_tensors(image.tensors if image else {}, text)
            check_owner(self._dataset, self._spec.run_id)
            try:
                self._put(data, job.fingerprint)
            except OSError as error:
                self._is_refused = True
                found = f"{size_text(len(data))} of an image can't be saved ({error.strerror})"
                self._tell(f"{self._dataset.saved}: {found}; what is half-made is begun anew")
            else:
                reached("saved")
                evaluations = len(image.numbers["rows"]) if image else 0
                return JobSaved(worker, job.output, evaluations)
        return JobsDropped(worker, (job.output,))

    def _put(self, data: bytes, fingerprint: str) -> None:
        # Beside what is committed: what a killed run leaves there is swept.
        spec = self._spec
        folder = self._dataset.worker_folder(spec.run_id, spec.worker, spec.incarnation)
        temporary = folder / "saved.tmp"
        try:
            if self._dataset.store:  # where nothing else is written there
                make_folders_below(self._dataset.root, folder)
            write_synced(temporary, data, make_folders=False)
            make_folders_below(self._dataset.root, self._dataset.saved)
            rename(temporary, self._dataset.saved_path(fingerprint))
            sync_folder(self._dataset.saved)
        except OSError:
            with suppress(OSError):
                remove_file(temporary)  # the disk may be full, and images are still committed
            raise
        self._known.add(fingerprint)

    def remove(self, fingerprint: str) -> None:
        """Remove what was saved of an image, if anything was."""
        if fingerprint in self._known:
            self._known.discard(fingerprint)
            with suppress(OSError):
                remove_file(self._dataset.saved_path(fingerprint))

    def _told(self, running: Running, image: Suspended | None) -> dict[str, Any]:
        return {
            "output": running.job.output,
            "kind": self._kind(running.job),
            "strength": running.strength,
            "tries": [[each.strength, dict(each.scores)] for each in running.tries],
            "acceptance": self._acceptance(running.job),
            "numbers": image.numbers if image else None,
        }

    def _kind(self, job: Job) -> dict[str, Any]:
        """Return what has to be the same for the bits to go on as they would have."""
        precision = self._spec.settings[job.settings_id].precision
        return {
            "fingerprint": job.fingerprint,
            "format": FORMAT,
            "torch": torch.__version__,
            "device": device_kind(self._spec.device),
            "precision": precision_name(precision, self._spec.device),
        }

    def _acceptance(self, job: Job) -> dict[str, Any] | None:
        acceptance = self._spec.acceptances.get(job.pair)
        return acceptance.described() if acceptance else None

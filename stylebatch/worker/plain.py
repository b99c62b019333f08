"""A worker without a network: photographs carried over, colour transfers; it brings no torch."""

import time
import traceback
from collections.abc import Collection
from concurrent.futures import Future
from dataclasses import replace

from stylebatch.device.originals import Carried
from stylebatch.device.pixel_scores import recolored_scores
from stylebatch.device.recolor import Recolored
from stylebatch.errors import RunError, UserError
from stylebatch.output.acceptance import Scores, Try, tell_rejection
from stylebatch.pictures.formats import Provenance
from stylebatch.records import (
    Event,
    Job,
    JobDone,
    JobFailed,
    JobsDropped,
    Kind,
    RunFailed,
    WorkerLost,
)
from stylebatch.worker.commit import CarriedOver, Committer, Finished
from stylebatch.worker.decode_ahead import DecodeAhead, Read
from stylebatch.worker.meter import Meter
from stylebatch.worker.provenance import describe_stylised
from stylebatch.worker.spec import WorkerSpec

# Of what is handed over at once: small images by the hundred, as each round waits for the disk.
PIXEL_BUDGET = 2**22
# It answers so often.
TURN_S = 0.1


class PlainWorker:
    """Makes what is read, computed in a thread and encoded, and takes part in no batch.

    `submit` jobs, call `advance` until `is_idle`; it never blocks for long. `pixel_budget` is how
    many pixels it has at hand at once.
    """

    # Of the device.
    model = ""

    def __init__(self, spec: WorkerSpec, pixel_budget: int | None = None) -> None:
        self._spec = spec
        self.pixel_budget = pixel_budget or spec.pixel_budget or PIXEL_BUDGET
        dataset = spec.dataset
        self._committer = Committer(
            dataset, spec.run_id, spec.worker, spec.losses, spec.incarnation
        )
        self._waiting = DecodeAhead(
            spec.root, spec.cache, spec.settings, spec.styles, spec.provenance
        )
        self._meter = Meter(spec.worker, spec.report_every_s)
        self._kind: Kind | None = None
        self._turn_ends_s = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether every submitted job has come out as an event."""
        return not (self._waiting or self._has_begun or self._committer.pending)

    def submit(self, jobs: list[Job]) -> None:
        """Queue jobs behind those already there."""
        self._waiting.put(jobs)

    def drop_waiting(self) -> JobsDropped:
        """Forget the jobs that are in no slot yet."""
        return JobsDropped(self._spec.worker, self._waiting.drop())

    def save_slots(self) -> JobsDropped:
        """Bring what is in slots to an end soon: finish it, or save it for the next run.

        Events tell which; what waits is forgotten, as by `drop_waiting`.
        """
        return self.drop_waiting()

    def advance(self) -> list[Event]:
        """Go on for a moment, and return what has happened since.

        An error of ours comes out as `RunFailed`, never as an exception; after `WorkerLost` the
        process can't go on.
        """
        try:
            return self._advance()
        except RunError as error:
            return [RunFailed(self._spec.worker, str(error), is_ours=False)]
        except Exception as error:
            if lost := self._lost_device(error):
                return [lost]
            return [RunFailed(self._spec.worker, traceback.format_exc(), is_ours=True)]

    def close(self) -> None:
        """Commit what is finished and end the threads."""
        self._waiting.close()
        self._committer.close()
        self._meter.close()

    def _lost_device(self, error: Exception) -> WorkerLost | None:
        """Return what there is to tell if an error means that a device can't be used any more."""
        return None

    @property
    def _has_begun(self) -> bool:
        """Whether any image is being optimised, or will be at once."""
        return False

    @property
    def _in_slots(self) -> Collection[str]:
        """Outputs of the images that are being optimised."""
        return ()

    @property
    def _free_slots(self) -> int:
        return 1

    def _advance(self) -> list[Event]:
        events: list[Event] = []
        self._turn_ends_s = time.monotonic() + TURN_S
        self._waiting.begin(self._free_slots)
        self._admit(events)
        self._step(events)
        wait_s = 0.0
        if not self._has_begun and not self._waiting:
            self._committer.flush()
            wait_s = 0.05
        for done in self._committer.done(wait_s):
            if isinstance(done, JobDone):
                self._note_done(done)
            else:
                self._meter.forget(done.output)
            events.append(done)
        self._report_progress(events, is_due=self.is_idle)
        return events

    def _note_done(self, done: JobDone) -> None:
        """Forget what was known of an image that is in place."""
        self._meter.forget(done.output)

    def _step(self, events: list[Event]) -> None:
        """Run one evaluation of what is in slots: nothing is."""

    def _admit(self, events: list[Event]) -> None:
        while self._waiting and self._has_room_for(self._waiting.first):
            # With nothing to step there is nothing better to do than to wait for the decoder.
            if not self._waiting.is_ready() and self._in_slots:
                return
            self._turn_to(self._waiting.first, events)
            job, reading = self._waiting.pop()
            try:
                is_taken = self._take_read(job, reading, events)
            except RunError:
                raise
            except MemoryError:
                reason = "memory did not suffice to decode it"
                events.append(self._failed(job, reason, is_transient=True))
            except UserError as error:
                events.append(self._failed_by(job, error))
            else:
                if not is_taken:
                    return
            self._waiting.begin(self._free_slots)

    def _has_room_for(self, job: Job) -> bool:
        return time.monotonic() < self._turn_ends_s

    def _turn_to(self, job: Job, events: list[Event]) -> None:
        """Report what was of another shape, as times are told by shape."""
        if not job.is_original and self._kind != job.kind:
            self._report_progress(events, is_due=True)
            self._kind = job.kind

    def _take_read(self, job: Job, reading: "Future[Read]", events: list[Event]) -> bool:
        """Take what is read of a job; return whether others may follow."""
        read = self._meter.timed(reading.result)
        if isinstance(read, Recolored):
            self._meter.count([job.output])
        self._hand_over(job, read, events)
        return True

    def _hand_over(self, job: Job, read: Read, events: list[Event]) -> None:
        """Hand over what needs no slot."""
        if isinstance(read, Carried):
            self._committer.put(CarriedOver(job, read))
            return
        assert isinstance(read, Recolored)
        acceptance = self._spec.acceptances.get(job.pair)
        if acceptance is None:
            # Scores take longer than the transfer, so that there are none where nobody asks.
            self._commit(job, read, {}, num_retries=0)
            return
        tries: tuple[Try, ...] = ()
        recipe = self._spec.settings[job.settings_id].recipe
        strength, scores = job.strength, recolored_scores(read, recipe)
        while acceptance.otherwise != "keep" and not acceptance.is_met(scores):
            tries = (*tries, Try(strength, scores))
            another = acceptance.next_strength(tries, job.fingerprint)
            if another is None:
                events.append(self._failed(job, tell_rejection(acceptance, tries)))
                return
            strength = another
            read = self._waiting.recolor(replace(job, strength=strength))
            scores = recolored_scores(read, recipe)
        self._commit(replace(job, strength=strength), read, scores, len(tries))

    def _commit(self, job: Job, made: Recolored, scores: Scores, num_retries: int) -> None:
        settings = self._spec.settings[job.settings_id]
        # There is no loss, and so no log; all else that is told of an optimised image is null.
        facts: dict[str, object] = {
            **dict.fromkeys(("losses", "status", "restored", "retried_with_adam", "precision")),
            **{"evaluations": 1, "seconds": round(made.seconds, 4), "device": "cpu"},
            **{"retries": num_retries, **scores},
            **({"strength": job.strength} if num_retries else {}),
            **made.told,
        }
        self._committer.put(
            Finished(
                job,
                settings.recipe,
                made.pixels,
                made.canvas,
                made.beside,
                (),
                facts,
                settings.file_format,
                self._provenance(job),
            )
        )

    def _provenance(self, job: Job) -> Provenance | None:
        recipe = self._spec.provenance.get(job.pair)
        if recipe is None:
            return None
        return describe_stylised(job, self._spec.styles[job.style].name, recipe)

    def _failed_by(self, job: Job, error: UserError) -> JobFailed:
        failed = self._failed(job, str(error), error.is_transient)
        return replace(failed, unexpected_input=error.unexpected_input)

    def _failed(self, job: Job, reason: str, is_transient: bool = False) -> JobFailed:
        self._meter.forget(job.output)
        return JobFailed(self._spec.worker, job.output, job.fingerprint, reason, is_transient)

    def _report_progress(self, events: list[Event], *, is_due: bool) -> None:
        shape = self._kind[0] if self._kind else None
        if progress := self._meter.report(self._in_slots, shape, is_due=is_due):
            events.append(progress)

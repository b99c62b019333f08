"""A worker's jobs in the order given, the next few of them decoded by threads of their own."""

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from stylebatch.device.content import Content, check_edges, read_content
from stylebatch.device.originals import Carried, carry_over
from stylebatch.device.recolor import ColorTransfer, Recolored
from stylebatch.device.style_images import StyleImages
from stylebatch.recipes import Settings
from stylebatch.records import Job, Style
from stylebatch.system.object_stores import is_remote
from stylebatch.worker.provenance import describe_original

Read = Content | Carried | Recolored

DECODE_THREADS = 2
# The images after those in the slots are decoded ahead, and no more: they wait in memory.
DECODE_AHEAD = 4
# Of photographs in a store, whose answer is waited for: threads that mostly sleep.
FETCH_THREADS, FETCH_AHEAD = 8, 12
# What they may take together; a photograph of 24 megapixels takes 72 MB where it is kept whole.
BYTES_AHEAD = 2**28


class DecodeAhead:
    """The jobs that are in no slot yet; true while there are any."""

    def __init__(
        self,
        root: Path,
        cache: Path,
        settings: Mapping[str, Settings],
        styles: Mapping[str, Style],
        provenance: Collection[str] = (),
    ) -> None:
        """Begin without jobs; arguments are those of `WorkerSpec`."""
        self._root, self._settings, self._provenance = root, settings, provenance
        self._styles, self._colors = styles, ColorTransfer(StyleImages(root, cache))
        self._waiting: deque[Job] = deque()
        self._decoding: dict[str, Future[Read]] = {}
        # Bytes of the largest that was read so far: those to come are taken to be as large.
        self._largest = 0
        self._threads = ThreadPoolExecutor(DECODE_THREADS, thread_name_prefix="decode")
        self._fetchers = ThreadPoolExecutor(FETCH_THREADS, thread_name_prefix="fetch")

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def first(self) -> Job:
        """The job whose turn it is."""
        return self._waiting[0]

    def put(self, jobs: Iterable[Job]) -> None:
        """Queue jobs behind those already there."""
        self._waiting.extend(jobs)

    def put_back(self, jobs: list[Job]) -> None:
        """Queue jobs before all others."""
        self._waiting.extendleft(reversed(jobs))

    def drop(self) -> tuple[str, ...]:
        """Forget all jobs; return their outputs."""
        dropped = tuple(job.output for job in self._waiting)
        self._waiting.clear()
        self._decoding.clear()
        return dropped

    def begin(self, free_slots: int) -> None:
        """Let the threads begin with what soon gets a slot: as many as fit, the first always."""
        most = BYTES_AHEAD // self._largest if self._largest else DECODE_THREADS
        is_stored = bool(self._waiting) and is_remote(self.first.content)
        ahead = FETCH_AHEAD if is_stored else DECODE_AHEAD
        for job in islice(self._waiting, min(free_slots + ahead, max(1, most))):
            if job.output not in self._decoding:
                threads = self._fetchers if is_remote(job.content) else self._threads
                self._decoding[job.output] = threads.submit(self._read, job)

    def _read(self, job: Job) -> Read:
        read = self._read_one(job)
        self._largest = max(self._largest, _size_of(read))
        return read

    def _read_one(self, job: Job) -> Read:
        """Read what is optimised, or has its colours by now, or, encoded, is only carried over."""
        settings = self._settings[job.settings_id]
        if job.is_original:
            is_told = job.pair in self._provenance
            provenance = describe_original(job) if is_told else None
            return carry_over(self._root, job, settings, provenance)
        if not settings.needs_network:
            return self.recolor(job)
        content = read_content(self._root, job, settings)
        check_edges(content.canvas, settings.file_format, job.content)
        return content

    def recolor(self, job: Job) -> Recolored:
        """Return a job's colour transfer, at once; errors as `ColorTransfer.of_job`."""
        settings = self._settings[job.settings_id]
        return self._colors.of_job(self._root, job, settings, self._styles[job.style])

    def is_ready(self) -> bool:
        """Whether the first job, which has been begun with, is decoded."""
        return self._decoding[self.first.output].done()

    def pop(self) -> tuple[Job, Future[Read]]:
        """Take the first job, which has been begun with; its content may not be ready."""
        job = self._waiting.popleft()
        return job, self._decoding.pop(job.output)

    def close(self) -> None:
        """End the threads."""
        for threads in (self._threads, self._fetchers):
            threads.shutdown(wait=False, cancel_futures=True)


def _size_of(read: Read) -> int:
    """Return how many bytes wait in memory with what was read."""
    if isinstance(read, Carried):
        return len(read.data)
    parts = (read.pixels, read.canvas.content, read.canvas.alpha, read.canvas.mask)
    return sum(part.nbytes for part in parts if part is not None)

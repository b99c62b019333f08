"""What a run's events leave in its log."""

from stylebatch.records import (
    Event,
    JobDone,
    JobFailed,
    JobResumed,
    JobSaved,
    Notice,
    WorkerJoined,
    WorkerLost,
)
from stylebatch.run.activity import Activity
from stylebatch.run.as_read import AsRead
from stylebatch.run.loop import LoopWatcher
from stylebatch.run.progress import Tally
from stylebatch.system.log import logger


class Logged:
    """Passes events on, and writes to the log what somebody may look for there.

    Attributes:
        as_read: of what has been made.
    """

    def __init__(self, watcher: LoopWatcher, activity: Activity) -> None:
        self._watcher, self._activity = watcher, activity
        self.as_read = AsRead()

    def event(self, event: Event) -> None:
        """Take an event."""
        match event:
            case JobDone():
                self.as_read.tell(event)
            case JobFailed(output=output, reason=reason, is_rejected=True):
                logger.info("%s: %s", output, reason)
            case JobFailed(output=output, reason=reason):
                logger.warning("failed: %s: %s", output, reason)
            case JobSaved(_, output, evaluations):
                logger.info("%s: saved after evaluation %d", output, evaluations)
            case JobResumed(_, output, evaluations):
                logger.info("%s: goes on after evaluation %d", output, evaluations)
            case WorkerLost(worker, reason, pid):
                logger.warning("worker %d (process %s) is lost: %s", worker, pid, reason)
            case WorkerJoined(worker, device, where=where):
                at = f" of {where}" if where else ""
                logger.info("worker %d is there, on %s%s", worker, device, at)
            case Notice(worker, text):
                logger.info("worker %d: %s", worker, text)
        self._watcher.event(event)

    def tick(self, tally: Tally) -> None:
        """Take the numbers so far."""
        self._activity.tick(tally)
        self._watcher.tick(tally)

"""One run from start to end: plan, start workers, feed them, record what they make.

`run`, `merge_output`, `write_records_beside`, `judge_output`, `adopt_output`, `restore_output`,
`list_aside` and `clean_output` are what commands call; a preview and an estimate use the parts
below them.
"""

from stylebatch.run.adopt import Adoption, adopt_output, open_to_plan
from stylebatch.run.annotation_survey import survey_annotations
from stylebatch.run.annotations import annotation_failures, forget_annotations
from stylebatch.run.executors import EXECUTORS
from stylebatch.run.judge import JudgedFile, Judgement, judge_output
from stylebatch.run.limits import Limits
from stylebatch.run.loop import Loop, WorkerError
from stylebatch.run.merge import merge_output
from stylebatch.run.metadata import metadata_row, write_records, write_records_beside
from stylebatch.run.pace import Pace
from stylebatch.run.pipeline import RunRequest, run
from stylebatch.run.planning import make_plan
from stylebatch.run.progress import Finishing, Stop, StopRequest, Tally
from stylebatch.run.restore import Restored, clean_output, list_aside, restore_output
from stylebatch.run.scheduler import Scheduler, cost_of
from stylebatch.run.session import RunSummary, hold, last_summary, new_run_id, output_errors
from stylebatch.run.specs import Work, make_executor, worker_specs
from stylebatch.run.start import (
    check_output,
    check_start,
    describe_download,
    prepare_all_weights,
    prepare_weights,
)
from stylebatch.run.stopping import Stopping
from stylebatch.run.style_files import (
    choose_to_export,
    export_of_entry,
    needed_targets,
    plan_styles,
    warm_manifest,
)
from stylebatch.run.watcher import Watcher

__all__ = [
    "EXECUTORS",
    "Adoption",
    "Finishing",
    "JudgedFile",
    "Judgement",
    "Limits",
    "Loop",
    "Pace",
    "Restored",
    "RunRequest",
    "RunSummary",
    "Scheduler",
    "Stop",
    "StopRequest",
    "Stopping",
    "Tally",
    "Watcher",
    "Work",
    "WorkerError",
    "adopt_output",
    "annotation_failures",
    "check_output",
    "check_start",
    "choose_to_export",
    "clean_output",
    "cost_of",
    "describe_download",
    "export_of_entry",
    "forget_annotations",
    "hold",
    "judge_output",
    "last_summary",
    "list_aside",
    "make_executor",
    "make_plan",
    "merge_output",
    "metadata_row",
    "needed_targets",
    "new_run_id",
    "open_to_plan",
    "output_errors",
    "plan_styles",
    "prepare_all_weights",
    "prepare_weights",
    "restore_output",
    "run",
    "survey_annotations",
    "warm_manifest",
    "worker_specs",
    "write_records",
    "write_records_beside",
]

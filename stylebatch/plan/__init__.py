"""Manifest → jobs, streamed: which inputs there are, which styles they get, what decides pixels."""

from stylebatch.plan.fingerprint import draw_noise_seed
from stylebatch.plan.inputs import KnownFile, PlanError, resolve_styles
from stylebatch.plan.plan_file import PlanFile, replay
from stylebatch.plan.planner import Planned, PlannedFolder, plan_jobs
from stylebatch.plan.summary import PlanSummary

__all__ = [
    "KnownFile",
    "PlanError",
    "PlanFile",
    "PlanSummary",
    "Planned",
    "PlannedFolder",
    "draw_noise_seed",
    "plan_jobs",
    "replay",
    "resolve_styles",
]

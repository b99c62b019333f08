"""An output as a page: what was made, what became of it, and how."""

from stylebatch.report.folder import ReportError
from stylebatch.report.maker import Report, make_report

__all__ = ["Report", "ReportError", "make_report"]

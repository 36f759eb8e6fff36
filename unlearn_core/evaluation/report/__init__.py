"""A report of a run: one page that opens offline, and the same as JSON."""

from __future__ import annotations

from unlearn_core.evaluation.report.content import Header, not_run, plain, report_data
from unlearn_core.evaluation.report.html import to_html
from unlearn_core.evaluation.report.masking import masked

__all__ = ["Header", "masked", "not_run", "plain", "report_data", "to_html"]

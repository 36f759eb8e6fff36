"""Runs: written down one folder each, fitted in the background."""

from unlearn_core.runs.errors import RunDamaged, RunNotReady
from unlearn_core.runs.run import Latest, Run, RunInfo, RunState, Status, Wish
from unlearn_core.runs.store import Workspace
from unlearn_core.runs.worker import Worker

__all__ = ["Latest", "Run", "RunDamaged", "RunInfo", "RunNotReady", "RunState", "Status", "Wish", "Worker", "Workspace"]

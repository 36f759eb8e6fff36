"""A download's progress in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

from unlearn_core.vlm.hub import Downloaded, Progress


@contextmanager
def progress() -> Iterator[Progress]:
    """Inside, what is told of a download is drawn as a bar on standard error. Nothing is drawn where nothing is downloaded."""
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Bars(TextColumn("{task.description}"), *columns, console=Console(stderr=True), transient=True) as bars:

        def tell(now: Downloaded) -> None:
            task = next(iter(bars.task_ids), None)
            if task is None:
                task = bars.add_task("", total=now.total)
            bars.update(task, completed=now.done, description=escape(now.file))

        yield tell

"""What commands show: bars on standard error, tables on standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from unlearn_core.evaluation.progress import Job

T = TypeVar("T")


def watched(job: Job[T]) -> T:
    """Do a job to its end, with a bar on standard error where that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    from unlearn_core.evaluation.progress import finish

    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("")
        return finish(job, lambda p: bars.update(bar, description=p.phase, completed=p.done, total=p.total))


def print_table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """A table on standard output. Texts of models and files are text, whatever brackets they hold."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(*columns, title=title, title_justify="left")
    for row in rows:
        shown.add_row(*map(Text, row))
    Console().print(shown)


def share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"

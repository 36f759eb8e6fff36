"""What commands show: bars on standard error, results on standard output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from unlearn_core.evaluation.progress import Job
    from unlearn_core.methods import Step

T = TypeVar("T")


def watched(job: Job[T]) -> T:
    """Do a job to its end, with a bar on standard error where that is a terminal."""
    from unlearn_core.evaluation.progress import finish

    with bars() as shown:
        bar = shown.add_task("")
        return finish(job, lambda p: shown.update(bar, description=p.phase, completed=p.done, total=p.total))


def watched_steps(steps: Iterable[Step], shown: bool) -> Iterator[Step]:
    """The steps of a fit, with a bar meanwhile."""
    with step_bar(shown) as watch:
        for step in steps:
            watch(step)
            yield step


@contextmanager
def step_bar(shown: bool = True) -> Iterator[Callable[[Step], None]]:
    """A bar with the time left, as the fit itself reckons it, for what is called with each of its steps."""
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn

    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[left]}")
    with bars(*columns, disable=not shown) as drawn:
        bar = drawn.add_task("Starting", left="")

        def watch(step: Step) -> None:
            left = f"{duration(step.seconds_left)} left"
            drawn.update(bar, description=step.phase, completed=step.index, total=step.total, left=left)

        yield watch


@contextmanager
def bars(*columns: Any, disable: bool = False) -> Iterator[Bars]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(*columns, console=Console(stderr=True), transient=True, disable=disable) as shown:
        yield shown


def print_table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """A table on standard output. Texts of models and files are text, whatever brackets they hold."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(*columns, title=title, title_justify="left")
    for row in rows:
        shown.add_row(*map(Text, row))
    Console().print(shown)


def shown(result: dict[str, Any], json: bool) -> dict[str, Any] | None:
    """A result as it is, to be printed as JSON; or None, after its parts were printed line by line.

    Control characters, which could steer a terminal, are left out: answers of models and names in files may hold any.
    """
    if json:
        return result
    for name, value in result.items():
        text = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
        print(f"{name.replace('_', ' ')}: {text}")
    return None


def share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def duration(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"

"""Which models stand side by side on page 4, and what a comparison of them leaves behind."""

from __future__ import annotations

from dataclasses import dataclass

from components.comparing.figures import Point
from components.comparing.lines import Line
from components.studio import Studio
from unlearn_core.comparison import BEFORE, RETAIN_ONLY, Comparison, Result, standing
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BadRequest, StudioError

A, B = "A", "B"


@dataclass(frozen=True)
class Sides:
    """What is chosen.

    Args:
        a, b: references of results; b is None where there is only one.
        about: subjects that the questions are about, where A is a bundle and does not tell.
        folder: of a retain-only model; empty for that of the collection, if it has one.
    """

    a: str
    b: str | None = None
    about: tuple[str, ...] = ()
    folder: str = ""

    @classmethod
    def chosen(cls, a: str | None, b: str | None, about: list[str] | None, folder: str | None) -> Sides:
        """What the page's inputs say. Raises BadRequest where there is no A; B the same as A is no B."""
        if not a:
            raise BadRequest("Please choose a result first.")
        return cls(a, b if b and b != a else None, tuple(about or ()), folder or "")

    @property
    def results(self) -> dict[str, str]:
        """References by name."""
        return {A: self.a} | ({} if self.b is None else {B: self.b})

    def subjects(self, studio: Studio) -> list[str]:
        """Whom A was made to forget."""
        return studio.subjects(self.a) or list(self.about)

    def gold(self, studio: Studio) -> VLM | None:
        return studio.gold(self.folder, self.subjects(studio))

    def models(self, studio: Studio) -> dict[str, VLM]:
        """Every model by its name: before, A, B where there is one, and retain-only where there is one."""
        gold = self.gold(studio)
        made = {name: studio.model(ref) for name, ref in self.results.items()}
        return {BEFORE: studio.vlm, **made, **({} if gold is None else {RETAIN_ONLY: gold})}

    def compared(self, studio: Studio) -> list[Result]:
        return [
            Result(name, studio.model(ref), studio.run(ref) if studio.is_run(ref) else None)
            for name, ref in self.results.items()
        ]


@dataclass(frozen=True, eq=False)
class Done:
    """A finished comparison."""

    sides: Sides
    comparison: Comparison
    lines: tuple[Line, ...]


def points(studio: Studio, sides: Sides | None = None) -> list[Point]:
    """Every run on this model that was ever compared, for the chart; one whose numbers cannot be read is left out."""
    marks = {} if sides is None else {ref: name for name, ref in sides.results.items()}
    found = []
    for ref, run in studio.finished():
        try:
            now = standing(run)
        except StudioError:
            continue
        if now is not None:
            found.append(Point(studio.title(run), run.info.method, now, marks.get(ref, "")))
    return found

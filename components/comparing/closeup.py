"""One question, asked of all models at once, as markup and figures. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape

import plotly.graph_objects as go
from jaxtyping import Float
from torch import Tensor

from components import figures
from components.comparing.sides import A, B
from components.gallery import Shown
from components.looking import ATTENTION, KINDS, Looked, heat, highest
from unlearn_core.attention import difference, words
from unlearn_core.attention.drawing import Drawn
from unlearn_core.comparison import BEFORE
from unlearn_core.vlm import VLM, Prompt
from unlearn_core.vlm.together import ask_together

MAP = 300
"""Height of a map in pixels."""
SAME = 1e-6
"""Change of a share of attention that is rounding: rows of one batch are added up in another order than alone. [ours]"""
UNIT = "change of share"


@dataclass(frozen=True, eq=False)
class Closeup:
    """One question about one picture, answered by each model, with the attention of its words."""

    shown: Shown
    looked: Mapping[str, Looked]

    @cached_property
    def heats(self) -> dict[str, Float[Tensor, "h w"]]:
        """Where each model looked, by its name; one that saw no picture or said nothing is missing."""
        there = {} if self.shown.image is None else self.looked
        return {name: heat(x) for name, x in there.items() if x.rows is not None}

    @property
    def scale(self) -> tuple[float, float]:
        """The ends of one scale for all maps."""
        return 0.0, highest(list(self.heats.values()))

    @cached_property
    def changes(self) -> dict[str, Float[Tensor, "h w"]]:
        """What A and B looked at more (or less, below 0) than the model before, where both have a map."""
        there = self.heats.keys() & {A, B} if BEFORE in self.heats else ()
        return {name: difference(self.heats[name], self.heats[BEFORE]) for name in sorted(there)}

    @property
    def limit(self) -> float:
        """The end of one scale for all differences."""
        return highest([change.abs() for change in self.changes.values()])

    def drawn(self) -> list[tuple[str, Drawn]]:
        """All maps to take away, each with its title."""
        image = self.shown.image
        if image is None or not self.heats:
            return []
        unit = KINDS[ATTENTION].unit
        maps = [(name, Drawn(image, z, self.scale, figures.HEAT, unit)) for name, z in self.heats.items()]
        ends = -self.limit, self.limit
        more = [(f"{name} - {BEFORE}", Drawn(image, z, ends, figures.CHANGE, UNIT)) for name, z in self.changes.items()]
        return maps + more

    def nbytes(self) -> int:
        return sum(x.nbytes() for x in self.looked.values())


def look(models: Mapping[str, VLM], shown: Shown, question: str) -> Closeup:
    """Ask every model in one go. Models that cannot tell where they look just answer. Raises BadQuestion."""
    rows = all(vlm.family.in_sequence for vlm in models.values())
    said = ask_together(list(models.values()), [Prompt(shown.image, question)], rows=rows)[0]
    return Closeup(shown, {name: Looked(shown, question, a, words(a)) for name, a in zip(models, said, strict=True)})


def said(name: str, found: Closeup) -> str:
    answer = found.looked[name].answer
    text = escape(answer.text) or "<i>(nothing)</i>"
    return (
        f'<div class="answer"><h4>{escape(name)}</h4><p class="said">{text}</p>'
        f'<p class="truth">probability {answer.probability:.0%}</p></div>'
    )


def heat_map(name: str, found: Closeup) -> go.Figure:
    """Where a model looked, on the scale of all."""
    image = found.shown.image
    if image is None or name not in found.heats:
        return figures.nothing("No map: no picture, or nothing said.", 120)
    return figures.heat_map(image, found.heats[name], found.scale, MAP)


def change_map(name: str, found: Closeup) -> go.Figure:
    """The difference to before, on a scale with 0 in the middle."""
    image, change = found.shown.image, found.changes.get(name)
    if image is None or change is None:
        return figures.nothing(f"{name}: no difference can be shown without two maps.", 120)
    if float(change.nan_to_num(0).abs().max()) < SAME:
        return figures.nothing(f"{name} looked at exactly the same places.", 120)
    return figures.change_map(image, change, found.limit, MAP, unit=f"{UNIT}, {name}")

"""Figures of a comparison: shares with their intervals split by split, and all runs in one chart. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import plotly.graph_objects as go

from components.comparing.tables import answered
from components.figures import FORGET, GRID, INK, KEEP, nothing, plain, short
from unlearn_core.comparison import BEFORE, RETAIN_ONLY, Comparison, Share, Standing
from unlearn_core.evaluation.metrics.measured import Measured
from unlearn_core.evaluation.suite import SPLITS, Side, Split

COLOURS = {BEFORE: "#8a9aa6", "A": KEEP, "B": "#7a5cc0", RETAIN_ONLY: "#b58a2c"}
_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "star", "hexagon")
_LEGEND: Any = {"showlegend": True, "legend": {"orientation": "h", "y": 1.01, "yanchor": "bottom", "x": 0}}
_PERCENT: Any = {"tickformat": ".0%", "range": [-0.03, 1.05], "fixedrange": True}


def bars(found: Comparison) -> go.Figure:
    """Share answered with the truth, by split: one bar for each model, with its interval; what must go stands on top."""
    splits = [s for side in Side for s in found.suite.splits if SPLITS[s].side is side and s is not Split.NEVER_SEEN]
    labels = [_label(split) for split in splits]
    figure = go.Figure()
    for name in found.names:
        shares = [_answered(found, name, split) for split in splits]
        figure.add_bar(
            y=labels,
            x=[None if s is None else s.value for s in shares],
            error_x=_whiskers([None if s is None else Share(s.value, s.low, s.high) for s in shares]),
            name=name,
            orientation="h",
            marker={"color": COLOURS[name], "line": {"width": 0}},
            hovertemplate="%{y}<br>" + name + ": %{x:.0%}<extra></extra>",
        )
    figure.update_layout(
        barmode="group",
        bargap=0.28,
        xaxis=_PERCENT,
        yaxis={"autorange": "reversed", "fixedrange": True},
        **_LEGEND,
    )
    return plain(figure, 90 + len(labels) * (14 + 11 * len(found.names)))


def _answered(found: Comparison, name: str, split: Split) -> Measured | None:
    return next((answered(row) for row in found.table.rows if row.model == name and row.split is split), None)


def _label(split: Split) -> str:
    about = SPLITS[split]
    colour = {Side.FORGET: FORGET, Side.RETAIN: KEEP}.get(about.side, INK)
    return f'<span style="color:{colour}">{short(about.title, 40)}</span>'


def _whiskers(shares: Sequence[Share | None]) -> Any:
    """Ends of intervals as Plotly has them; of no length where there is none."""
    known = [Share(0, None, None) if s is None else s for s in shares]
    return {
        "type": "data",
        "symmetric": False,
        "array": [0 if s.high is None else s.high - s.value for s in known],
        "arrayminus": [0 if s.low is None else s.value - s.low for s in known],
        "color": INK,
        "thickness": 1.1,
        "width": 3,
    }


@dataclass(frozen=True)
class Point:
    """A run in the chart of all runs. `mark` is A or B where it is one of the two compared now, else empty."""

    title: str
    method: str
    standing: Standing
    mark: str = ""


def scatter(points: Sequence[Point]) -> go.Figure:
    """What each run forgot against what it kept, with intervals; the best place is at the top left."""
    known = [(p, p.standing.kept) for p in points]
    there = [(p, kept) for p, kept in known if kept is not None]
    if not there:
        return nothing("No run has been compared yet.", 160)
    figure = go.Figure()
    symbols = cycle(_SYMBOLS)
    for method in dict.fromkeys(p.method for p, _ in there):
        group = [(p, kept) for p, kept in there if p.method == method]
        figure.add_scatter(
            x=[p.standing.leaked.value for p, _ in group],
            y=[kept.value for _, kept in group],
            error_x=_whiskers([p.standing.leaked for p, _ in group]),
            error_y=_whiskers([kept for _, kept in group]),
            name=method.upper(),
            mode="markers+text",
            text=[p.mark for p, _ in group],
            textposition="top right",
            textfont={"size": 14},
            marker={
                "symbol": next(symbols),
                "size": 11,
                "color": [COLOURS.get(p.mark, COLOURS[BEFORE]) for p, _ in group],
                "line": {"width": 1, "color": GRID},
            },
            customdata=[short(p.title, 60) for p, _ in group],
            hovertemplate="%{customdata}<br>still answered of what must go: %{x:.0%}<br>of what must stay: %{y:.0%}<extra></extra>",
        )
    best: Any = {"showarrow": False, "xanchor": "left", "font": {"size": 11}}
    figure.add_annotation(x=0, y=1.13, text="↓ forgets all, keeps all", **best)
    figure.update_layout(
        xaxis={"title": "still answered of what must go", **_PERCENT},
        yaxis={"title": "still answered of what must stay", **_PERCENT, "range": [-0.03, 1.18]},
        **_LEGEND,
    )
    return plain(figure, 380)

"""Figures as pure functions: results in, a Plotly figure out. Backgrounds are transparent, so that both colour schemes work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from PIL import Image
from plotly.colors import sample_colorscale
from torch import Tensor

from components.html import data_uri
from unlearn_core.methods import Step

INK = "#7b8894"
GRID = "rgba(123,136,148,.22)"
KEEP, FORGET = "#149c8e", "#e0762f"
SHOWN = 640
"""Longest side of the picture under a map, in pixels; smaller pictures are enlarged to it."""


def _seethrough(scale: str, low: float, high: float) -> list[list[object]]:
    """A colour scale that lets the picture through where there is little to show."""
    places = np.linspace(0, 1, 24)
    colours = sample_colorscale(scale, list(places))
    alpha = low + (high - low) * places**0.7
    return [
        [float(p), str(c).replace("rgb", "rgba").replace(")", f", {a:.2f})")]
        for p, c, a in zip(places, colours, alpha, strict=True)
    ]


HEAT_SOLID = _seethrough("Inferno", 1.0, 1.0)
HEAT = _seethrough("Inferno", 0.28, 0.88)
_SERIES = ("#5b7fc7", "#9a6cc9", "#8a9aa6", "#c26a8f", "#6a9a4f", "#b58a2c")
_LEGEND = {"showlegend": True, "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}}
CHANGE = [[0.0, "rgba(224,118,47,.95)"], [0.5, "rgba(255,255,255,.05)"], [1.0, "rgba(20,156,142,.95)"]]


Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in parts of the picture's width and height."""


@dataclass(frozen=True)
class Outline:
    """Boxes drawn around parts of a picture."""

    boxes: Sequence[Box]
    colour: str
    dash: str = "solid"


def heat_map(
    image: Image.Image,
    values: Float[Tensor, "h w"],
    scale: tuple[float, float],
    height: int = 440,
    *,
    unit: str = "share of attention",
    hover: str = "%{z:.3%}",
    outlines: Sequence[Outline] = (),
) -> go.Figure:
    """A map over its picture. `scale` gives the values of the two ends of the colour bar; unseen places (NaN) stay clear."""
    ends = {"colorscale": HEAT, "zmin": scale[0], "zmax": scale[1]}
    share = "share" in unit
    return _over(image, values, ends, unit, height, hover, outlines, ".2~%" if share else ".3~g")


def change_map(
    image: Image.Image,
    values: Float[Tensor, "h w"],
    limit: float,
    height: int = 440,
    *,
    unit: str = "change of share",
    hover: str = "%{z:+.3%}",
    outlines: Sequence[Outline] = (),
) -> go.Figure:
    """Signed values over their picture, on a scale from -limit to +limit with 0 in the middle."""
    ends = {"colorscale": CHANGE, "zmin": -limit, "zmid": 0, "zmax": limit}
    share = "share" in unit
    return _over(image, values, ends, unit, height, hover, outlines, "+.2~%" if share else "+.3~g")


def _over(
    image: Image.Image,
    values: Float[Tensor, "h w"],
    scale: dict[str, object],
    unit: str,
    tall: int,
    hover: str,
    outlines: Sequence[Outline],
    ticks: str,
) -> go.Figure:
    width, height = image.size
    rows, cols = values.shape
    zoom = SHOWN / max(image.size)
    shown = image.resize((max(1, round(width * zoom)), max(1, round(height * zoom))), Image.Resampling.LANCZOS)
    figure = go.Figure(
        go.Heatmap(
            z=values.float().numpy(),
            x0=width / cols / 2,
            dx=width / cols,
            y0=height / rows / 2,
            dy=height / rows,
            hoverongaps=False,
            hovertemplate=f"{hover}<extra></extra>",
            colorbar=_bar(unit, ticks),
            **scale,
        )
    )
    for outline in outlines:
        figure.add_scatter(**_around(outline, width, height))
    figure.update_layout(
        images=[
            {
                "source": data_uri(shown, SHOWN),
                "xref": "x",
                "yref": "y",
                "x": 0,
                "y": 0,
                "sizex": width,
                "sizey": height,
            }
            | {"sizing": "stretch", "layer": "below"}
        ],
        showlegend=False,
        xaxis={"range": [0, width], "visible": False, "constrain": "domain", "fixedrange": True},
        yaxis={"range": [height, 0], "visible": False, "scaleanchor": "x", "constrain": "domain", "fixedrange": True},
    )
    return plain(figure, tall)


def _around(outline: Outline, width: int, height: int) -> dict[str, Any]:
    """All boxes as one line with gaps, which is drawn much faster than a shape for each."""
    x: list[float | None] = []
    y: list[float | None] = []
    for x0, y0, x1, y1 in outline.boxes:
        x += [x0 * width, x1 * width, x1 * width, x0 * width, x0 * width, None]
        y += [y0 * height, y0 * height, y1 * height, y1 * height, y0 * height, None]
    line = {"color": outline.colour, "width": 2, "dash": outline.dash}
    return {"x": x, "y": y, "mode": "lines", "line": line, "hoverinfo": "skip"}


def _bar(unit: str, ticks: str) -> dict[str, object]:
    title = {"text": unit, "side": "bottom"}
    place = {"orientation": "h", "x": 0.5, "xanchor": "center", "y": -0.02, "yanchor": "top", "len": 0.92}
    return {
        "thickness": 10,
        "outlinewidth": 0,
        "title": title,
        "tickformat": ticks,
        "nticks": 5,
        "tickangle": 0,
        **place,
    }


def share_lines(words: Sequence[str], shares: Float[Tensor, "layers words"], chosen: int | None) -> go.Figure:
    """How much of each word's attention fell on the picture, layer by layer. The chosen word, or the mean, stands out."""
    layers = [str(i + 1) for i in range(len(shares))]
    figure = go.Figure()
    lines = [*zip(words, shares.T.tolist(), strict=True)]
    loud = ("mean of all words", shares.mean(1).tolist()) if chosen is None else lines[chosen]
    quiet: dict[str, Any] = {"mode": "lines", "line": {"color": INK, "width": 1}, "opacity": 0.4}
    strong: dict[str, Any] = {"mode": "lines+markers", "line": {"color": KEEP, "width": 2.5}}
    for (word, values), style in [*((line, quiet) for line in lines), (loud, strong)]:
        name = short(word)
        figure.add_scatter(
            x=layers, y=values, name=name, hovertemplate=f"{name}: %{{y:.1%}} in layer %{{x}}<extra></extra>", **style
        )
    figure.update_layout(
        showlegend=False,
        xaxis={"title": "layer", "type": "category"},
        yaxis={"title": "on the picture", "tickformat": ".0%", "rangemode": "tozero"},
    )
    if lines:
        note = {
            "text": f"bold: {short(loud[0])}; grey: each word",
            "showarrow": False,
            "xref": "paper",
            "yref": "paper",
            "xanchor": "right",
        }
        figure.add_annotation(**note, x=1, y=1.02, yanchor="bottom", font={"size": 11})
    figure = plain(figure, 210).update_layout(margin={"t": 22, "l": 14, "b": 12})
    figure.update_xaxes(title_standoff=6)
    return figure.update_yaxes(title_standoff=8)


PART_COLOURS = (KEEP, "#3b4fa8", "#c2a13c", "rgba(123,136,148,.45)")


def share_bars(words: Sequence[str], parts: Float[Tensor, "parts words"], names: Sequence[str]) -> go.Figure:
    """How the attention of each word is shared out, as one bar per word; the parts of each sum to 1."""
    places = list(range(len(words)))
    figure = go.Figure()
    for name, values, colour in zip(names, parts.tolist(), PART_COLOURS, strict=True):
        figure.add_bar(
            y=places,
            x=values,
            name=name,
            orientation="h",
            marker={"color": colour, "line": {"width": 0}},
            customdata=[short(w) for w in words],
            text=[f"{v:.0%}" if v >= 0.06 else "" for v in values],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            hovertemplate="%{customdata}: %{x:.2%} on " + name + "<extra></extra>",
        )
    figure.update_layout(
        barmode="stack",
        legend_traceorder="normal",
        bargap=0.25,
        xaxis={"tickformat": ".0%", "range": [0, 1], "fixedrange": True},
        yaxis={"tickvals": places, "ticktext": [short(w) for w in words], "autorange": "reversed", "fixedrange": True},
        **_LEGEND,
    )
    return plain(figure, 90 + 26 * len(words))


def falls(fractions: Sequence[float], marked: Sequence[float], random: Sequence[Sequence[float]]) -> go.Figure:
    """What blanking what a map marks costs an answer, against blanking as much at random (mean, and lowest to highest)."""
    x = [f"{f:.0%}" for f in fractions]
    mean = [sum(r) / len(r) for r in random]
    reach: Any = {
        "array": [max(r) - m for r, m in zip(random, mean, strict=True)],
        "arrayminus": [m - min(r) for r, m in zip(random, mean, strict=True)],
        "color": INK,
        "thickness": 1.2,
    }
    figure = go.Figure()
    hover = "%{y:.3f} nats<extra>%{x} blanked, "
    figure.add_scatter(
        x=x,
        y=marked,
        name="what the map marks",
        mode="lines+markers",
        line={"color": FORGET, "width": 2.5},
        marker={"symbol": "square", "size": 8},
        hovertemplate=hover + "what the map marks</extra>",
    )
    figure.add_scatter(
        x=x,
        y=mean,
        error_y=reach,
        name="at random",
        mode="lines+markers",
        line={"color": INK, "width": 1.5, "dash": "dot"},
        hovertemplate=hover + "mean at random</extra>",
    )
    figure.update_layout(
        xaxis={"title": "of the picture blanked", "type": "category"},
        yaxis={"title": "loss in nats", "rangemode": "tozero"},
        **_LEGEND,
    )
    return plain(figure, 190)


def losses(steps: Sequence[Step]) -> go.Figure:
    """Each loss term over the steps of a fit."""
    names = list(dict.fromkeys(name for s in steps for name in s.losses))
    figure = go.Figure()
    for name, colour in zip(names, cycle(_SERIES), strict=False):
        points = [(s.index, s.losses[name]) for s in steps if name in s.losses]
        figure.add_scatter(
            x=[p[0] for p in points],
            y=[p[1] for p in points],
            name=name,
            mode="lines",
            line={"color": colour, "width": 2},
        )
    figure.update_layout(xaxis=_axis_of(steps), yaxis={"title": "loss", "rangemode": "tozero"}, **_LEGEND)
    return _roomy(figure)


def probes(steps: Sequence[Step]) -> go.Figure:
    """Share of probed questions still answered with the truth, over the steps: about those to forget, and about the rest."""
    figure = go.Figure()
    for side, name, colour in (("forget", "to forget", FORGET), ("retain", "to keep", KEEP)):
        points = [(s.index, getattr(s, side)) for s in steps if getattr(s, side) is not None]
        figure.add_scatter(
            x=[p[0] for p in points],
            y=[p[1] for p in points],
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 2.5},
            hovertemplate="%{y:.0%}<extra>" + name + "</extra>",
        )
    figure.update_layout(
        xaxis=_axis_of(steps),
        yaxis={"title": "answered with the truth", "tickformat": ".0%", "range": [-0.03, 1.05]},
        **_LEGEND,
    )
    if all(s.forget is None and s.retain is None for s in steps):
        figure.add_annotation(
            text="asked for the first time in a few steps", showarrow=False, xref="paper", x=0.5, y=0.5
        )
    return _roomy(figure)


def _axis_of(steps: Sequence[Step]) -> dict[str, Any]:
    """As long as the fit will be from its first step, so that nothing moves but the lines."""
    return {"title": "step", "range": [0, steps[-1].total if steps else 1]}


def _roomy(figure: go.Figure) -> go.Figure:
    """A curve of a fit: its margin does not follow the numbers, which change while one looks."""
    figure = plain(figure, 260).update_layout(margin={"l": 64, "r": 20, "b": 48})
    figure.update_xaxes(automargin=False, title_standoff=6)
    return figure.update_yaxes(automargin=False)


def nothing(text: str, height: int = 400) -> go.Figure:
    """An empty figure that says why it is empty."""
    figure = go.Figure()
    figure.add_annotation(text=text, showarrow=False, font={"size": 14})
    figure.update_layout(xaxis={"visible": False}, yaxis={"visible": False})
    return plain(figure, height)


def plain(figure: go.Figure, height: int) -> go.Figure:
    """The same figure in the page's own look, `height` pixels tall."""
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 8, "r": 8, "t": 10, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "family": "IBM Plex Sans, sans-serif", "size": 12},
        hoverlabel={"font": {"family": "IBM Plex Sans, sans-serif"}},
        dragmode=False,
    )
    figure.update_xaxes(gridcolor=GRID, zerolinecolor=GRID, automargin=True)
    figure.update_yaxes(gridcolor=GRID, zerolinecolor=GRID, automargin=True)
    return figure


def short(text: str, length: int = 24) -> str:
    """At most so many characters for Plotly's labels, which read a few tags as markup."""
    return text[:length].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

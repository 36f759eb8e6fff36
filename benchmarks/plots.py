"""Draw the README's plots from the results that are checked in, with Chromium.

    python -m benchmarks.plots

Writes docs/img/methods.png, growth.png, scale.png, continual.png and null_space.png, those whose results are there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from playwright.sync_api import sync_playwright
from plotly.subplots import make_subplots

from benchmarks.common import RESULTS

IMAGES = Path(__file__).parents[1] / "docs" / "img"
CHROMIUM = "/usr/bin/chromium"
KEEP, FORGET, OTHERS = "#149c8e", "#e0762f", ("#5b7fc7", "#9a6cc9", "#8a9aa6", "#c26a8f", "#6a9a4f")
SYMBOLS = ("square", "diamond", "triangle-up", "cross", "star", "x", "hexagon")
NAMES = {"cagul": "CAGUL", "cvf": "CVF + NCU"}

Row = dict[str, Any]


def percent_axis(title: str, low: float = 0.0) -> dict[str, Any]:
    return {"title": title, "tickformat": ".0%", "range": [low, 1.06], "gridcolor": "#e6eaed", "zeroline": False}


def methods(rows: Sequence[Row]) -> go.Figure:
    """Forgetting against keeping: mean over the forget sets, with lines to the worst. Up and right is better.

    Kept is the lowest of retained, visual, general and text.
    """
    figure = go.Figure()
    others, symbols = cycle(OTHERS), cycle(SYMBOLS)
    for row in rows:
        own = row["name"] in NAMES
        keeps = min(row[k]["mean"] for k in ("retained", "visual", "general", "text"))
        worst = min(row[k]["worst"] for k in ("retained", "visual", "general", "text"))
        leak = row["leak"]
        figure.add_scatter(
            x=[1 - leak["mean"]],
            y=[min(1.0, keeps)],
            error_x={"type": "data", "symmetric": False, "array": [0], "arrayminus": [leak["worst"] - leak["mean"]]},
            error_y={"type": "data", "symmetric": False, "array": [0], "arrayminus": [keeps - worst]},
            mode="markers",
            name=NAMES.get(row["name"], row["name"].upper() if len(row["name"]) < 4 else row["name"]),
            marker={
                "size": 17 if own else 11,
                "symbol": "circle" if own else next(symbols),
                "color": {"cagul": FORGET, "cvf": KEEP}.get(row["name"]) or next(others),
            },
        )
    figure.update_layout(
        xaxis=percent_axis("private facts of the forgotten no longer answered", -0.03),
        yaxis=percent_axis("kept, share of before (the worst kind)"),
    )
    return figure


def growth(rows: Sequence[Row]) -> go.Figure:
    """Seconds of one request against what grows."""
    titles = {"people": "people to forget", "tokens": "visual tokens", "width": "width of the model"}
    figure = make_subplots(1, 3, subplot_titles=[f"{t}" for t in titles.values()])
    for column, kind in enumerate(titles, 1):
        for name, colour in (("cagul", FORGET), ("cvf", KEEP)):
            line = [r for r in rows if r["grows"] == kind and r["method"] == name]
            x, y = [r["value"] for r in line], [r["seconds"] for r in line]
            figure.add_scatter(
                x=x, y=y, name=NAMES[name], line={"color": colour}, showlegend=column == 1, row=1, col=column
            )
        figure.update_xaxes(
            type="log",
            dtick=0.30103,
            gridcolor="#e6eaed",
            tickvals=sorted({r["value"] for r in rows if r["grows"] == kind}),
            row=1,
            col=column,
        )
        figure.update_yaxes(rangemode="tozero", gridcolor="#e6eaed", row=1, col=column)
    figure.update_yaxes(title="seconds", row=1, col=1)
    return figure


def scale(rows: Sequence[Row]) -> go.Figure:
    """Peak memory after each stage against the pictures of a request. Flat is the aim."""
    figure = go.Figure()
    for name, colour in (("reading", OTHERS[0]), ("cagul", FORGET), ("cvf", KEEP)):
        x, y = [r["pictures"] for r in rows], [r["peak_mib"][name] for r in rows]
        figure.add_scatter(x=x, y=y, name=NAMES.get(name, name), mode="lines+markers", line={"color": colour})
    figure.update_xaxes(title="pictures of the request", gridcolor="#e6eaed", rangemode="tozero")
    figure.update_yaxes(title="peak memory, MiB", gridcolor="#e6eaed", rangemode="tozero")
    return figure


def continual(rows: Sequence[Row]) -> go.Figure:
    """What is still answered and what is kept after each request, for each way."""
    figure = make_subplots(1, 2, subplot_titles=["forgotten so far, still answered", "retained, share of before"])
    for way, colour in zip(dict.fromkeys(r["way"] for r in rows), (KEEP, FORGET, *OTHERS), strict=False):
        line = [r for r in rows if r["way"] == way]
        for column, key in ((1, "leak"), (2, "retained")):
            x, y = [r["requests"] for r in line], [r[key] for r in line]
            mode = "lines+markers" if len(line) > 1 else "markers"
            figure.add_scatter(
                x=x,
                y=y,
                name=way,
                mode=mode,
                marker={"color": colour, "size": 8},
                showlegend=column == 1,
                row=1,
                col=column,
            )
    figure.update_xaxes(title="requests", dtick=1, gridcolor="#e6eaed")
    figure.update_yaxes(tickformat=".0%", gridcolor="#e6eaed", rangemode="tozero")
    return figure


def null_space(rows: Sequence[Row]) -> go.Figure:
    """What is kept at equal forgetting (the first probe with at most 5 % still answered), against how many retained pictures are at hand."""
    figure = go.Figure()
    labels = {-1: "all", 0: "moments only"}
    for form, colour in zip(dict.fromkeys(r["form"] for r in rows), (FORGET, KEEP, *OTHERS), strict=False):
        line = [r for r in rows if r["form"] == form]
        x = [labels.get(r["retained"], str(r["retained"])) for r in line]
        y = [r["enough"]["retained"] if r["enough"] else None for r in line]
        figure.add_scatter(
            x=x, y=y, name=f"null space: {form}", mode="lines+markers", marker={"color": colour, "size": 10}
        )
    figure.update_layout(
        xaxis={"title": "retained pictures at hand", "type": "category"},
        yaxis=percent_axis("retained, at equal forgetting"),
    )
    return figure


FIGURES: dict[str, tuple[Callable[[Sequence[Row]], go.Figure], int, int]] = {
    "methods": (methods, 900, 560),
    "growth": (growth, 1200, 420),
    "scale": (scale, 900, 420),
    "continual": (continual, 1200, 440),
    "null_space": (null_space, 900, 480),
}


def main() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name, (draw, width, height) in FIGURES.items():
            path = RESULTS / f"{name}.json"
            if not path.is_file():
                continue
            figure = draw(json.loads(path.read_text())["rows"])
            figure.update_layout(
                width=width,
                height=height,
                template="plotly_white",
                font={"size": 14},
                margin={"t": 50, "r": 30, "b": 60, "l": 70},
            )
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_content(figure.to_html(include_plotlyjs=True, config={"staticPlot": True}))
            page.locator(".js-plotly-plot .main-svg").first.wait_for()
            page.locator(".js-plotly-plot").screenshot(path=IMAGES / f"{name}.png")
            page.close()
            print(IMAGES / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()

"""What the numbers on a page are, one click away: words, formula, direction and source of each method, metric and attack."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gradio as gr

from components.texts import ABOUT
from unlearn_core.evaluation.attacks import ATTACKS
from unlearn_core.evaluation.attacks.base import HOLDS
from unlearn_core.evaluation.metrics import METRICS
from unlearn_core.methods import ALL_METHODS

FORMULAS = {
    "cagul": (
        (r"\alpha_i = \frac{1}{|q|\,H}\sum_{j\in q}\sum_{h=1}^{H} A^{(h)}_{j\to i}", "attention from the question to visual token i [paper]; in which layer [ours]"),
        (r"z'_i = z_i + W_2\,\mathrm{GELU}(W_1\,\mathrm{LN}(z_i)) \text{ for the } k \text{ lowest } \alpha_i,\ \text{if } C(Z) > t", "only these tokens change, and only where the gate C flags the picture [paper]; form of encoder and gate [ours]"),
        (r"L = \mathrm{CE}(\text{refusal}) + w\,\mathrm{CE}(\text{what can be seen})", "through the frozen language model [ours]; further terms are options"),
    ),
    "cvf": (
        (r"L_c = -\log\frac{\sum_{p} e^{\cos(f,p)/\tau}}{\sum_{p} e^{\cos(f,p)/\tau} + \sum_{n} e^{\cos(f,n)/\tau}}", "pull features f of a forgotten picture to the reference p, away from where it was and from what stays (n) [paper: contrast; ours: form, reference]"),
        (r"L = w_c L_c + w_r\,\frac{\lVert Z' - Z\rVert^2}{\sigma^2} + w_a\,\mathrm{CE}(\text{answers})", "visual tokens of retained pictures stay where they were [ours: weights]"),
        (r"C = \mathbb{E}[x x^\top] = U \Lambda U^\top,\quad \Delta W \leftarrow \Delta W\, U\, \mathrm{diag}\!\left(\frac{s}{\lambda_i/\bar\lambda + s}\right) U^\top", "each update is held off the directions that inputs x of retained pictures use [paper: null space; ours: soft form, level s]"),
    ),
    "ga": ((r"L = -\mathrm{CE}(\text{answers to forget})", "arXiv 2210.01504"),),
    "gd": ((r"L = -\mathrm{CE}(\text{forget}) + \mathrm{CE}(\text{retain})", "arXiv 2203.12817"),),
    "kl": ((r"L = -\mathrm{CE}(\text{forget}) + \mathrm{KL}(p_0 \,\Vert\, p)_{\text{retain}}", "arXiv 2401.06121"),),
    "idk": ((r"L = \mathrm{CE}(\text{refusal}) + \mathrm{CE}(\text{retain})", "arXiv 2401.06121"),),
    "npo": ((r"L = \frac{2}{\beta}\log\!\left(1 + \left(\frac{p}{p_0}\right)^{\beta}\right)_{\text{forget}} + \mathrm{CE}(\text{retain})", "arXiv 2404.05868"),),
}  # fmt: skip
"""By method, the formulas that make it, each with what it says and whose it is."""
WAYS = {"lower": "lower", "higher": "higher", "target": "near what is named below"}


def methods() -> str:
    """Markdown: each method in words and formulas."""
    return "\n\n".join(
        f"**{method.title}.** {ABOUT[name].does}\n\n"
        + "\n\n".join(f"$$ {formula} $$\n\n{says}" for formula, says in FORMULAS[name])
        for name, method in ALL_METHODS.items()
    )


def metrics() -> str:
    """Markdown: each metric in words and as a formula, with its source and which way is better."""
    return "\n\n".join(
        f"**{metric.name}** ({_better(metric.better)}; {metric.source})\n\n$$ {metric.formula} $$\n\n{metric.explanation}"
        for metric in METRICS.values()
    )


def attacks() -> str:
    """Markdown: what each attack does, and what the attacker needs. All of them, as they are here, are our choice."""
    said = "\n".join(f"* **{a.title}** (needs {a.access}). {a.tries}" for a in ATTACKS.values())
    share = r"$$ \text{recovered} = \frac{\text{facts that at least one try brings out}}{\text{facts that the model gave before}} $$"
    return (
        f"{said}\n\n{share}\n\nWith Wilson's interval at 95 %; lower is better. An attack is withstood where no more than {100 * HOLDS:.0f} points "
        "are recovered beyond what a model gives that never knew; where half of the people who stay are no longer answered, it "
        "proves nothing. [ours]"
    )


def explained(label: str, text: str, elem_id: str) -> None:
    """A closed panel with Markdown and formulas."""
    delimiters: Any = [{"left": "$$", "right": "$$", "display": True}]
    with gr.Accordion(label, open=False, elem_id=elem_id):
        gr.Markdown(text, latex_delimiters=delimiters, elem_classes="explained")


def _better(better: Any) -> str:
    """Which way is better, on each side where it is."""
    sides: Iterable[tuple[str, str | None]] = (("to forget", better.forget), ("to keep", better.retain))
    return (
        ", ".join(f"{side}: {WAYS[way]} is better" for side, way in sides if way) or "neither way is better by itself"
    )

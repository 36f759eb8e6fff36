"""Where a word looked more than a generic prompt does: what any question looks at cancels out.

The idea is that of relative attention (arXiv 2502.17422): attention for the question divided by attention for a generic
request. [related]
"""

from __future__ import annotations

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from unlearn_core.attention.maps import token_map
from unlearn_core.vlm import VLM, Prompt, Rows

GENERIC = "Describe this picture."
"""[ours]"""


def generic_rows(vlm: VLM, image: Image.Image) -> Rows:
    """The rows of a generic prompt about a picture, as it begins to answer: one token. Needed once per picture.

    Raises:
        UnsupportedFamily: the model's attention to pictures cannot be read.
    """
    rows = vlm.ask([Prompt(image, GENERIC)], rows=True, max_new_tokens=1)[0].rows
    assert rows is not None
    return rows


def relative(
    values: Float[Tensor, " n"],
    generic: Rows,
    layers: list[int] | None = None,
    heads: list[int] | None = None,
) -> Float[Tensor, " n"]:
    """log2 of how many times as much of its attention to the picture a map gives to each visual token as the generic
    prompt does, over the same layers and heads: 1 is twice as much, -1 half, 0 no more than anything else would.
    """
    usual = token_map(generic, [0], layers, heads)
    # Far below what an even look would give, a ratio says nothing.
    least = 0.01 / len(values)
    own, usual = ((x / x.sum().clamp(min=1e-12)).clamp(min=least) for x in (values, usual))
    return (own / usual).log2()

"""From captured attention to words, to maps on the picture, and to checks of these maps."""

from unlearn_core.attention.faithfulness import Faithfulness, faithfulness
from unlearn_core.attention.gradient import gradient_rows
from unlearn_core.attention.lookup import KINDS, Look, look
from unlearn_core.attention.maps import difference, frame, grid, image_share, picture_map, shared_scale, token_map
from unlearn_core.attention.relative import generic_rows, relative
from unlearn_core.attention.scoring import Scorer
from unlearn_core.attention.views import PARTS, boxes, heads_apart, looked_at, parts, places_at
from unlearn_core.attention.words import Word, words

__all__ = [
    "KINDS",
    "PARTS",
    "Faithfulness",
    "Look",
    "Scorer",
    "Word",
    "boxes",
    "difference",
    "faithfulness",
    "frame",
    "generic_rows",
    "gradient_rows",
    "grid",
    "heads_apart",
    "image_share",
    "look",
    "looked_at",
    "parts",
    "picture_map",
    "places_at",
    "relative",
    "shared_scale",
    "token_map",
    "words",
]

"""Load a vision-language model and use its three verbs: see, ask, score."""

from unlearn_core.vlm.model import VLM
from unlearn_core.vlm.prompt import Answer, Prompt, Rows, Tile, View

__all__ = ["VLM", "Answer", "Prompt", "Rows", "Tile", "View"]

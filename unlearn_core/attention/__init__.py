"""From captured attention to words and to maps on the picture."""

from unlearn_core.attention.maps import difference, grid, image_share, picture_map, shared_scale, token_map
from unlearn_core.attention.words import Word, words

__all__ = ["Word", "difference", "grid", "image_share", "picture_map", "shared_scale", "token_map", "words"]

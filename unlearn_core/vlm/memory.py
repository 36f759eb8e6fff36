"""Will it fit? Bytes that a model needs, from its configuration alone: nothing is downloaded and no weight is read.

Weights and keys and values are counted exactly, on a copy of the model that has shapes and no numbers. What the methods
need on top are estimates [ours]: they hold for default options, and lean to the high side.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedConfig, PreTrainedModel

from unlearn_core.vlm.ceiling import below_limit
from unlearn_core.vlm.errors import ModelNotLoadable, NotEnoughMemory
from unlearn_core.vlm.families import Family, family_of
from unlearn_core.vlm.hub import Checkpoint, damaged

ROWS = 8
"""Questions that are answered, or trained on, at a time: the default batch of the methods."""
QUESTION = 128
"""Tokens of a question with its answer."""
SIDE = 1024
"""Width and height of the picture that is reckoned with, in pixels; matters where large pictures have more tokens."""
CROPS = {"idefics3": 17, "smolvlm": 17, "internvl": 13}
"""Most crops that a picture is cut into, with the overview, where that stands with the processor and not in the config."""
BITS = {"8bit": 8.0 + 16 / 1024, "4bit": 4.0 + 32 / 64}
"""Bits of a quantised weight: 8 and a scale for each row, or 4 and a scale for each 64 weights."""
MOMENTS = 16
"""Bytes per trained parameter: itself, its gradient and Adam's two moments, all in float32."""
LORA_RANK = 16
OPTIONS = ((None, "float32"), (None, "bfloat16"), ("8bit", "bfloat16"), ("4bit", "bfloat16"))
"""Quantisation and precision, the largest first."""
SPARE = 0.95
"""Share of the free memory that is used at most: libraries need some too."""


@dataclass(frozen=True)
class Need:
    """Bytes.

    Args:
        weights: of the model.
        cache: keys and values of `ROWS` answers at a time about one picture each.
        methods: what a fit needs on top, by method; `lora` stands for the baselines.
    """

    weights: int
    cache: int
    methods: Mapping[str, int]

    @property
    def asking(self) -> int:
        """To load the model and ask one question."""
        return self.weights + self.cache // ROWS


@dataclass(frozen=True)
class Way:
    """A way to load a model, and what it needs. `quantize` is None, `8bit` or `4bit`."""

    dtype: str
    quantize: str | None
    need: Need

    @property
    def label(self) -> str:
        return self.dtype if self.quantize is None else f"{self.quantize[0]}-bit"


@dataclass(frozen=True)
class Preflight:
    """A model, a device, and whether the one fits the other.

    Args:
        free: bytes free there now.
        chosen: as it was asked for.
        others: smaller ways that would fit.
        to_download: bytes.
    """

    name: str
    device: str
    free: int
    chosen: Way
    others: tuple[Way, ...]
    to_download: int

    @property
    def fits(self) -> bool:
        return _fits(self.chosen, self.free)

    def method_fits(self, method: str) -> bool:
        need = self.chosen.need
        return need.weights + need.cache + need.methods[method] <= self.free * SPARE

    def require(self) -> None:
        """Raises NotEnoughMemory, saying what would fit instead."""
        if self.fits:
            return
        instead = " or ".join(f"{way.label} ({size(way.need.asking)})" for way in self.others)
        raise NotEnoughMemory(
            f"'{self.name}' needs {size(self.chosen.need.asking)} in {self.chosen.label}, and {self.device} has {size(self.free)} free. "
            + (f"It would fit in {instead}." if instead else "Please choose a smaller model, or a larger machine.")
        )


def preflight(
    checkpoint: Checkpoint, device: torch.device, dtype: str, quantize: str | None, free: int, parts: int = 1
) -> Preflight:
    """Compare what a model needs with what is free. Takes a second or two for the largest.

    Args:
        dtype: name of a torch dtype, or `auto` for the checkpoint's own.
        free: bytes; see `free_memory`.
        parts: how many processes share the language model's linear layers.

    Raises:
        UnsupportedFamily: an architecture that is not known here.
        ModelNotLoadable: its configuration does not describe a model.
    """
    family = family_of(checkpoint.config["model_type"])
    config, model = skeleton(checkpoint)
    if dtype == "auto":
        dtype = _own(checkpoint, model)
    chosen = Way(dtype, quantize, need(family, config, model, dtype, quantize, parts))
    options = [(q, d) for q, d in OPTIONS if q is None or (device.type == "cuda" and parts == 1)]
    ways = [Way(d, q, need(family, config, model, d, q, parts)) for q, d in options]
    others = [w for w in ways if _fits(w, free) and w.need.weights < chosen.need.weights]
    return Preflight(checkpoint.name, str(device), free, chosen, tuple(others), checkpoint.to_download)


def free_memory(device: torch.device, everywhere: bool = False) -> int:
    """Bytes that can still be had.

    Args:
        everywhere: on all GPUs together, for a model that is spread over them.
    """
    if device.type == "cuda":
        where = range(torch.cuda.device_count()) if everywhere else [device]
        unused = (torch.cuda.memory_reserved(d) - torch.cuda.memory_allocated(d) for d in where)
        return sum(torch.cuda.mem_get_info(d)[0] for d in where) + sum(unused)
    limits = (psutil.virtual_memory().available, *_groups(), below_limit())
    return min(limit for limit in limits if limit is not None)


def skeleton(checkpoint: Checkpoint) -> tuple[PreTrainedConfig, PreTrainedModel]:
    """The configuration, and the model with shapes and no numbers. Raises ModelNotLoadable."""
    try:
        config = AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False)
        with torch.device("meta"):
            model = AutoModelForImageTextToText.from_config(config, dtype=torch.float32, attn_implementation="eager")
    except Exception as error:  # a configuration is free text, and what a wrong one does to a constructor is open
        raise ModelNotLoadable(damaged(checkpoint.name)) from error
    return config, model


# -- counting -----------------------------------------------------------------------------------------------------------


def need(
    family: Family,
    config: PreTrainedConfig,
    model: PreTrainedModel,
    dtype: str,
    quantize: str | None = None,
    parts: int = 1,
) -> Need:
    """What a model needs in one precision; with `quantize`, its language model's linear layers in fewer bits.

    Of `parts` processes that share these layers, each needs its part of all, and the one that runs as a whole.
    """
    width: int = getattr(torch, dtype).itemsize
    seeing = count(p for path in family.seeing_parts() for p in model.get_submodule(path).parameters())
    total = count(model.parameters())
    packed = count(m.weight for m in quantized_layers(family, model)) if quantize else 0
    weights = round((total - packed) * width + packed * BITS.get(quantize or "", 0) / 8)
    if parts > 1:
        linear = [count(layer.parameters()) for layer in quantized_layers(family, model)]
        weights = (total - sum(linear) + -(-sum(linear) // parts) + max(linear)) * width
    text: Any = config.get_text_config()
    tokens = picture_tokens(config) + QUESTION
    steps = ROWS * tokens * step_bytes(text, width)
    own = text.hidden_size
    # A copy of all that sees, what is trained of it with its moments, and activations of the tower for as many pictures.
    tower: Any = config.vision_config
    cvf = seeing * (width + MOMENTS) + ROWS * picture_tokens(config) * step_bytes(tower, width)
    lora = sum(LORA_RANK * (m.in_features + m.out_features) for m in quantized_layers(family, model))
    return Need(
        weights,
        ROWS * tokens * cache_bytes(text, width),
        {"cagul": 2 * own * own * MOMENTS + steps, "cvf": cvf, "lora": lora * MOMENTS + 2 * steps},
    )


def count(parameters: Iterable[Tensor]) -> int:
    """Numbers in these tensors; one that stands in two places is counted once."""
    return sum({id(p): p.numel() for p in parameters}.values())


def quantized_layers(family: Family, model: PreTrainedModel) -> list[nn.Linear]:
    """The language model's linear layers without its head: what quantisation packs. Embeddings and all that sees stay."""
    return [layer for layer in model.get_submodule(family.language).modules() if isinstance(layer, nn.Linear)]


def cache_bytes(text: Any, width: int) -> int:
    """Keys and values of one token in all layers."""
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    per_head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return 2 * text.num_hidden_layers * heads * per_head * width


def step_bytes(part: Any, width: int) -> int:
    """What a backward pass keeps of one token in all layers of a transformer, without the attention matrix.

    Per layer about 17 numbers of its width and 3 of its MLP's, after Korthikanti et al. 2022 (arXiv 2205.05198, eq. 1).
    """
    wide = getattr(part, "hidden_size", None) or part.embed_dim
    deep = getattr(part, "num_hidden_layers", None) or part.depth
    inner = getattr(part, "intermediate_size", None) or 4 * wide
    return deep * (17 * wide + 3 * inner) * width


def picture_tokens(config: PreTrainedConfig) -> int:
    """Visual tokens of a picture of `SIDE` x `SIDE` pixels; where pictures are cut into crops, of as many as there can be."""
    vision: Any = config.vision_config
    merged = getattr(vision, "spatial_merge_size", 1)
    edge = getattr(vision, "image_size", None) or SIDE
    edge = edge[0] if isinstance(edge, list | tuple) else edge
    patch = vision.patch_size[0] if isinstance(vision.patch_size, list | tuple) else vision.patch_size
    squeezed = getattr(config, "scale_factor", 1) ** 2 * merged**2
    crop = getattr(config, "image_seq_length", None) or getattr(config, "mm_tokens_per_image", None)
    crop = crop or (edge // patch) ** 2 // squeezed
    areas = [h * w for h, w in getattr(config, "image_grid_pinpoints", None) or []]
    cut = max(areas) // edge**2 + 1 if areas else getattr(vision, "max_num_tiles", 1)
    return crop * CROPS.get(config.model_type, cut)


def size(count: int) -> str:
    """Bytes as people read them."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _fits(way: Way, free: int) -> bool:
    return way.need.asking <= free * SPARE


def _own(checkpoint: Checkpoint, model: PreTrainedModel) -> str:
    """The precision that a checkpoint is stored in: as it says, else from the size of its files."""
    said = str(checkpoint.config.get("dtype") or checkpoint.config.get("torch_dtype"))
    if isinstance(getattr(torch, said, None), torch.dtype):
        return said
    return "float32" if checkpoint.weights > 3 * count(model.parameters()) else "bfloat16"


def _groups() -> list[int | None]:
    """What the container or the service that this runs in may still take, and each that it is in; None without a limit."""
    try:
        named = re.search(r"^0::/(.*)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE)
    except OSError:
        return []
    path = Path("" if named is None else named[1])
    return [_left(Path("/sys/fs/cgroup") / group) for group in (path, *path.parents)]


def _left(group: Path) -> int | None:
    try:
        return int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no such file, or no limit
        return None

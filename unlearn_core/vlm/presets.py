"""Models to begin with. Any other folder or hub id of a known family can be given as well."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ASSETS = Path(__file__).resolve().parents[2] / "assets"
DEMO = ASSETS / "demo"
RETAIN_ONLY = ASSETS / "demo-retain-only"


@dataclass(frozen=True)
class Preset:
    """A model by name.

    Args:
        model: folder or hub id.
        about: size and what is needed to get it, in a few words.
    """

    title: str
    model: str
    about: str


PRESETS = (
    Preset("Demo", str(DEMO), "fifty drawn people, 4.5 million parameters, comes with the studio"),
    Preset("SmolVLM 256M", "HuggingFaceTB/SmolVLM-256M-Instruct", "smallest for photographs"),
    Preset("SmolVLM 2B", "HuggingFaceTB/SmolVLM-Instruct", "small"),
    Preset("InternVL3 1B", "OpenGVLab/InternVL3-1B-hf", "small"),
    Preset("Qwen2.5-VL 3B", "Qwen/Qwen2.5-VL-3B-Instruct", "one GPU"),
    Preset("Qwen2.5-VL 7B", "Qwen/Qwen2.5-VL-7B-Instruct", "one GPU"),
    Preset("LLaVA 1.5 7B", "llava-hf/llava-1.5-7b-hf", "one GPU; the model of most papers on unlearning"),
    Preset("Gemma 3 4B", "google/gemma-3-4b-it", "one GPU; its terms must be accepted on the hub"),
    Preset("Llama 3.2 Vision 11B", "meta-llama/Llama-3.2-11B-Vision-Instruct", "one large GPU; terms; CVF alone"),
)

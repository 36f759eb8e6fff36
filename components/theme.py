"""One visual language: teal for what stays, amber for what goes, slate for the rest. Details are in assets/style.css."""

from __future__ import annotations

from pathlib import Path

from gradio import themes

STYLE = Path(__file__).resolve().parents[1] / "assets" / "style.css"


# The semi-bold file that comes with Gradio lacks most letters, so 400 and 700 are the weights.
FONT = themes.LocalFont("IBM Plex Sans", weights=(400, 700))


def theme() -> themes.Base:
    return themes.Base(
        primary_hue="teal",
        secondary_hue="orange",
        neutral_hue="slate",
        radius_size="md",
        spacing_size="sm",
        font=[FONT, "ui-sans-serif", "system-ui", "sans-serif"],
    ).set(
        body_background_fill="#f6f8f9",
        body_background_fill_dark="#0d141a",
        block_background_fill="white",
        block_background_fill_dark="#141d25",
        block_border_color="#dfe5e9",
        block_border_color_dark="#25323d",
        border_color_primary="#dfe5e9",
        border_color_primary_dark="#25323d",
        input_background_fill_dark="#1b2731",
        button_secondary_background_fill_dark="#24313c",
        button_secondary_background_fill_hover_dark="#2f3f4c",
        block_shadow="none",
        block_label_text_color="*neutral_600",
        body_text_color_subdued="*neutral_600",  # Gradio's own grey has half the contrast that small print needs
        block_info_text_color="*neutral_600",
        input_placeholder_color="*neutral_600",
        input_placeholder_color_dark="*neutral_400",
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_400",
        button_primary_background_fill="#0f766e",
        button_primary_background_fill_dark="#0f766e",
        button_primary_background_fill_hover="#115e59",
        button_primary_background_fill_hover_dark="#115e59",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
    )

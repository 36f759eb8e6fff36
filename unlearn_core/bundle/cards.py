"""Model cards: what was done, how to use it, and what it does not promise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from unlearn_core.bundle.manifest import Manifest
from unlearn_core.data.readers.hub import is_hub_id
from unlearn_core.vlm.card import UNKNOWN

ABOUT = {
    "cagul": (
        "A small module beside a frozen vision-language model. A gate looks for the subjects to forget; where it finds "
        "one, some of the picture's visual tokens are changed before the language model reads them. No weight changes.",
        "The knowledge is still in the weights: whoever removes the module has it back.",
    ),
    "cvf": (
        "Changes of weights of the vision tower and the projector, so that the subjects to forget no longer look like "
        "themselves to the language model, which stays as it is.",
        "The original model is not changed: whoever runs it without the module has the knowledge back.",
    ),
}
OTHER = (
    "What a vision-language model has learned in order to forget.",
    "The original model is not changed: whoever runs it without the module has the knowledge back.",
)


def limit_of(kind: str) -> str:
    """What no result of a kind of module does, however well it was fitted."""
    return ABOUT.get(kind, OTHER)[1]


def bundle_card(manifest: Manifest) -> str:
    about, _ = ABOUT.get(manifest.kind, OTHER)
    limits = _list(manifest.limits)
    where = "" if is_hub_id(manifest.base) else f', base="folder of {manifest.base}"'
    versions = ", ".join(f"{name} {number}" for name, number in manifest.versions.items())
    return f"""# {_line(manifest.title)}

{about}

It belongs to the model `{manifest.base}` with the fingerprint `{manifest.fingerprint}` and works with no other.

## Use

```python
from unlearn_core import from_pretrained

unlearned = from_pretrained("this file.zip"{where})
```

`bundle.base_of(unlearned)` is the model without the module, which answers as before.

## Limits

{limits}

This file cannot prove that something was forgotten. Measurements of the fit are in `manifest.json`; test it yourself.

## Licences

- {_base_license(manifest.base_license)} Whoever uses this file uses that model, too.
- {_data_license(manifest.data_license)} They are not in this file.

## Made with

{versions}, on {manifest.created}. `manifest.json` holds the checksums.
"""


def _base_license(name: str) -> str:
    if name == UNKNOWN:
        return (
            "The licence of the model is unknown: it came without a card that names one. Please look where it is from."
        )
    return f"The model has the licence {_code(name)}, as its card says."


def _data_license(name: str) -> str:
    if name == UNKNOWN:
        return "The licence of the pictures and answers that this was fitted on is unknown: nobody named it."
    return (
        f"The pictures and answers that this was fitted on have the licence {_code(name)}, "
        "as whoever made this file says."
    )


def _code(name: str) -> str:
    """As it stands: what somebody typed is no markup of the card."""
    return f"`{name.replace('`', chr(39))}`"


SEEING = (
    "Weights of the vision tower and the projector were changed, so that the subjects to forget no longer look like "
    "themselves to the language model. That one is the original's to the last bit, and so are answers without a picture."
)
READING = (
    "Weights of the language model were changed by training it to forget. "
    "The vision tower and the projector are the original's to the last bit."
)
BOTH = "Weights of the vision tower, the projector and the language model were changed by training them to forget."

MERGED_LIMITS = (
    "The original checkpoint is not changed. Whoever has it has the knowledge back.",
    "Forgotten means: no longer answered under the probes that were run. It does not mean deleted; other questions, other "
    "pictures, further training or rounding to few bits may bring some of it back.",
)


def merged_card(
    title: str, base: str, fingerprint: str, license: str, limits: Sequence[str], *, seeing: bool, reading: bool
) -> str:
    """The card of a checkpoint that a result was merged into.

    Args:
        title, limits: as they were given to `merge`. base, fingerprint, license: of the model that it was merged into.
        seeing: weights of the vision tower or the projector were changed. reading: those of the language model were.
    """
    what = BOTH if seeing and reading else READING if reading else SEEING
    return f"""---
library_name: transformers
pipeline_tag: image-text-to-text
tags:
- machine-unlearning
---
# {_line(title)}

{what}

It was made from `{base}` (fingerprint `{fingerprint}`) and is used like that model. Its licence applies here too.
{_base_license(license)}

## Use

```python
from transformers import AutoModelForImageTextToText, AutoProcessor

model = AutoModelForImageTextToText.from_pretrained("this folder", dtype="auto")
processor = AutoProcessor.from_pretrained("this folder")
```

## Limits

{_list((*MERGED_LIMITS, *limits))}

This checkpoint cannot prove that something was forgotten; test it yourself.
"""


def _line(text: str) -> str:
    return " ".join(text.split())


def _list(texts: Iterable[str]) -> str:
    return "\n".join(f"- {_line(text)}" for text in texts)

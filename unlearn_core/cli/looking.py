"""Commands that look into a model: attend, probe."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from unlearn_core.cli.flags import PLAIN, Asked, load_asked
from unlearn_core.cli.output import print_table, share, shown


def attend(
    question: str,
    /,
    picture: Path,
    out: Path = Path("map.png"),
    words: tuple[int, ...] = (),
    layers: tuple[int, ...] = (),
    heads: tuple[int, ...] = (),
    kind: Literal["attention", "relative", "gradient"] = "attention",
    asked: Asked = PLAIN,
    json: bool = False,
) -> dict[str, Any] | None:
    """Ask about a picture, and write where the answer looked: a picture to see, or the numbers.

    Args:
        question: the question.
        picture: picture file that it is about.
        out: file to write; its ending says what: .png for the map over the picture, .npz for the numbers (numpy).
        words: places of words of the answer, from 0; none for the whole answer.
        layers: decoder layers to average over, from 0; none for all.
        heads: attention heads to average over, from 0; none for all.
        kind: raw attention; relative to that for a generic question; or weighted with the gradient.
        json: print JSON.
    """
    from unlearn_core.attention import look
    from unlearn_core.runs.files import write_file
    from unlearn_core.vlm import Prompt
    from unlearn_core.vlm.errors import BadOption
    from unlearn_core.vlm.images import open_image

    if out.suffix not in (".png", ".npz"):
        raise BadOption(f"'{out.name}' must end in .png or .npz, so that it is clear what to write.")
    found = look(load_asked(asked), Prompt(open_image(picture), question), words, layers, heads, kind)
    write_file(out, found.png() if out.suffix == ".png" else found.npz())
    said = [word.text for word in found.words]
    return shown({"answer": found.answer.text, "words": said, "file": str(out)}, json)


def probe(
    pictures: tuple[Path, ...],
    /,
    strangers: tuple[Path, ...] = (),
    questions: Path | None = None,
    asked: Asked = PLAIN,
    json: bool = False,
) -> dict[str, Any] | None:
    """Ask what a model knows about one person, in many words and views, and print what it is sure of.

    Args:
        pictures: of this one person.
        strangers: pictures of people whom the model cannot know; without them a habit passes for knowledge.
        questions: JSON file of attributes and their phrasings; none for those of privacy that are built in.
        json: print JSON, with what was asked and is not known.
    """
    from unlearn_core.data.bank import PRIVACY, load_bank
    from unlearn_core.evaluation.knowledge import knows
    from unlearn_core.vlm.images import open_image

    bank = PRIVACY if questions is None else load_bank(questions)
    *_, known = knows(load_asked(asked), [*map(open_image, pictures)], bank, [*map(open_image, strangers)])
    if json:
        return {"asked": known.total, "facts": [asdict(fact) for fact in known.facts]}
    rows = [
        (f.label, f.answer, share(f.agreement), share(f.probability), share(f.among_strangers)) for f in known.known
    ]
    print_table("Known", ("attribute", "answer", "askings", "probability", "strangers"), rows)
    return None

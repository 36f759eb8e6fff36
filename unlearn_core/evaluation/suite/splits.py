"""The parts of a full evaluation, and what each of them shows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Side(StrEnum):
    """What is hoped for. FORGET: the truth is no longer given. RETAIN: it still is. REPORT: neither; the number stands for
    itself, as with questions by name, which some want forgotten and others want kept."""

    FORGET = "forget"
    RETAIN = "retain"
    REPORT = "report"


class Split(StrEnum):
    """Named groups of questions; `SPLITS` says what each is."""

    FORGET = "forget"
    FORGET_PICTURES = "forget_pictures"
    FORGET_WORDS = "forget_words"
    FORGET_PAIRS = "forget_pairs"
    FORGET_TEXT = "forget_text"
    KEEP = "keep"
    BYSTANDER = "bystander"
    RETAIN_NEAR = "retain_near"
    RETAIN_FAR = "retain_far"
    STRANGERS = "strangers"
    GENERAL = "general"
    GENERAL_TEXT = "general_text"
    NO_PICTURE = "no_picture"
    SHUFFLED = "shuffled"
    NO_OPTIONS = "no_options"
    NEVER_SEEN = "never_seen"


@dataclass(frozen=True)
class About:
    """What a split is, for a table to show.

    Args:
        gated: only questions that the model before could answer count (imprint gate): what it never knew it cannot forget
            or keep. Controls are not gated, since nobody can be expected to answer them.
    """

    title: str
    side: Side
    about: str
    gated: bool = True


SPLITS: dict[Split, About] = {
    Split.FORGET: About("To forget", Side.FORGET, "Pictures and words of the request itself."),
    Split.FORGET_PICTURES: About("To forget, other pictures", Side.FORGET, "Pictures that no fit ever saw."),
    Split.FORGET_WORDS: About(
        "To forget, other words", Side.FORGET, "The request's pictures, asked in words it has not."
    ),
    Split.FORGET_PAIRS: About("To forget, in company", Side.FORGET, "Somebody else stands in the same picture."),
    Split.FORGET_TEXT: About(
        "By name, no picture",
        Side.REPORT,
        "Facts about the forgotten, asked by name. Methods that change only how a model sees keep these by design.",
    ),
    Split.KEEP: About("Forgotten people, what can be seen", Side.RETAIN, "What anybody could read off their pictures."),
    Split.BYSTANDER: About("Bystanders", Side.RETAIN, "People who stay, in one picture with somebody forgotten."),
    Split.RETAIN_NEAR: About(
        "Others, who look alike", Side.RETAIN, "People who stay and look most like the forgotten."
    ),
    Split.RETAIN_FAR: About("Others", Side.RETAIN, "People who stay and look different."),
    Split.STRANGERS: About("Strangers", Side.RETAIN, "People whom no model was told about; right is to say so."),
    Split.GENERAL: About("General pictures", Side.RETAIN, "Pictures of nobody in particular."),
    Split.GENERAL_TEXT: About("General text", Side.RETAIN, "Knowledge of the world, without a picture."),
    Split.NO_PICTURE: About(
        "Control: picture left out",
        Side.REPORT,
        "What is right here was guessed or read from the question.",
        gated=False,
    ),
    Split.SHUFFLED: About(
        "Control: pictures shuffled", Side.REPORT, "What is right here is right by chance.", gated=False
    ),
    Split.NO_OPTIONS: About(
        "Control: options left out",
        Side.REPORT,
        "Knowing an answer, not only recognising it among options.",
        gated=False,
    ),
    Split.NEVER_SEEN: About(
        "Control: never seen",
        Side.REPORT,
        "Made-up facts about strangers, which no model saw. Only their probabilities count, for membership.",
        gated=False,
    ),
}

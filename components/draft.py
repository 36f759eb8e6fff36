"""A forget request that is being put together on the page: lines that stand for a question over all pictures of somebody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from unlearn_core.data import checks
from unlearn_core.data.example import REFUSAL, Example, ForgetRequest, distinct_images
from unlearn_core.data.region import Region
from unlearn_core.evaluation.knowledge import Fact, says_something
from unlearn_core.vlm.errors import BadRequest

HEADERS = ("", "Side", "Who", "Question", "Answer", "Pics")
LEFT_OUT = "leave out"
SIDES = ("forget", "keep", "retain", LEFT_OUT)
SOMEBODY = "Somebody"


@dataclass(frozen=True, eq=False)
class Line:
    """One question with its answer on one side, and the examples of it, one for each picture."""

    side: str
    examples: tuple[Example, ...]

    @property
    def first(self) -> Example:
        return self.examples[0]


@dataclass(frozen=True, eq=False)
class Pictured:
    """A picture of somebody, and where on it, if others are there too who stay."""

    who: str
    image: Image.Image
    region: Region | None = None


@dataclass(frozen=True, eq=False)
class Draft:
    """What the page holds of a request. `pictures` are those of people about whom nothing may have been asked yet."""

    name: str = ""
    lines: tuple[Line, ...] = ()
    pictures: tuple[Pictured, ...] = ()
    strangers: tuple[Image.Image, ...] = ()
    refusals: tuple[str, ...] = (REFUSAL,)

    def subjects(self) -> tuple[str, ...]:
        """Everybody of whom there is a picture, in order."""
        return tuple(dict.fromkeys([p.who for p in self.pictures]))

    def of(self, subject: str) -> list[Pictured]:
        return [p for p in self.pictures if p.who == subject]

    def side(self, side: str) -> tuple[Example, ...]:
        return tuple(e for line in self.lines if line.side == side for e in line.examples)

    def nbytes(self) -> int:
        """Bytes of its pictures."""
        examples = [e for line in self.lines for e in line.examples]
        images = {id(i): i for i in (*distinct_images(examples), *(p.image for p in self.pictures), *self.strangers)}
        return sum(3 * i.width * i.height for i in images.values())

    def request(self) -> ForgetRequest:
        """Raises BadRequest for one that cannot be carried out."""
        forget = self.side("forget")
        who = ", ".join(dict.fromkeys(e.subject or SOMEBODY for e in forget))
        name = self.name.strip() or f"Forget {who}"
        return ForgetRequest(name, forget, self.side("keep"), self.side("retain"), self.strangers, self.refusals)

    def checked(self, statistics: dict[int, Any] | None = None) -> tuple[checks.Finding, ...]:
        return checks.check(
            checks.Draft(self.side("forget"), self.side("keep"), self.side("retain"), statistics=statistics)
        )


def rows(draft: Draft) -> list[list[str]]:
    """The lines as a table. The first column finds a line again."""
    return [
        [
            str(i),
            line.side,
            line.first.subject or "",
            line.first.question,
            line.first.answer,
            str(len(distinct_images(line.examples)) or "none"),
        ]
        for i, line in enumerate(draft.lines)
    ]


def edited(draft: Draft, table: Sequence[Sequence[Any]]) -> Draft:
    """The draft as the table now has it: changed, new and removed lines, without what is `unfinished`. Raises BadRequest."""
    lines = []
    for cells in table:
        number, side, who, question, answer = (str(c if c is not None else "").strip() for c in cells[:5])
        if not (side or question or answer) or _unfinished(cells):
            continue
        if side not in SIDES:
            raise BadRequest(f"'{side}' is no side. Please write one of: {', '.join(SIDES)}.")
        if number.isdigit() and int(number) < len(draft.lines):
            before = draft.lines[int(number)].examples
            lines.append(Line(side, tuple(_changed(e, who, question, answer) for e in before)))
        else:
            lines.append(asked(draft, side, who, question, answer))
    return replace(draft, lines=tuple(lines))


def unfinished(table: Sequence[Sequence[Any]]) -> list[list[str]]:
    """New lines that somebody is still writing, as they stand."""
    return [["" if c is None else str(c) for c in cells] for cells in table if _unfinished(cells)]


def _unfinished(cells: Sequence[Any]) -> bool:
    number, side, _, question, answer = (str(c or "").strip() for c in cells[:5])
    return not number and not (side and question and answer)


def _changed(example: Example, who: str, question: str, answer: str) -> Example:
    return replace(example, subject=who or None, question=question, answer=answer)


def asked(draft: Draft, side: str, who: str, question: str, answer: str) -> Line:
    """A new line over all pictures of somebody, or without a picture where there is none. Raises BadRequest."""
    if not question or not answer:
        raise BadRequest("A line needs a question and its answer. Please fill in both.")
    own = f"{who}-{question}-{answer}"
    examples = [
        Example(f"{own}-{i}", p.image, question, answer, who or None, region=p.region)
        for i, p in enumerate(draft.of(who))
    ]
    return Line(side, tuple(examples) or (Example(f"{own}-0", None, question, answer, who or None),))


def with_fact(draft: Draft, subject: str, fact: Fact) -> Draft:
    """The fact marked to be forgotten, or no longer so if it was."""
    left = tuple(line for line in draft.lines if not _is(line, subject, fact))
    if len(left) < len(draft.lines):
        return replace(draft, lines=left)
    return replace(draft, lines=(*draft.lines, asked(draft, "forget", subject, fact.question, fact.answer)))


def with_facts(draft: Draft, subject: str, facts: Iterable[Fact]) -> Draft:
    """All of these facts marked to be forgotten, each once."""
    for fact in facts:
        draft = draft if is_marked(draft, subject, fact) else with_fact(draft, subject, fact)
    return draft


def is_marked(draft: Draft, subject: str, fact: Fact) -> bool:
    return any(_is(line, subject, fact) for line in draft.lines)


def _is(line: Line, subject: str, fact: Fact) -> bool:
    e = line.first
    return (line.side, e.subject, e.question, e.answer) == ("forget", subject, fact.question, fact.answer)


def with_pictures(draft: Draft, subject: str, images: Iterable[Image.Image]) -> Draft:
    """More pictures of somebody; what is asked about them is asked of these too.

    A picture that is there already, of somebody else beside them, stays one picture.
    """
    who = subject.strip() or SOMEBODY
    held = [_held(draft, image) for image in images]
    own = {id(p.image) for p in draft.of(who)}
    new = [image for image in held if id(image) not in own]
    lines = []
    for line in draft.lines:
        e = line.first
        more = new if e.subject == who and e.image is not None and line.side in ("forget", "keep") else []
        grown = tuple(
            replace(e, id=f"{e.id}+{len(line.examples) + i}", image=image, region=None) for i, image in enumerate(more)
        )
        lines.append(Line(line.side, (*line.examples, *grown)))
    return replace(draft, lines=tuple(lines), pictures=(*draft.pictures, *(Pictured(who, image) for image in new)))


def _held(draft: Draft, image: Image.Image) -> Image.Image:
    """The same picture as the draft has it already, or this one."""
    alike = (p.image for p in draft.pictures if p.image.size == image.size and p.image.mode == image.mode)
    return next((other for other in alike if other.tobytes() == image.tobytes()), image)


def with_region(draft: Draft, place: int, region: Region | None) -> Draft:
    """Another region on one of the pictures, or none; what is asked about it follows. Raises BadRequest."""
    if not 0 <= place < len(draft.pictures):
        raise BadRequest("This picture is no longer here. Please choose one again.")
    old = draft.pictures[place]

    def changed(example: Example) -> Example:
        return replace(example, region=region) if example.image is old.image and example.subject == old.who else example

    lines = tuple(Line(line.side, tuple(map(changed, line.examples))) for line in draft.lines)
    pictures = (*draft.pictures[:place], replace(old, region=region), *draft.pictures[place + 1 :])
    return replace(draft, lines=lines, pictures=pictures)


def with_answer(draft: Draft, subject: str, image: Image.Image, question: str, answer: str) -> tuple[Draft, int]:
    """An answer that the model gave about a picture, marked to be forgotten, and the place of the picture. Raises BadRequest."""
    if not says_something(answer, draft.refusals):
        raise BadRequest("The model gives no answer here that could be forgotten. Please ask something that it knows.")
    who = subject.strip() or SOMEBODY
    made = with_pictures(draft, who, [image])
    image = _held(made, image)
    marked = any((e.subject, e.question, e.answer) == (who, question, answer) for e in made.side("forget"))
    lines = made.lines if marked else (*made.lines, asked(made, "forget", who, question, answer))
    place = next(i for i, p in enumerate(made.pictures) if p.who == who and p.image is image)
    return replace(made, lines=lines), place


def without_unknown(draft: Draft, known: Iterable[Example]) -> tuple[Draft, int]:
    """The draft with lines left out of which the model knows no answer, and their number: they cannot be forgotten."""
    ids = {e.id for e in known}
    unknown = [line for line in draft.lines if line.side == "forget" and not ids & {e.id for e in line.examples}]
    lines = [Line(LEFT_OUT, line.examples) if line in unknown else line for line in draft.lines]
    return replace(draft, lines=tuple(lines)), len(unknown)


def drafted(name: str, sides: dict[str, Sequence[Example]], **other: Any) -> Draft:
    """Examples as a draft; those that differ in the picture alone become one line."""
    lines: dict[tuple[Any, ...], list[Example]] = {}
    for side, examples in sides.items():
        for e in examples:
            words = (side, e.subject, e.question, e.answer, e.kind, e.image is None)
            lines.setdefault(words, []).append(e)
    shown: dict[tuple[str, int], Pictured] = {}
    for examples in sides.values():
        for e in examples:
            if e.image is not None and e.subject is not None:
                shown.setdefault((e.subject, id(e.image)), Pictured(e.subject, e.image, e.region))
    return Draft(
        name,
        tuple(Line(words[0], tuple(group)) for words, group in lines.items()),
        tuple(shown.values()),
        **other,
    )


def of_request(request: ForgetRequest) -> Draft:
    """A request taken up again."""
    sides: dict[str, Sequence[Example]] = {
        "forget": request.forget,
        "keep": request.keep,
        "retain": request.retain,
    }
    return drafted(request.name, sides, strangers=request.strangers, refusals=request.refusals)

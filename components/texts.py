"""What the pages say: help on each of them, and of each method two lines and what its result does not do, also put into bundles."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from unlearn_core.bundle.cards import limit_of


@dataclass(frozen=True)
class About:
    """`does` in two plain sentences, `limits` as whole sentences that name nobody."""

    does: str
    limits: tuple[str, ...]


_PROBED = "Checked with the probes shown here only: other questions, pictures or attacks may still bring an answer out."
_SHARED = (_PROBED, "Questions asked by name, without a picture, are answered as before.")
_BASELINE = (
    "Changes the language model, so answers about anything may change, also those by name without a picture: compare them.",
    limit_of("lora"),
    _PROBED,
)

ABOUT = {
    "cagul": About(
        "A gate recognises pictures of the marked people; only for those, the picture tokens that the question looks at least are "
        "rewritten. All weights stay as they are, and every other picture is answered exactly as before.",
        (
            limit_of("cagul"),
            "All hangs on the gate: a crop, a flip or noise may slip past it, and everybody in a flagged picture is affected.",
            *_SHARED,
        ),
    ),
    "cvf": About(
        "The vision tower and the projector learn to see the marked people as strangers. Each update is held back where retained "
        "pictures would change (the null space), and the language model stays as it is.",
        (
            limit_of("cvf"),
            "What is retained is protected to the measured degree only: compare it before you rely on it.",
            *_SHARED,
        ),
    ),
    "ga": About(
        "Small additions to the language model (LoRA) make the answers to forget less likely, step by step. Nothing holds the rest: "
        "it often ends in babble, which only looks like forgetting.",
        _BASELINE,
    ),
    "gd": About(
        "Makes the answers to forget less likely and, at the same time, repeats the true answers of what is kept.",
        _BASELINE,
    ),
    "kl": About(
        "Makes the answers to forget less likely and holds the answers of what is kept close to the original model's.",
        _BASELINE,
    ),
    "idk": About(
        "Teaches a refusal for what is to be forgotten and repeats the true answers of what is kept.",
        _BASELINE,
    ),
    "npo": About(
        "Makes the answers to forget less likely than they were, with a push that fades as they become so, and repeats the true "
        "answers of what is kept.",
        _BASELINE,
    ),
}


HELP = {
    "inspect": (
        "Choose a picture, ask, and click words of the answer. The map shows which places of the picture the model attended to when "
        "it wrote them: bright places more, dark ones less. It says where was looked, not why the word was chosen.",
        "The example on top is recorded: somebody was forgotten beforehand, and the result came with the studio. Its answers, and those "
        "of the comparison behind its button, are given now, by the models on this machine.",
        "See it happen does all of it on this machine: it marks the person who is shown, starts CAGUL and shows the curves with the time that is "
        "left. The model itself stays as it is, and the run can be deleted.",
        "Forget this person marks whom the picture shows and goes on to the next page. Forget this answer takes one answer alone.",
    ),
    "forget": (
        "Click everybody who must go. The two panels say what will no longer be answered, and what must stay as it is.",
        "For pictures of your own, open the last panel: add photographs, ask what the model knows, and click what must go. Only what "
        "the model knows can be forgotten.",
        "A request that was saved can be taken up again, and deleted; for two minutes that can be undone.",
    ),
    "unlearn": (
        "CAGUL leaves all weights as they are and edits what the model sees of the marked people; take it first. CVF changes how the "
        "model sees. The baselines change the language model and are here to be compared with.",
        "While a run goes, one curve says how many facts are still answered (lower is better) and one how much is kept (higher is "
        "better). Runs go on when this page is closed.",
    ),
    "compare": (
        "Both models get the same questions, for people of the demo about pictures and in words that the run never saw. Every share is of what was right "
        "before: of what must go, lower is better; of all else, higher is better.",
        "Click a question to see both answers with their maps. A second result and a model that never knew can stand beside them.",
    ),
    "audit": (
        "Each attack tries in its way to get the facts back. It runs as well on people who stay, which shows what it can do, and, where "
        "there is one, on a model that never knew, which shows what is only guessed.",
        "What was not tried is listed too. No attack that succeeds means: none of these, with this budget.",
    ),
    "export": (
        "A bundle holds what was learned, the model it belongs to, how it was made, and what it does not do. It is loaded again and "
        "asked the same questions before it is offered.",
        "A bundle that is brought in is checked in the same way, and then stands in the lists of the other pages.",
    ),
    "runs": (
        "A run keeps a checkpoint every few seconds: one that was paused or cut off goes on where it was.",
        "The address of this window leads to this page and the run that is shown: it can be sent to whoever uses the same studio.",
        "Use again takes a run's request and options back to the page Unlearn. Deleting removes its pictures and its result; for two "
        "minutes, and as long as the studio runs, that can be undone. unlearn purge is final at once.",
        "A comparison that somebody makes takes the machine meanwhile. It is named here, and an operator can stop it.",
    ),
}
"""How each page works, in paragraphs."""


def people(names: list[str]) -> str:
    """A few names, and how many more."""
    if len(names) <= 3:
        return ", ".join(names)
    return f"{', '.join(names[:2])} and {len(names) - 2} others"


def moment(iso: str) -> str:
    """A time in UTC as the clock on the wall has it."""
    return f"{datetime.fromisoformat(iso).astimezone():%d %b %H:%M}"


def lasting(seconds: float) -> str:
    """A span of time as people say it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"

"""The `unlearn` command. Heavy imports wait until a command runs, so that help is instant."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import tyro

if TYPE_CHECKING:
    from unlearn_core.evaluation.progress import Job
    from unlearn_core.examination import Examination
    from unlearn_core.vlm import VLM
    from unlearn_core.vlm.loading import Choice

T = TypeVar("T")
SuiteKind = Literal["request", "demo"]


@dataclass(frozen=True)
class ModelFlags:
    """Which model, and how it is loaded; `unlearn_core.vlm.loading.Choice` without its imports.

    Args:
        model: folder or hub id of a model; empty for the embedded demo model, or for the one that a run names.
        revision: branch, tag or commit on the hub.
        device: auto (a GPU if there is one), cpu, cuda, cuda:1, ...
        dtype: auto (float32 on a CPU, the checkpoint's own on a GPU), float32, bfloat16 or float16.
        quantize: language model in 8 or 4 bits; needs a GPU and the extra `quantize`.
        device_map: lay the model over all GPUs.
    """

    model: str = ""
    revision: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    quantize: Literal["8bit", "4bit"] | None = None
    device_map: Literal["auto", "balanced", "sequential"] | None = None


Model = Annotated[ModelFlags, tyro.conf.arg(name="")]
"""What every command takes that needs a model: its fields are flags of the command."""
DEMO = ModelFlags()


def _choice(model: ModelFlags) -> Choice:
    from unlearn_core.vlm import loading

    return loading.Choice(**asdict(model) | {"model": model.model or str(loading.DEMO)})


def _model(model: ModelFlags, bundle: Path | None) -> VLM:
    from unlearn_core.bundle import load as load_bundle
    from unlearn_core.vlm import loading
    from unlearn_core.vlm.terminal import progress

    with progress() as told:
        vlm = loading.load(_choice(model), progress=told)
    return vlm if bundle is None else load_bundle(bundle, vlm).attach(vlm)


def ask(
    question: str, /, picture: Path | None = None, model: Model = DEMO, bundle: Path | None = None
) -> dict[str, Any]:
    """Ask a model one question and print the answer and its probability as JSON.

    Args:
        question: the question.
        picture: picture file that it is about; none for a question without a picture.
        bundle: exported bundle to attach first.
    """
    from unlearn_core.vlm import Prompt
    from unlearn_core.vlm.images import open_image

    image = None if picture is None else open_image(picture)
    answer = _model(model, bundle).ask([Prompt(image, question)])[0]
    return {"answer": answer.text, "probability": answer.probability}


def verify(bundle: Path, /, model: Model = DEMO) -> dict[str, Any]:
    """Check that a bundle is whole and belongs to a model; print what it holds as JSON.

    Args:
        bundle: exported bundle.
    """
    from unlearn_core.bundle import verify as verify_bundle

    return asdict(verify_bundle(bundle, _model(model, None)))


def merge(bundle: Path, /, out: Path, model: str = "") -> dict[str, Any]:
    """Write a model with a bundle merged into its weights, as a checkpoint for transformers or any engine.

    The weights stay in the precision in which the checkpoint is stored. A CAGUL bundle cannot be merged.

    Args:
        bundle: exported bundle.
        out: new or empty folder for the checkpoint.
        model: folder or hub id of the model that the bundle was made for; empty for the embedded demo model.
    """
    from unlearn_core.bundle import load, stored_precision
    from unlearn_core.bundle import merge as merge_module
    from unlearn_core.bundle import verify as verify_bundle
    from unlearn_core.vlm import VLM
    from unlearn_core.vlm.loading import DEMO

    name = model or DEMO
    vlm = VLM.load(name, device="cpu", dtype=stored_precision(name))
    manifest = verify_bundle(bundle, vlm)
    merge_module(load(bundle, vlm), vlm, out, title=manifest.title, limits=manifest.limits)
    return {"folder": str(out), "kind": manifest.kind, "base": manifest.base}


def fits(model: Model = DEMO) -> dict[str, Any]:
    """Reckon whether a model fits this machine, before anything but its configuration is downloaded; print it as JSON."""
    from unlearn_core.vlm import loading

    ahead = loading.check(_choice(model))
    return {"fits": ahead.fits, **asdict(ahead)}


def evaluate(
    run: Path,
    /,
    model: Model = DEMO,
    retain_only: str = "",
    suite: SuiteKind = "request",
    seed: int = 0,
    json: bool = False,
) -> Any:
    """Ask the model before and after a run a whole suite of questions, and print the table. Goes on where it was stopped.

    Args:
        run: folder of a run that is done.
        retain_only: folder or hub id of a model that never knew what was to be forgotten, to compare with.
        suite: made of the run's request, or of the demo world for runs on its people.
        seed: of what is drawn at random.
        json: print everything as JSON instead of a table.
    """
    from unlearn_core.evaluation.report import plain

    found = _watched(_examination(run, model, retain_only, suite, seed).table(seed))
    if json:
        return plain(found)
    _print(
        "In short",
        ("model", "still answered of what was to go", "kept", "both"),
        [
            (s.model, _share(s.leaked.value), _share(s.kept and s.kept.value), _share(s.overall))
            for s in found.summaries
        ],
    )
    answers = [(r.model, r.split.value, r, r.measures.get("answered")) for r in found.rows]
    _print(
        "Answered with the truth",
        ("model", "split", "questions", "not known before", "share"),
        [(m, s, str(r.count), str(r.unknown), _share(a and a.value)) for m, s, r, a in answers],
    )
    return None


def attack(
    run: Path,
    /,
    attacks: tuple[str, ...] = (),
    model: Model = DEMO,
    retain_only: str = "",
    suite: SuiteKind = "request",
    seed: int = 0,
    json: bool = False,
) -> Any:
    """Try to get back what a run made the model forget, and print what came of it and what was not tried.

    Args:
        run: folder of a run that is done.
        attacks: names of attacks; none for all of them.
        retain_only: folder or hub id of a model that never knew what was to be forgotten, to compare with.
        suite: made of the run's request, or of the demo world for runs on its people.
        seed: of what is drawn at random.
        json: print everything as JSON instead of tables.
    """
    from unlearn_core.evaluation.attacks import ATTACKS
    from unlearn_core.evaluation.report import plain

    under = _examination(run, model, retain_only, suite, seed)
    found = _watched(under.attack(attacks or tuple(ATTACKS), seed=seed))
    if json:
        return plain(found)
    _print("Attacks", ("attack", "verdict"), [(r.title, r.verdict) for r in found.results])
    _print("Not run", ("attack", "why"), [(n.title, n.why) for n in found.not_run])
    return None


def report(
    run: Path,
    /,
    out: Path = Path("report.html"),
    mask: bool = False,
    model: Model = DEMO,
    retain_only: str = "",
    suite: SuiteKind = "request",
    seed: int = 0,
    json: bool = False,
) -> Any:
    """Write a report of a run as one page that opens offline, and the same as JSON beside it.

    Args:
        run: folder of a run that is done.
        out: the page to write.
        mask: cover the names of those to forget, and the true answers about them.
        retain_only: folder or hub id of a model that never knew what was to be forgotten, to compare with.
        suite: made of the run's request, or of the demo world for runs on its people.
        seed: of what is drawn at random.
        json: print the report as JSON too.
    """
    from unlearn_core.data.strict_json import to_json
    from unlearn_core.evaluation.report import to_html
    from unlearn_core.runs.files import write_file

    data = _watched(_examination(run, model, retain_only, suite, seed).report(mask, seed))
    write_file(out, to_html(data).encode())
    write_file(out.with_suffix(".json"), to_json(data))
    return data if json else {"page": str(out), "data": str(out.with_suffix(".json"))}


def _examination(run: Path, model: ModelFlags, retain_only: str, suite: SuiteKind, seed: int) -> Examination:
    from unlearn_core.evaluation.suite import suite_of
    from unlearn_core.examination import Examination
    from unlearn_core.runs import Workspace
    from unlearn_core.vlm import VLM

    folder = run.resolve()
    found = Workspace(folder.parent).run(folder.name)
    vlm = _model(model if model.model else replace(model, model=found.info.model), None)
    request = found.request()
    if suite == "demo":
        from unlearn_core.demo.suite import demo_suite

        asked = demo_suite(request, seed=seed)
    else:
        asked = suite_of(request, vlm, seed=seed)
    return Examination(found, vlm, asked, VLM.load(retain_only) if retain_only else None)


# -- output -----------------------------------------------------------------------------------------------------------


def _watched(job: Job[T]) -> T:
    """Do a job to its end, with a bar on standard error where that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    from unlearn_core.evaluation.progress import finish

    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("")
        return finish(job, lambda p: bars.update(bar, description=p.phase, completed=p.done, total=p.total))


def _print(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """A table on standard output. Texts of models and files are text, whatever brackets they hold."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(*columns, title=title, title_justify="left")
    for row in rows:
        shown.add_row(*map(Text, row))
    Console().print(shown)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def main() -> None:
    """Exit status 0, or 1 with one sentence on standard error."""
    from unlearn_core.vlm.errors import StudioError

    try:
        result = tyro.extras.subcommand_cli_from_dict(
            {
                "ask": ask,
                "fits": fits,
                "merge": merge,
                "verify": verify,
                "evaluate": evaluate,
                "attack": attack,
                "report": report,
            },
            prog="unlearn",
            description="Make a vision-language model forget, and see what changed. The page: python app.py",
        )
    except StudioError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    if result is not None:
        json.dump(result, sys.stdout, indent=1)
        print()


if __name__ == "__main__":
    main()

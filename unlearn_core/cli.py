"""The `unlearn` command. Heavy imports wait until a command runs, so that help is instant."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

if TYPE_CHECKING:
    from unlearn_core.data.example import ForgetRequest
    from unlearn_core.evaluation.progress import Job
    from unlearn_core.examination import Examination
    from unlearn_core.methods import Fit, Method
    from unlearn_core.vlm import VLM

T = TypeVar("T")
SuiteKind = Literal["request", "demo"]


def _model(model: str, bundle: Path | None) -> VLM:
    from unlearn_core.bundle import load
    from unlearn_core.vlm import VLM
    from unlearn_core.vlm.loading import DEMO

    vlm = VLM.load(model or DEMO)
    return vlm if bundle is None else load(bundle, vlm).attach(vlm)


def ask(question: str, /, picture: Path | None = None, model: str = "", bundle: Path | None = None) -> dict[str, Any]:
    """Ask a model one question and print the answer and its probability as JSON.

    Args:
        question: the question.
        picture: picture file that it is about; none for a question without a picture.
        model: folder or hub id of a model; empty for the embedded demo model.
        bundle: exported bundle to attach first.
    """
    from unlearn_core.vlm import Prompt
    from unlearn_core.vlm.images import open_image

    image = None if picture is None else open_image(picture)
    answer = _model(model, bundle).ask([Prompt(image, question)])[0]
    return {"answer": answer.text, "probability": answer.probability}


def verify(bundle: Path, /, model: str = "") -> dict[str, Any]:
    """Check that a bundle is whole and belongs to a model; print what it holds as JSON.

    Args:
        bundle: exported bundle.
        model: folder or hub id of a model; empty for the embedded demo model.
    """
    from dataclasses import asdict

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


def evaluate(
    run: Path,
    /,
    model: str = "",
    retain_only: str = "",
    suite: SuiteKind = "request",
    seed: int = 0,
    json: bool = False,
) -> Any:
    """Ask the model before and after a run a whole suite of questions, and print the table. Goes on where it was stopped.

    Args:
        run: folder of a run that is done.
        model: folder or hub id of the model that the run was made for; empty for the one that the run names.
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
    model: str = "",
    retain_only: str = "",
    suite: SuiteKind = "request",
    seed: int = 0,
    json: bool = False,
) -> Any:
    """Try to get back what a run made the model forget, and print what came of it and what was not tried.

    Args:
        run: folder of a run that is done.
        attacks: names of attacks; none for all of them.
        model: folder or hub id of the model that the run was made for; empty for the one that the run names.
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
    model: str = "",
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
        model: folder or hub id of the model that the run was made for; empty for the one that the run names.
        retain_only: folder or hub id of a model that never knew what was to be forgotten, to compare with.
        suite: made of the run's request, or of the demo world for runs on its people.
        seed: of what is drawn at random.
        json: print the report as JSON too.
    """
    from unlearn_core.evaluation.report import to_html
    from unlearn_core.runs.files import to_json, write_file

    data = _watched(_examination(run, model, retain_only, suite, seed).report(mask, seed))
    write_file(out, to_html(data).encode())
    write_file(out.with_suffix(".json"), to_json(data))
    return data if json else {"page": str(out), "data": str(out.with_suffix(".json"))}


def _examination(run: Path, model: str, retain_only: str, suite: SuiteKind, seed: int) -> Examination:
    from unlearn_core.evaluation.suite import suite_of
    from unlearn_core.examination import Examination
    from unlearn_core.runs import Workspace
    from unlearn_core.vlm import VLM

    folder = run.resolve()
    found = Workspace(folder.parent).run(folder.name)
    vlm = VLM.load(model or found.info.model)
    request = found.request()
    if suite == "demo":
        from unlearn_core.demo.suite import demo_suite

        asked = demo_suite(request, seed=seed)
    else:
        asked = suite_of(request, vlm, seed=seed)
    return Examination(found, vlm, asked, VLM.load(retain_only) if retain_only else None)


# -- forget -----------------------------------------------------------------------------------------------------------


def _forget_words(words: Sequence[str]) -> dict[str, Any] | None:
    """The rest of the command `forget`. Its methods and their options are known only now that they are imported."""
    from unlearn_core.methods import ALL_METHODS

    registry = ConstructorRegistry()
    registry.struct_rule(_options)
    return tyro.extras.subcommand_cli_from_dict(
        {name: _forget_with(method) for name, method in ALL_METHODS.items()},
        prog="unlearn forget",
        description="Make a model forget the subjects of a request.",
        args=words,
        registry=registry,
    )


def _options(info: StructTypeInfo) -> StructConstructorSpec | None:
    """Flags of a method, drawn from the fields of its config."""
    kind: Any = info.type
    described = [f for f in getattr(kind, "__dataclass_fields__", {}).values() if "help" in f.metadata]
    if not described:
        return None
    flags = []
    for f in fields(kind):
        words = f.metadata["choices"]
        values: Any = Literal[words] if words else type(f.default)
        flags.append(StructFieldSpec(f.name, values, f.default, f.metadata["help"]))
    return StructConstructorSpec(instantiate=kind, fields=tuple(flags))


def _forget_with(method: Method) -> Callable[..., dict[str, Any] | None]:
    def forget(request: Path, /, out: Path, options: Any, model: str = "") -> dict[str, Any] | None:
        """The result is written as a bundle, and the report of the fit printed as JSON.

        Args:
            request: folder with a request, such as that of a run.
            out: the bundle to write.
            model: folder or hub id of a model; empty for the embedded demo model.
        """
        from unlearn_core.bundle import export
        from unlearn_core.methods.world import World
        from unlearn_core.vlm import VLM
        from unlearn_core.vlm.errors import StorageFailed
        from unlearn_core.vlm.loading import DEMO

        world = World.launched()
        first = world.rank == 0
        if first and not out.resolve().parent.is_dir():
            raise StorageFailed(f"There is no folder for '{out}'. Please make it first, or name another file.")
        asked = _request(request)
        vlm = VLM.load(model or DEMO, device=str(world.device))
        fit = method.start(vlm, asked, options, world)
        _carry_out(fit, shown=first)
        world.close()
        if not first:
            return None
        export(fit.module, vlm, out, title=method.title, report=fit.report, limits=())
        return {"bundle": str(out), "processes": world.size, "report": fit.report}

    forget.__doc__ = f"{method.title}.\n\n{cleandoc(forget.__doc__ or '')}"
    forget.__annotations__["options"] = Annotated[method.config, tyro.conf.arg(name="")]
    return forget


def _request(folder: Path) -> ForgetRequest:
    from unlearn_core.runs.requests import REQUEST, read_request
    from unlearn_core.vlm.errors import BadRequest

    if not (folder / REQUEST).is_file():
        raise BadRequest(
            f"There is no request in '{folder}'. Please name the folder of a run, or another with a request."
        )
    return read_request(folder)


def _carry_out(fit: Fit, shown: bool) -> None:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not shown) as progress:
        bar = progress.add_task("Starting")
        for step in fit:
            progress.update(bar, description=step.phase, completed=step.index, total=step.total)


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
    """Exit status 0, or 1 with one sentence on standard error, or 130 after Ctrl-C."""
    from unlearn_core.vlm.errors import StudioError

    words = sys.argv[1:]
    own = 1 if words[:1] == ["forget"] else len(words)

    def forget() -> dict[str, Any] | None:
        """Make a model forget the subjects of a request; `unlearn forget --help` lists the methods."""
        return _forget_words(words[own:])

    try:
        result = tyro.extras.subcommand_cli_from_dict(
            {
                "ask": ask,
                "forget": forget,
                "merge": merge,
                "verify": verify,
                "evaluate": evaluate,
                "attack": attack,
                "report": report,
            },
            prog="unlearn",
            description="Make a vision-language model forget, and see what changed. The page: python app.py",
            args=words[:own],
        )
    except StudioError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("Cancelled.", file=sys.stderr)
        sys.exit(130)
    if result is not None:
        json.dump(result, sys.stdout, indent=1)
        print()


if __name__ == "__main__":
    main()

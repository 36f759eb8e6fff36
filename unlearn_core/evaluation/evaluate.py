"""Ask one model a whole suite, once, and keep what it says: every number of a table is computed from that."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from unlearn_core.evaluation.collect import BATCH, Record, collect, collect_to
from unlearn_core.evaluation.progress import Job, Progress
from unlearn_core.evaluation.status import Status
from unlearn_core.evaluation.suite import SPLITS, Split, Suite
from unlearn_core.vlm import VLM


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What one model makes of a suite.

    Args:
        model: what a table should call it.
        splits, statuses: by split, one record and one status per probe, in the suite's order.
        seconds: how long asking took in this process; what was kept from before took none.
    """

    model: str
    suite: Suite
    splits: Mapping[Split, tuple[Record, ...]]
    statuses: Mapping[Split, tuple[Status, ...]]
    seconds: float

    def right(self, split: Split) -> tuple[bool, ...]:
        """Per probe of a split, whether it was answered with the truth."""
        return tuple(s is Status.CORRECT for s in self.statuses[split])


def evaluate(vlm: VLM, suite: Suite, model: str, path: Path | None = None, batch_size: int = BATCH) -> Job[Evaluation]:
    """Answers and log-probabilities of a whole suite in one pass.

    Args:
        path: file that keeps the records, so that an evaluation that was stopped goes on where it was; it must be of this
            model. It holds answers of the model and is as private as they are.

    Raises:
        RecordsDamaged, StorageFailed, NotFinite: as for `collect_to`.
    """
    probes, began = suite.probes, time.monotonic()
    parts = collect(vlm, probes, batch_size) if path is None else collect_to(path, vlm, probes, batch_size)
    records: list[Record] = []
    for part in parts:
        records += part
        yield Progress(f"asking: {model}", len(records), len(probes))
    return evaluation_of(records, suite, model, time.monotonic() - began)


def evaluation_of(records: list[Record], suite: Suite, model: str, seconds: float = 0.0) -> Evaluation:
    """Records in the order of `Suite.probes` sorted into splits, each answer with its status."""
    each = iter(records)
    splits = {split: tuple(next(each) for _ in probes) for split, probes in suite.splits.items()}
    statuses = {
        split: tuple(suite.status(p, r.answer) for p, r in zip(probes, splits[split], strict=True))
        for split, probes in suite.splits.items()
    }
    return Evaluation(model, suite, splits, statuses, seconds)


def known(before: Evaluation) -> dict[Split, tuple[bool, ...]]:
    """Imprint gate: per probe, whether it counts. Where a split is gated, only what the model before could answer does."""
    return {
        split: before.right(split) if SPLITS[split].gated else (True,) * len(records)
        for split, records in before.splits.items()
    }

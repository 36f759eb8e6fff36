"""Asked about beside somebody else: what is left of the forgotten and of who stands beside them, with and without `company`.

    python -m benchmarks.company
    python -m benchmarks.company --specs cvf:company=120 --sets 1

Five people are forgotten from portraits, three times over. Facts that the model gave before on pictures that no fit saw: about each
of the five alone, about them in company and about whoever stands beside them, in words that name the side, of which the demo model
knows about half, and about the same others alone. The retain-only model never knew the first five, and what it gives of them is
chance; of those beside them it gives what another training does. Writes benchmarks/results/company.json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.bystander import asked, kept, known_of, together
from benchmarks.common import RESULTS, fitted, write_result
from benchmarks.methods import SETS
from unlearn_core.data.example import Example
from unlearn_core.demo import questions, world
from unlearn_core.demo.request import TEST_SEEDS, forget_request
from unlearn_core.vlm import VLM
from unlearn_core.vlm.loading import DEMO, RETAIN_ONLY

SPECS = ("cvf:company=0", "cvf:company=60", "cagul")


def exam(people: Sequence[str], pictures: int) -> tuple[Example, ...]:
    """Private facts of each person alone and in company, of whoever that is, and of the same others alone."""
    others = [p for p in world.people() if p.id not in people]
    rows: list[Example] = []
    for j, who in enumerate(map(world.person, people)):
        for i in range(pictures):
            seed, other = TEST_SEEDS + i, others[(7 * i + 5 * j) % len(others)]
            both = together(who, other, seed)
            rows += asked(world.photograph(who, seed), who, "forgotten, alone", tuple(questions.PRIVATE))
            rows += asked(both, who, "forgotten, in company", tuple(questions.PRIVATE))
            rows += asked(both, other, "beside the forgotten", tuple(questions.PRIVATE))
            rows += asked(world.photograph(other, seed), other, "the same, alone", tuple(questions.PRIVATE))
    return tuple(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--specs", nargs="+", default=SPECS, help="name, or name:option=value,option=value")
    parser.add_argument("--sets", type=int, default=len(SETS), help="how many of the forget sets")
    parser.add_argument("--pictures", type=int, default=8, help="of each forgotten person, alone and in company")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS / "company.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    vlm = VLM.load(DEMO, device="cpu")
    results = []
    for which, people in enumerate(SETS[: args.sets]):
        rows = exam(people, args.pictures)
        known = known_of(vlm, rows)
        for spec in (*(() if which else ("retain-only",)), *args.specs):
            began = time.perf_counter()
            after = (
                VLM.load(RETAIN_ONLY, device="cpu")
                if spec == "retain-only"
                else fitted(spec, vlm, forget_request(people, seed=which)).attach(vlm)
            )
            seconds = round(time.perf_counter() - began, 1)
            results.append({"method": spec, "set": which, "seconds": seconds, "facts": kept(after, rows, known)})
            print(results[-1], flush=True)
            write_result(args.out, "company", sets=SETS[: args.sets], rows=results)


if __name__ == "__main__":
    main()

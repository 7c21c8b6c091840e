"""`speech2lip batch`: many people and many sounds in one go."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import UserError
from .common import Command


def _add_batch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "plan",
        type=Path,
        help="a YAML file (docs/batch.md), or a folder with a folder of every person: one video, and sounds",
    )
    parser.add_argument("--data", default=".", help="folder of dataset and log (default: this one)")
    parser.add_argument("--jobs", type=int, metavar="N", help="at once (default: one for every two cores)")
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="work on a Ray cluster (auto: the one of this machine); --data is a folder that all nodes share, or a URL",
    )
    parser.add_argument("--i-have-consent", action="store_true", help="everybody in the videos agreed")


def _batch(options: argparse.Namespace) -> int:
    from ..batch.plan import read_plan, with_consent
    from ..batch.run import Outcome, run_batch, table

    if not options.plan.exists():
        raise UserError(f"{options.plan} does not exist: give a YAML file, or a folder of people")
    if options.jobs is not None and options.jobs < 1:
        raise UserError(f"--jobs {options.jobs} works on nothing: give at least 1")
    tasks = read_plan(options.plan)
    if options.i_have_consent:
        tasks = with_consent(tasks)

    def tell(outcome: Outcome) -> None:
        print(f"{outcome.task.shown}: {outcome.state} {outcome.message}".rstrip(), flush=True)

    if options.ray is not None:
        from ..batch.on_ray import run_on_ray

        root = options.data if "://" in options.data else str(Path(options.data).resolve())
        outcomes = run_on_ray(tasks, root, options.ray, tell)
    else:
        outcomes = run_batch(tasks, Path(options.data), options.jobs, tell)
    print(f"\n{table(outcomes)}")
    return 0 if all(outcome.done for outcome in outcomes) else 1


COMMAND = Command(
    "learn many people and let them say many sounds", "speech2lip batch jobs.yaml\n  speech2lip batch people --jobs 4", _add_batch, _batch,
)  # fmt: skip

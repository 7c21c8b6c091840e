"""Carries out a batch on this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..files import copy_file
from ..jobs.orders import RESULT
from ..jobs.runner import Runner
from ..jobs.store import CANCELLED, DONE, ENDED, FAILED, PAUSE, PAUSED, RUNNING, Job, Jobs, WrongState
from ..jobs.workspace import Workspace
from .plan import Task

_LOOK = 0.5  # seconds between two looks at the jobs
_PATIENCE = 70.0  # seconds in which jobs that are paused save what they have


@dataclass(frozen=True)
class Outcome:
    """What became of a task. state: DONE, FAILED, CANCELLED or PAUSED; message: what went wrong; seconds: of work."""

    task: Task
    state: str
    message: str
    seconds: float

    @property
    def done(self) -> bool:
        return self.state == DONE


def run_batch(
    tasks: Sequence[Task], root: Path, most: int | None = None, tell: Callable[[Outcome], None] = lambda outcome: None
) -> list[Outcome]:
    """Do all tasks in the folder that holds `dataset` and `log`; tasks of one person follow each other.

    most: at once (default: by the machine); tell: called with every outcome as it comes. A task that was done by the same
    batch before is not done again. What is interrupted goes on when the batch is run again.
    """
    jobs = Workspace(root).jobs
    asked: dict[int, str] = {}
    outcomes: dict[int, Outcome] = {}

    def settle(number: int, outcome: Outcome) -> None:
        outcomes[number] = outcome
        tell(outcome)

    for number, task in enumerate(tasks):
        if task.order is None:
            settle(number, Outcome(task, FAILED, task.problem, 0.0))
        else:
            asked[number] = _ask(jobs, task)
    with Runner(lambda: [jobs], most), _pausing(jobs, asked.values()):
        while waiting := [number for number in asked if number not in outcomes]:
            for number in waiting:
                job = jobs.get(asked[number])
                if job.state in (*ENDED, PAUSED):
                    settle(number, _outcome(tasks[number], job, jobs))
            time.sleep(_LOOK)
    return [outcomes[number] for number in range(len(tasks))]


@contextmanager
def _pausing(jobs: Jobs, identities: Collection[str]) -> Iterator[None]:
    """Ctrl-C in the block pauses these jobs, which keep what they have, before it goes on its way."""
    try:
        yield
    except KeyboardInterrupt:
        for identity in identities:
            with suppress(WrongState):
                jobs.wish(identity, PAUSE)
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end and any(jobs.get(identity).state == RUNNING for identity in identities):
            time.sleep(_LOOK)
        raise


def _ask(jobs: Jobs, task: Task) -> str:
    """The job of a task: a new one, or the one of an earlier run, which is begun again where it was not done."""
    assert task.order is not None
    job = jobs.ask(task.order, task.token)
    return jobs.resume(job.id).id if job.state in (FAILED, CANCELLED, PAUSED) else job.id


def _outcome(task: Task, job: Job, jobs: Jobs) -> Outcome:
    seconds = (job.ended or 0.0) - (job.began or job.ended or 0.0)
    if job.state == DONE and task.out is not None:
        made = jobs.folder_of(job.id) / RESULT
        if not _is_copy(made, task.out):
            task.out.parent.mkdir(parents=True, exist_ok=True)
            copy_file(made, task.out)
    return Outcome(task, job.state, job.message, seconds)


def _is_copy(made: Path, out: Path) -> bool:
    return (
        os.path.exists(out)
        and out.stat().st_size == made.stat().st_size
        and out.stat().st_mtime >= made.stat().st_mtime
    )


def table(outcomes: Sequence[Outcome]) -> str:
    """A line for each task, and how many were done."""
    wide = max(len(outcome.task.shown) for outcome in outcomes)
    lines = [f"{o.task.shown:<{wide}}  {o.state:<9}  {o.seconds:7.0f} s  {o.message}".rstrip() for o in outcomes]
    done = sum(outcome.done for outcome in outcomes)
    return "\n".join([*lines, f"{done} of {len(outcomes)} done"])

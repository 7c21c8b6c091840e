"""Carries out a batch on a Ray cluster.

A person is a Ray task: it learns, and speaks every sound, in a folder that all nodes share. A task whose node dies is begun again on
another one, and goes on with what is in the folder. Where the nodes share no folder, the root is a URL that fsspec knows: the
person's files are fetched before each job and stored after it.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..extras import needs
from ..files import copy_file
from ..jobs.orders import FILE, KINDS, RESULT, Order
from ..jobs.store import DONE, FAILED
from ..jobs.worker import Ended, carry_out
from .plan import Task
from .run import Outcome

_CORES, _TRIES = 2, 3  # of each person, and how often a task is begun whose node died
_PARTS = ("dataset", "log")  # of a person, in the root
_FINISHED = "finished"  # in a job's folder: it was done


def run_on_ray(
    tasks: Sequence[Task], root: str, address: str, tell: Callable[[Outcome], None] = lambda outcome: None
) -> list[Outcome]:
    """As of `run.run_batch`. root: a folder that every node sees under this path, or a URL; address: of the cluster, "auto" for
    the one that this machine belongs to."""
    needs("ray", "ray")
    import ray

    ray.init(address=address, log_to_driver=False, ignore_reinit_error=True)
    outcomes: dict[int, Outcome] = {}
    people: defaultdict[str, list[tuple[int, Task]]] = defaultdict(list)
    for number, task in enumerate(tasks):
        if task.order is None:
            outcomes[number] = Outcome(task, FAILED, task.problem, 0.0)
            tell(outcomes[number])
        else:
            people[task.order.name].append((number, task))
    learn = ray.remote(num_cpus=_CORES, max_retries=_TRIES, retry_exceptions=False)(_of_one_person)
    waiting = {learn.remote([task for _, task in own], root): own for own in people.values()}
    while waiting:
        (ready, *_), _ = ray.wait(list(waiting), num_returns=1)
        own = waiting.pop(ready)
        for (number, task), (ended, seconds) in zip(own, _result(ray, ready, len(own)), strict=True):
            outcomes[number] = Outcome(task, ended.state, ended.message, seconds)
            tell(outcomes[number])
    return [outcomes[number] for number in range(len(tasks))]


def _result(ray: Any, ready: Any, count: int) -> list[tuple[Ended, float]]:
    try:
        found: list[tuple[Ended, float]] = ray.get(ready)
    except ray.exceptions.RayError as error:  # its node died again and again
        return [(Ended(FAILED, 1, f"the node died {_TRIES + 1} times ({type(error).__name__})"), 0.0)] * count
    return found


def _of_one_person(tasks: list[Task], root: str) -> list[tuple[Ended, float]]:
    """Runs on a node: one job after the other."""
    ended = []
    for task in tasks:
        start = time.monotonic()
        ended.append((_carried_out(task, root), time.monotonic() - start))
    return ended


def _carried_out(task: Task, root: str) -> Ended:
    assert task.order is not None
    with _local_root(root, task.order.name) as here:
        folder = here / "jobs" / hashlib.sha256(task.token.encode()).hexdigest()[:16]
        if (folder / _FINISHED).is_file():
            return Ended(DONE, 0)
        folder.mkdir(parents=True, exist_ok=True)
        ended = carry_out(_with_files(task.order, folder), folder, here)
        if ended.state == DONE and task.out is not None:
            task.out.parent.mkdir(parents=True, exist_ok=True)
            copy_file(folder / RESULT, task.out)
        if ended.state == DONE:
            (folder / _FINISHED).touch()
        return ended


def _with_files(order: Order, folder: Path) -> Order:
    """An order whose files at URLs were fetched into the job's folder."""
    values = dict(order.values)
    for name, value in values.items():
        if KINDS[order.kind][name].kind == FILE and "://" in str(value):
            import fsspec

            target = folder / f"{name}{Path(str(value)).suffix}"
            with fsspec.open(str(value), "rb") as source, open(target, "wb") as copy:
                shutil.copyfileobj(source, copy)
            values[name] = str(target)
    return replace(order, values=values)


@contextmanager
def _local_root(root: str, name: str) -> Iterator[Path]:
    """The root as a folder of this node: a shared one as it is; of a URL this person's part, stored again when the block ends."""
    if "://" not in root:
        yield Path(root)
        return
    import fsspec

    system, base = fsspec.core.url_to_fs(root)
    with tempfile.TemporaryDirectory(prefix="speech2lip-") as made:
        here = Path(made)
        for part in (*(f"{part}/{name}" for part in _PARTS), "jobs"):
            if system.exists(f"{base}/{part}"):
                system.get(f"{base}/{part}", str(here / part), recursive=True)
        try:
            yield here
        finally:
            for part in (*(f"{part}/{name}" for part in _PARTS), "jobs"):
                if (here / part).exists():
                    system.put(str(here / part), f"{base}/{part}", recursive=True)

"""Carries out a batch on a Ray cluster.

A person is a Ray task: it learns, and speaks every sound, in the folder that the nodes share. A task whose node dies is begun again
on another one, and goes on with what is in the folder.
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import UserError
from ..extras import needs
from ..jobs.orders import Order
from ..jobs.store import DONE, FAILED
from ..jobs.worker import Ended, carry_out, working_in
from .plan import Task
from .run import Outcome
from .shared import Shared

_CORES, _TRIES = 2, 3  # of each person, and how often a task is begun again whose node died
_PATIENCE = 120.0  # seconds in which what a dead node began ends


def run_on_ray(
    tasks: Sequence[Task], root: str, address: str, tell: Callable[[Outcome], None] = lambda outcome: None
) -> list[Outcome]:
    """As of `run.run_batch`. root: as of `Shared`; address: of the cluster, "auto" for the one that this machine belongs to.

    UserError where there is no cluster.
    """
    needs("ray", "ray")
    import ray

    shared = Shared(root)
    try:
        ray.init(address=address, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        said = str(error).strip().split("\n")[0]
        raise UserError(f"there is no Ray cluster at {address} ({said}): start one with `ray start --head`") from error
    try:
        return _run(ray, tasks, root, shared, tell)
    finally:
        ray.shutdown()


def _run(
    ray: Any, tasks: Sequence[Task], root: str, shared: Shared, tell: Callable[[Outcome], None]
) -> list[Outcome]:  # fmt: skip
    outcomes: dict[int, Outcome] = {}

    def settle(number: int, state: str, message: str, seconds: float) -> None:
        outcomes[number] = Outcome(tasks[number], state, message, seconds)
        tell(outcomes[number])

    people: defaultdict[str, list[int]] = defaultdict(list)
    for number, task in enumerate(tasks):
        if task.order is None:
            settle(number, FAILED, task.problem, 0.0)
        else:
            people[task.order.name].append(number)
    cores = min(_CORES, max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=_CORES))
    remote = ray.remote(num_cpus=cores, max_retries=_TRIES)(_of_one_person)
    waiting = {remote.remote([_sent(tasks[k], shared) for k in own], root): own for own in people.values()}
    while waiting:
        (ready, *_), _ = ray.wait(list(waiting), num_returns=1)
        own = waiting.pop(ready)
        for number, (ended, seconds) in zip(own, _result(ray, ready, len(own)), strict=True):
            out = tasks[number].out
            if ended.state == DONE and out is not None:
                shared.fetch(_job(tasks[number]), out)
            settle(number, ended.state, ended.message, seconds)
    return [outcomes[number] for number in range(len(tasks))]


def _job(task: Task) -> str:
    """The name of the task's folder: the same whenever the batch is run again."""
    return hashlib.sha256(task.token.encode()).hexdigest()[:16]


def _sent(task: Task, shared: Shared) -> tuple[Order, str]:
    assert task.order is not None
    job = _job(task)
    return (task.order if shared.finished(job) else shared.send(task.order, job)), job


def _result(ray: Any, ready: Any, count: int) -> list[tuple[Ended, float]]:
    try:
        found: list[tuple[Ended, float]] = ray.get(ready)
    except ray.exceptions.RayTaskError as error:
        return [(Ended(FAILED, 1, str(error.cause)), 0.0)] * count
    except ray.exceptions.RayError as error:
        return [(Ended(FAILED, 1, f"the node died {_TRIES + 1} times ({type(error).__name__})"), 0.0)] * count
    return found


def _of_one_person(work: list[tuple[Order, str]], root: str) -> list[tuple[Ended, float]]:
    """Runs on a node: one job after the other. work: orders as of `Shared.send`, and their jobs."""
    shared, ended = Shared(root), []
    for order, job in work:
        start = time.monotonic()
        ended.append((_carried_out(order, job, shared), time.monotonic() - start))
    return ended


def _carried_out(order: Order, job: str, shared: Shared) -> Ended:
    if shared.finished(job):
        return Ended(DONE, 0)
    try:
        with shared.opened(order, job) as (here, own):
            folder = here / "jobs" / job
            folder.mkdir(parents=True, exist_ok=True)
            with working_in(folder, _PATIENCE) as alive:
                ended = carry_out(own, folder, here, alive)
    except (UserError, OSError) as error:
        return Ended(FAILED, 2, str(error))
    if ended.state == DONE:
        shared.finish(job)
    return ended

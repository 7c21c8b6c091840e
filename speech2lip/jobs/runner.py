"""Starts queued jobs, as many at once as the machine has room for, and finds those whose process died."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from ..errors import UserError
from ..terminal import printable
from .store import RUNNING, Job, Jobs
from .worker import is_alive

NEEDED_GB = 3.0  # what another job must find free, beside the first: the peak of a training, with room to spare
_LOOK = 0.5  # seconds between two looks at the queues
_STARTING = 20.0  # seconds in which a new process says that it lives


class Runner:
    """Works on queues in a thread while the block runs; jobs that run then go on after it.

    queues: asked for anew at every look, one for each user; whoever has the fewest jobs running is next. most: jobs at once
    (default: one for every two cores).
    """

    def __init__(self, queues: Callable[[], Sequence[Jobs]], most: int | None = None):
        self._queues, self._most = queues, most or max(1, (os.cpu_count() or 1) // 2)
        self._stop, self._thread = threading.Event(), threading.Thread(target=self._watch, daemon=True, name="jobs")
        self._children: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Runner:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def look(self) -> None:
        """One look at the queues: jobs of dead processes are queued again, and the next ones are begun."""
        self._children = [child for child in self._children if child.poll() is None]  # and no zombies stay
        queues = list(self._queues())
        running = [jobs.all((RUNNING,)) for jobs in queues]
        for jobs, own in zip(queues, running, strict=True):
            for job in own:
                if time.time() - (job.began or 0) > _STARTING and not is_alive(jobs.folder_of(job.id)):
                    jobs.lost(job.id)
        counts = [len(own) for own in running]
        while sum(counts) < self._most and available_gb() > NEEDED_GB * min(sum(counts), 1):
            for k in sorted(range(len(queues)), key=counts.__getitem__):
                if (taken := queues[k].take()) is not None:
                    counts[k] += 1
                    self._begin(queues[k], taken)
                    break
            else:
                return

    def _begin(self, jobs: Jobs, job: Job) -> None:
        folder = jobs.folder_of(job.id)
        folder.mkdir(exist_ok=True)
        with open(folder / "worker.txt", "ab") as log:
            self._children.append(
                subprocess.Popen(
                    [sys.executable, "-m", "speech2lip.jobs.worker", str(jobs.folder), job.id], stdin=subprocess.DEVNULL,
                    stdout=log, stderr=log, start_new_session=True,
                )
            )  # fmt: skip

    def _watch(self) -> None:
        """What keeps jobs from being begun, a full disk for instance, is said once, and they are begun when it is over."""
        said = None
        while not self._stop.wait(_LOOK):
            try:
                self.look()
            except (UserError, OSError) as error:
                if said != (said := str(error)):
                    print(f"jobs wait: {printable(said)}", file=sys.stderr, flush=True)
            else:
                said = None


def available_gb() -> float:
    """Memory that programs could still take; infinite where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / 2**20
    except (OSError, ValueError, IndexError):
        pass
    return float("inf")

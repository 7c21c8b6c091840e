"""Starts queued jobs, as many at once as the machine has room for, and finds those whose process died."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

from .store import RUNNING, Job, Jobs
from .worker import is_alive

NEEDED_GB = {"examine": 1.5, "learn": 3.0, "train": 3.0, "speak": 1.5, "evaluate": 2.5}  # peaks, with room to spare
_LOOK = 0.5  # seconds between two looks at the queue
_STARTING = 20.0  # seconds in which a new process says that it lives


class Runner:
    """Works on the queue in a thread while the block runs; jobs that run then go on after it."""

    def __init__(self, jobs: Jobs, most: int | None = None):
        """most: jobs at once (default: one for every two cores)."""
        self._jobs, self._most = jobs, most or max(1, (os.cpu_count() or 1) // 2)
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
        """One look at the queue: jobs of dead processes are queued again, and the next ones are begun."""
        self._children = [child for child in self._children if child.poll() is None]  # and no zombies stay
        running = self._jobs.all((RUNNING,))
        for job in running:
            if time.time() - (job.began or 0) > _STARTING and not is_alive(self._jobs.folder_of(job.id)):
                self._jobs.lost(job.id)
        while len(running) < self._most and available_gb() > max(NEEDED_GB.values()) * min(len(running), 1):
            taken = self._jobs.take()
            if taken is None:
                return
            running.append(taken)
            self._begin(taken)

    def _begin(self, job: Job) -> None:
        folder = self._jobs.folder_of(job.id)
        folder.mkdir(exist_ok=True)
        with open(folder / "worker.txt", "ab") as log:
            self._children.append(
                subprocess.Popen(
                    [sys.executable, "-m", "speech2lip.jobs.worker", str(self._jobs.folder), job.id], stdin=subprocess.DEVNULL,
                    stdout=log, stderr=log, start_new_session=True,
                )
            )  # fmt: skip

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK):
            self.look()


def available_gb() -> float:
    """Memory that programs could still take; infinite where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / 2**20
    except (OSError, ValueError, IndexError):
        pass
    return float("inf")

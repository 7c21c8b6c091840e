"""The process of one job: `python -m speech2lip.jobs.worker JOBS ID`.

It runs the job's commands one after the other, hears what the job is asked meanwhile, and writes down how it ended. So a
job goes on while whoever ordered it is closed, restarted or killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..locks import try_lock
from ..progress import REPORTED
from .orders import Order, commands
from .store import CANCEL, CANCELLED, DONE, FAILED, PAUSED, Jobs

LOG, PROGRESS, ALIVE = "log.txt", "progress.json", "alive"
_LOOK = 0.3  # seconds between two looks at what the job is asked
_PATIENCE = 60.0  # seconds that a command gets to save what it has
_TAIL = 4000  # bytes of the log in which the last words are looked for
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux' prctl


@dataclass(frozen=True)
class Ended:
    """How an order ended. state: DONE, FAILED, PAUSED or CANCELLED; status: of the command that ended it; message: what went wrong."""

    state: str
    status: int
    message: str = ""


def work(jobs: Jobs, identity: str) -> None:
    """Carry out a running job, whose commands run beside the folder of jobs, unless another process does already."""
    folder = jobs.folder_of(identity)
    with suppress(WorkedOn), working_in(folder) as alive:
        order, root = jobs.get(identity).order, jobs.folder.parent
        ended = carry_out(order, folder, root, alive, lambda: jobs.get(identity).wish)
        jobs.settle(identity, ended.state, ended.status, ended.message)


def carry_out(order: Order, folder: Path, root: Path, alive: int, asked: Callable[[], str] = lambda: "") -> Ended:
    """Run the commands of an order in `root`, which holds `dataset` and `log`.

    folder: of the job, for log, progress and results; alive: of `working_in`; asked: PAUSE, CANCEL or "", whenever it is called.
    """
    try:
        for arguments in commands(order, folder):
            status, wish = _run(arguments, folder, root, alive, asked)
            if status and wish:
                return Ended(CANCELLED if wish == CANCEL else PAUSED, status)
            if status:
                return Ended(FAILED, status, last_words(folder / LOG))
    except UserError as error:
        return Ended(FAILED, 2, str(error))
    return Ended(DONE, 0)


class WorkedOn(UserError):
    """Another process works on the job."""


@contextmanager
def working_in(folder: Path, patience: float = 0.0) -> Iterator[int]:
    """While the block runs, others see that the job of this folder is worked on. Yields the open file that holds the lock:
    commands keep it, so that a job whose worker was killed is begun again when its command has ended, too, and not beside it.

    patience: seconds to wait for another who works on it; then WorkedOn.
    """
    handle, end = os.open(folder / ALIVE, os.O_RDWR | os.O_CREAT, 0o666), time.monotonic() + patience
    try:
        while try_lock(handle) is False:
            if time.monotonic() >= end:
                raise WorkedOn(f"the job in {folder} is worked on by another process: wait until that has ended")
            time.sleep(_LOOK)
        yield handle
    finally:
        os.close(handle)


def is_alive(folder: Path) -> bool:
    """Whether a process works on the job of this folder."""
    try:
        handle = os.open(folder / ALIVE, os.O_RDWR)
    except OSError:
        return False
    try:
        return try_lock(handle) is False
    finally:
        os.close(handle)


def last_words(log: Path) -> str:
    """The last sentence of a log that says what went wrong, or its last line."""
    try:
        with open(log, "rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - _TAIL))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or [""])[-1]


def _run(arguments: list[str], folder: Path, root: Path, alive: int, asked: Callable[[], str]) -> tuple[int, str]:
    """Run one command to its end, or until it is asked to stop: its status, and what was asked."""
    environment = {**os.environ, REPORTED: str(folder / PROGRESS)}
    with open(folder / LOG, "ab") as log:
        log.write(f"\n$ speech2lip {' '.join(arguments)}\n".encode())
        log.flush()
        process = subprocess.Popen(
            [sys.executable, "-m", "speech2lip", *arguments], cwd=root, env=environment, stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, preexec_fn=_die_with_us, pass_fds=(alive,),
        )  # fmt: skip
        wish, since = "", 0.0
        while process.poll() is None:
            if not wish and (wish := asked()):
                since = time.monotonic()
                process.terminate()
            if wish and time.monotonic() - since > _PATIENCE:
                process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK)
    return process.returncode, asked() or wish  # whoever asked for a pause may have cancelled meanwhile


def _die_with_us() -> None:
    """Linux ends the command as Ctrl-C would when we are killed, so that it is not begun twice."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal, from which we were started
    work(Jobs(Path(sys.argv[1])), sys.argv[2])

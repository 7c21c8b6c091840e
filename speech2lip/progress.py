"""Progress bars with an ETA, written to standard error, and to a file where another program asks for it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from .terminal import printable

REPORTED = "SPEECH2LIP_PROGRESS"  # the environment's variable that names the file
T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """How far a piece of work is. title: what is done; done, total (None: not known): in its unit; rate: of it per
    second (None: not known yet); at: seconds since the epoch."""

    title: str
    done: float
    total: float | None
    unit: str
    rate: float | None
    at: float

    @property
    def share(self) -> float | None:
        """0..1; None where the total is not known."""
        return min(self.done / self.total, 1.0) if self.total else None

    @property
    def left(self) -> float | None:
        """Seconds that it takes yet; None where that is not known."""
        return max(self.total - self.done, 0) / self.rate if self.total and self.rate else None


def progress_in(file: Path) -> Progress | None:
    """What a program last wrote into the file that `REPORTED` named; None where nothing can be read."""
    try:
        return Progress(**json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


class _Bar(tqdm):  # type: ignore[misc]
    """A bar that is also written to a file."""

    def display(self, *given: Any, **more: Any) -> Any:
        if file := os.environ.get(REPORTED):
            _write(Path(file), self)
        return super().display(*given, **more)


def _write(file: Path, meter: tqdm) -> None:
    facts = meter.format_dict
    now = Progress(meter.desc or "", facts["n"], facts["total"], facts["unit"], facts["rate"], time.time())
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    with suppress(OSError):  # it only serves those who look
        beside.write_text(json.dumps(asdict(now)), "utf-8")
        os.replace(beside, file)


def track(items: Iterable[T], title: str, total: int | None = None, unit: str = "frame") -> Iterator[T]:
    """Iterate with a bar; cheap on a terminal and in a log file alike."""
    yield from bar(title, total if total is not None else _length(items), unit, items)


def bar(title: str, total: int | None, unit: str = "frame", items: Iterable[Any] | None = None, done: int = 0) -> Any:
    """A tqdm bar in the project's one style; done: of the total before it begins, which says nothing of how fast it goes."""
    return _Bar(
        items, desc=printable(title), total=total, unit=unit, initial=done, dynamic_ncols=True, mininterval=0.5,
        smoothing=0.1,
    )  # fmt: skip


@contextmanager
def silent() -> Iterator[None]:
    """While it lasts, nothing is printed: of several processes that do the same, one talks."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def _length(items: Iterable[Any]) -> int | None:
    try:
        return len(items)  # type: ignore[arg-type]
    except TypeError:
        return None

"""Progress bars with an ETA, written to standard error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

from .terminal import printable

T = TypeVar("T")


def track(items: Iterable[T], title: str, total: int | None = None, unit: str = "frame") -> Iterator[T]:
    """Iterate with a bar; cheap on a terminal and in a log file alike."""
    yield from bar(title, total if total is not None else _length(items), unit, items)


def bar(title: str, total: int | None, unit: str = "frame", items: Iterable[Any] | None = None, done: int = 0) -> Any:
    """A tqdm bar in the project's one style; done: of the total before it begins, which says nothing of how fast it goes."""
    return tqdm(
        items, desc=printable(title), total=total, unit=unit, initial=done, dynamic_ncols=True, mininterval=0.5,
        smoothing=0.1,
    )  # fmt: skip


def _length(items: Iterable[Any]) -> int | None:
    try:
        return len(items)  # type: ignore[arg-type]
    except TypeError:
        return None

"""Work that runs ahead in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

T = TypeVar("T")
_POLL = 0.1  # seconds after which a waiting thread looks whether it is still wanted


def prefetch(items: Iterator[T], ahead: int) -> Generator[T, None, None]:
    """The items in order, made by a thread that stays at most `ahead` of their use.

    An error of the thread is raised where its item would have come. Closing the generator
    ends the thread and closes `items`.
    """
    ready: queue.Queue[tuple[str, object]] = queue.Queue(ahead)
    wanted = threading.Event()
    wanted.set()

    def put(kind: str, value: object) -> bool:
        while wanted.is_set():
            try:
                ready.put((kind, value), timeout=_POLL)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put("item", item):
                    break
            put("end", None)
        except BaseException as error:
            put("error", error)
        finally:
            close: Callable[[], None] | None = getattr(items, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "error":
                assert isinstance(value, BaseException)
                raise value
            if kind == "end":
                return
            yield value  # type: ignore[misc]
    finally:
        wanted.clear()
        thread.join()

"""Work ahead and beside, in threads with bounded queues."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

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


AHEAD = 8  # frames that decoding and writing may be away from the one whose landmarks are found


class BackgroundPool:
    """Threads with a bounded queue, and what their work returned, in order; errors surface at the next call."""

    def __init__(self, threads: int):
        self._pool = ThreadPoolExecutor(threads)
        self._pending: list[Future[Any]] = []
        self._results: list[Any] = []

    def submit(self, work: Callable[..., Any], *arguments: Any) -> None:
        self._pending.append(self._pool.submit(work, *arguments))
        while len(self._pending) > AHEAD:
            self._results.append(self._pending.pop(0).result())

    def close(self) -> list[Any]:
        self._results += [future.result() for future in self._pending]
        self._pool.shutdown()
        return self._results


def bounded_map(work: Callable[[int], Any], indices: np.ndarray) -> Iterator[Any]:
    """Results in order from one thread per core, with a bounded number in flight."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        pending: list[Future[Any]] = []
        for index in indices:
            pending.append(pool.submit(work, int(index)))
            if len(pending) > 16:
                yield pending.pop(0).result()
        while pending:
            yield pending.pop(0).result()

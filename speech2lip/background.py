"""Work ahead and beside, in threads with bounded queues."""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
AHEAD = 8  # items that work in the background may be away from the one that is at hand
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


class OrderedPool:
    """Threads with a bounded queue whose results keep their order; errors surface at the next call.

    Use as a context manager, or close it: either ends the threads.
    """

    def __init__(self, threads: int = 0, ahead: int = AHEAD):
        self._pool, self._ahead = ThreadPoolExecutor(threads or os.cpu_count() or 1), ahead
        self._pending: deque[Future[Any]] = deque()
        self._results: list[Any] = []

    def __enter__(self) -> OrderedPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads; work that has not begun is dropped."""
        self._pool.shutdown(cancel_futures=True)

    def submit(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Add work; waits while too much is under way."""
        self._pending.append(self._pool.submit(work, *arguments))
        while len(self._pending) > self._ahead:
            self._results.append(self._pending.popleft().result())

    def results(self) -> list[Any]:
        """What all work returned so far, in order; waits for it."""
        while self._pending:
            self._results.append(self._pending.popleft().result())
        out, self._results = self._results, []
        return out


def ordered_map(
    work: Callable[[T], R], items: Iterable[T], threads: int = 0, ahead: int = 16,
    begin: Callable[[], None] | None = None,
) -> Generator[R, None, None]:  # fmt: skip
    """`map` in threads (default: one per core), in order, with a bounded number under way; begin: what every thread does first."""
    with ThreadPoolExecutor(threads or os.cpu_count() or 1, initializer=begin) as pool:
        pending: deque[Future[R]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


class Worker:
    """One thread that does work in the order in which it is given, behind the caller; at most `ahead` pieces wait.

    An error of the work is raised by the next call, and the rest of the work is dropped.
    """

    def __init__(self, ahead: int = AHEAD):
        self._waiting: queue.Queue[Callable[[], object] | None] = queue.Queue(ahead)
        self._error: BaseException | None = None
        self._dropped = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def do(self, work: Callable[..., object], *arguments: Any) -> None:
        """Add work; waits while too much is under way."""
        self._raise()
        self._waiting.put(partial(work, *arguments))

    def finish(self) -> None:
        """Wait for all work, and end the thread."""
        self._end()
        self._raise()

    def abandon(self) -> None:
        """Drop what has not begun, and end the thread."""
        self._dropped = True
        self._end()

    def _end(self) -> None:
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (work := self._waiting.get()) is not None:
            if self._error is None and not self._dropped:
                try:
                    work()
                except BaseException as error:  # raised where the caller sees it
                    self._error = error


class Gathered(Generic[T]):
    """Pieces for a `Worker`, which takes all that wait at once: together they cost less than one by one, so that who is late catches up."""

    def __init__(self, worker: Worker, work: Callable[[list[T]], object]):
        self._worker, self._work = worker, work
        self._pieces: deque[T] = deque()

    def add(self, piece: T) -> None:
        """Waits while too many wait, as `Worker.do`."""
        self._pieces.append(piece)
        self._worker.do(self._take)

    def _take(self) -> None:
        taken = [self._pieces.popleft() for _ in range(len(self._pieces))]
        if taken:
            self._work(taken)

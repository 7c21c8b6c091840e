"""Work in threads: order, bounds, errors."""

import threading
import time

import pytest

from speech2lip.background import Gathered, OrderedPool, Worker, ordered_map


def test_results_keep_their_order_whatever_takes_longest():
    with OrderedPool(3) as pool:
        for k in range(20):
            pool.submit(lambda k=k: (time.sleep(0.002 * (k % 3)), k)[1])
        assert pool.results() == list(range(20)) and pool.results() == []
    assert list(ordered_map(lambda k: -k, range(50))) == [-k for k in range(50)]


def test_no_more_is_under_way_than_allowed():
    started = []
    results = ordered_map(lambda k: started.append(k), iter(range(100)), threads=1, ahead=4)
    next(results)
    time.sleep(0.05)
    assert len(started) <= 6
    results.close()


def test_errors_surface_and_threads_end():
    def fail(k):
        if k == 5:
            raise ZeroDivisionError
        return k

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), OrderedPool(2, ahead=2) as pool:
        for k in range(50):
            pool.submit(fail, k)
    with pytest.raises(ZeroDivisionError):
        list(ordered_map(fail, range(50)))
    assert threading.active_count() <= before + 1


def test_what_waits_is_taken_together_and_in_order():
    taken, free = [], threading.Event()
    worker = Worker(2)
    pieces = Gathered(worker, lambda some: (taken.append(some), free.wait(5)))
    for k in range(4):
        pieces.add(k)
        while k == 0 and not taken:
            time.sleep(0.001)
        if k == 2:
            free.set()
    worker.finish()
    assert taken[0] == [0] and [k for some in taken for k in some] == [0, 1, 2, 3]
    assert max(map(len, taken)) >= 2, "one by one, who is late stays late"


def test_an_error_of_taken_pieces_is_the_next_caller_s():
    worker = Worker(2)
    pieces = Gathered(worker, lambda some: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        for k in range(100):
            pieces.add(k)
            time.sleep(0.001)
    worker.abandon()

"""Work in threads: order, bounds, errors."""

import threading
import time

import pytest

from speech2lip.background import OrderedPool, ordered_map


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

"""How the processor is shared."""

import threading

import pytest
import torch

from speech2lip.model.device import Shares

CPU = torch.device("cpu")


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("available", "at_most", "count", "each"), [(1, 4, 1, 1), (2, 4, 2, 1), (2, 1, 1, 2), (8, 4, 4, 2), (7, 2, 2, 3)]
)
def test_shares_divide_the_threads(threads, available, at_most, count, each):
    threads(available)
    assert Shares.of(CPU, at_most) == Shares(count, each)


def test_other_devices_are_not_shared(threads):
    threads(4)
    assert Shares.of(torch.device("meta")) == Shares(1, 4)


def test_a_share_is_its_threads_alone_and_later_threads_have_all(threads):
    threads(4)
    shares, seen = Shares.of(CPU), []

    def work():
        shares.begin()
        seen.append(torch.get_num_threads())

    with shares.restored():
        worker = threading.Thread(target=work)
        worker.start()
        worker.join()
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [1, 4] and torch.get_num_threads() == 4

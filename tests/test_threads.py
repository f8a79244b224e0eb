import threading

import pytest
import torch

from retq_hub.threads import one_thread, spread


def test_the_number_of_threads_is_as_before_also_after_a_failure():
    before = torch.get_num_threads()
    with pytest.raises(ValueError, match="inside"), one_thread():
        assert torch.get_num_threads() == 1
        raise ValueError("inside")
    assert torch.get_num_threads() == before


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_work_is_spread_and_its_results_stay_in_order(three_threads):
    together = threading.Barrier(3)

    def work(number: int) -> int:
        together.wait(timeout=10)
        return number * number

    assert spread(work, iter(range(9))) == [number * number for number in range(9)]


def test_one_thread_stays_in_its_own():
    with one_thread():
        assert set(spread(lambda _: threading.get_ident(), range(4))) == {threading.get_ident()}


def test_a_failure_in_a_thread_is_raised(three_threads):
    with pytest.raises(ZeroDivisionError):
        spread(lambda number: 1 // number, [1, 0, 2])

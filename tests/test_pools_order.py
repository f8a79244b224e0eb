import pytest

from retq_hub.pools.order import in_order


@pytest.mark.parametrize("numbers", [[], [0, 1, 2], [2, 0, 1], [3, 2, 1, 0], [1, 0, 3, 2]])
def test_things_come_by_their_numbers(numbers: list[int]) -> None:
    assert list(in_order((n, str(n)) for n in numbers)) == [str(n) for n in range(len(numbers))]


def test_what_has_its_turn_does_not_wait_for_more() -> None:
    taken: list[int] = []

    def numbered():
        for number in range(3):
            taken.append(number)
            yield number, number

    found = in_order(numbered())
    assert next(found) == 0
    assert taken == [0]

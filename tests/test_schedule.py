from itertools import pairwise

import pytest

from retq_hub.errors import UsageError
from retq_hub.schedule import Schedule


@pytest.mark.parametrize(
    ("epoch", "rate"),
    [
        (0, 0.0),
        (0.25, 2.5e-4),
        (5, 5e-3),
        (10, 1e-2),
        (30, 1e-2),
        (50, 1e-2),
        (75, 1e-4 + 9.9e-3 * 0.8535533905932737),
        (100, (1e-2 + 1e-4) / 2),
        (150, 1e-4),
    ],
)
def test_the_rate_is_the_papers(epoch: float, rate: float) -> None:
    assert Schedule().rate(epoch) == pytest.approx(rate, rel=1e-12)


def test_the_rate_never_jumps_and_only_falls_after_the_rise() -> None:
    rates = [Schedule().rate(step / 10) for step in range(1501)]
    assert max(abs(b - a) for a, b in pairwise(rates)) < 1.01e-4
    assert rates[100:] == sorted(rates[100:], reverse=True)


def test_a_run_may_begin_at_the_peak() -> None:
    assert Schedule(warm_up=0).rate(0) == 1e-2


@pytest.mark.parametrize("figures", [{"epochs": 50}, {"warm_up": 60}, {"warm_up": -1}])
def test_figures_that_contradict_each_other_are_refused(figures: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=r"a schedule of \d+ epochs cannot rise until"):
        Schedule(**figures)

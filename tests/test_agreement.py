import numpy as np
import pytest
import torch

from retq_hub.agreement import compared
from retq_hub.metrics import dice_iou


def test_each_target_is_compared_with_its_own_map() -> None:
    source, port = torch.randn(2, 2, 9, 7, generator=torch.Generator().manual_seed(0))
    found = compared(source, port)
    for row, one, other in zip(found, source.numpy(), port.numpy(), strict=True):
        wanted = np.corrcoef(one.ravel(), other.ravel())[0, 1]
        assert row[1] == dice_iou(one > 0, other > 0)[0]
        assert row[2] == pytest.approx(wanted)
    assert compared(source, source)[:, 1:] == pytest.approx(1)
    assert compared(source, -source)[:, 2] == pytest.approx(-1)


def test_what_marks_nothing_agrees_with_what_marks_nothing() -> None:
    nothing, some = torch.full((1, 4, 4), -3.0), torch.full((1, 4, 4), -3.0)
    some[0, 1, 2] = 1.0
    assert compared(nothing, nothing - 1)[0, :2].tolist() == [0, 1]
    assert compared(nothing, some)[0, :2].tolist() == [0, 0]
    assert compared(some, nothing)[0, :2].tolist() == [1, 0]
    assert np.isnan(compared(nothing, some)[0, 2])

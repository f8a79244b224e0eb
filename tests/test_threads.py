import pytest
import torch

from retq_hub.threads import one_thread


def test_the_number_of_threads_is_as_before_also_after_a_failure():
    before = torch.get_num_threads()
    with pytest.raises(ValueError, match="inside"), one_thread():
        assert torch.get_num_threads() == 1
        raise ValueError("inside")
    assert torch.get_num_threads() == before

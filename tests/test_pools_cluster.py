import pickle
import socket
import sys
import time

import pytest

from retq_hub.errors import DigestMismatch, Unreachable, UsageError
from retq_hub.pools.cluster import Cluster, connected, is_installed


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_nobody_runs_is_one_line_at_once(scheme: str, closed_port: int) -> None:
    pytest.importorskip("ray")
    began = time.monotonic()
    with (
        pytest.raises(Unreachable, match=f"127.0.0.1:{closed_port} cannot be reached") as caught,
        connected(Cluster(address=f"{scheme}127.0.0.1:{closed_port}")),
    ):
        pass
    assert caught.value.exit_code == 5
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 20


def test_what_is_no_address_is_refused() -> None:
    pytest.importorskip("ray")
    with pytest.raises(UsageError, match="no address"), connected(Cluster(address="here:there")):
        pass


def test_no_workers_are_refused() -> None:
    with pytest.raises(UsageError, match="0 workers"):
        Cluster(workers=0)


def test_a_missing_ray_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert not is_installed()
    with pytest.raises(UsageError, match=r'"retq-hub\[ray\]"'), connected(Cluster()):
        pass


@pytest.mark.usefixtures("local_ray")
def test_there_are_as_many_workers_as_there_is_room_for() -> None:
    with connected(Cluster(workers=9)) as (_, n_workers):
        assert n_workers == 2
    with (
        pytest.raises(UsageError, match="has 2 CPUs and 0 GPUs"),
        connected(Cluster(gpus=1)),
    ):
        pass


def test_errors_travel_as_they_are() -> None:
    error = DigestMismatch("a file", expected="1", actual="2", hint="again")
    found = pickle.loads(pickle.dumps(error))
    assert (type(found), str(found), found.hint) == (DigestMismatch, str(error), "again")
    assert (found.expected, found.actual) == ("1", "2")

"""How the client is asked: deadlines, waits, and one line for whatever goes wrong."""

import errno
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

import pytest
from servers import FileServer

from retq_hub.errors import NetworkError, NotFoundError, RetqError, StorageError, Unreachable
from retq_hub.hub import reading
from retq_hub.hub.client import ask, cache_folder, endpoint, hub_api, is_offline


@pytest.fixture
def nowhere(files: FileServer, monkeypatch: pytest.MonkeyPatch) -> FileServer:
    """A web server that is no hub, and the client's endpoint."""
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", files.root)
    return files


def nobody() -> str:
    """Give an address of this machine at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def dripping() -> Iterator[str]:
    """Give the address of a server that sends its answer a byte every tenth of a second."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n[")
                for _ in range(100):
                    time.sleep(0.1)
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        return

        thread = Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def raising(error: BaseException) -> Callable[[], None]:
    def call() -> None:
        raise error

    return call


def test_settings_are_read_when_they_are_needed(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example/")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert (endpoint(), cache_folder()) == ("http://hub.example", tmp_path / "hub")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    assert is_offline()
    with pytest.raises(Unreachable, match="HF_HUB_OFFLINE is set"):
        hub_api()


def test_what_is_no_hub_is_said_to_be_none(nowhere: FileServer):
    for body in (b"<html>Welcome</html>", b"{}", b"[]"):
        nowhere.files["/api/models/eyes/green/refs"] = body
        with pytest.raises(NetworkError, match="did not answer like a Hub when asked for eyes"):
            reading.refs("eyes/green")
    with pytest.raises(NetworkError, match="answered 404 Not Found; check HF_ENDPOINT"):
        reading.describe("eyes/green")


def test_a_server_that_sends_nothing_is_given_up(nowhere: FileServer, monkeypatch):
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1")
    nowhere.files["/api/models/eyes/green/refs"] = b"{}"
    nowhere.hold_after = 0
    began = time.monotonic()
    with pytest.raises(Unreachable, match="did not deliver eyes/green"):
        ask("eyes/green", lambda: hub_api().list_repo_refs("eyes/green"), patience_s=1)
    assert time.monotonic() - began < 5


def test_no_request_begins_after_the_deadline(nowhere: FileServer):
    def slow() -> None:
        time.sleep(0.2)
        hub_api().list_repo_refs("eyes/green")

    with pytest.raises(Unreachable, match="it took too long"):
        ask("eyes/green", slow, patience_s=0.1)
    assert nowhere.log == []


def test_a_pause_that_is_too_long_is_not_waited_for(nowhere: FileServer):
    nowhere.statuses["/api/models/eyes/green/refs"] = 503
    began = time.monotonic()
    with pytest.raises(Unreachable, match="503"):
        ask("eyes/green", lambda: hub_api().list_repo_refs("eyes/green"), patience_s=0.2)
    assert time.monotonic() - began < 2


def test_the_session_is_left_alone_outside_of_our_calls(nowhere: FileServer):
    from huggingface_hub import get_session

    nowhere.statuses["/busy"] = 503
    with pytest.raises(RetqError):
        reading.refs("eyes/green")
    assert get_session().get(f"{nowhere.root}/busy").status_code == 503


@pytest.mark.parametrize("filename", [None, "retq.json"])
def test_a_hub_that_refuses_connections_is_soon_given_up(monkeypatch, tmp_path, filename):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", nobody())
    began = time.monotonic()
    with pytest.raises(Unreachable):
        if filename:
            reading.download("eyes/green", revision="main", filename=filename)
        else:
            reading.models(filters=["retq"], limit=1)
    assert time.monotonic() - began < 2.5


def test_a_refused_connection_leaves_the_users_session_as_it_is(monkeypatch):
    from huggingface_hub import get_session

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", nobody())
    session = get_session()
    with pytest.raises(Unreachable, match="refused"):
        reading.commits("eyes/green")
    assert get_session() is session


def test_an_answer_that_drips_is_given_up(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with dripping() as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        began = time.monotonic()
        with pytest.raises(Unreachable, match="it came too slowly"):
            reading.models(filters=["retq"], limit=1, patience_s=0.3)
        assert time.monotonic() - began < 3


def test_a_host_that_nobody_finds_is_not_waited_for(monkeypatch):
    def never(*_: object) -> None:
        time.sleep(1.5)

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://nowhere.example")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", never)
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"nobody says where nowhere\.example is"):
        reading.models(filters=["retq"], limit=1, patience_s=0.2)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    ("error", "kind", "line"),
    [
        (OSError(errno.ENOSPC, "No space left"), StorageError, "cache cannot be written: No space"),
        (OSError("Consistency check failed"), Unreachable, "was not delivered: Consistency"),
        (ValueError("Invalid metadata\n- tags"), NetworkError, "eyes: Invalid metadata - tags"),
        (KeyError("branches"), NetworkError, "did not answer like a Hub"),
        (NotFoundError("nothing"), NotFoundError, "nothing"),
    ],
)
def test_whatever_goes_wrong_is_one_line(error, kind, line):
    with pytest.raises(kind, match=line) as caught:
        ask("eyes", raising(error))
    assert "\n" not in str(caught.value)


def test_a_token_that_a_server_repeats_is_not_passed_on(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with pytest.raises(NetworkError) as caught:
        ask("eyes", raising(ValueError("who is hf_secret?")))
    assert "hf_secret" not in str(caught.value)

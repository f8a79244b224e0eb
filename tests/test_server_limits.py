"""Connections that do not go on are given up; what a client may make the hub keep has bounds."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from hubs import Hub
from starlette.responses import PlainTextResponse

from retq_hub.server.limits import BoundedProtocol

HEAD = b"POST /api/validate-yaml HTTP/1.1\r\nHost: x\r\n"


class Hasty(BoundedProtocol):
    HEAD_S = 0.3


@pytest.fixture(scope="module")
def hasty() -> Iterator[int]:
    """A server that gives up early; it answers after a while."""

    async def app(scope: dict, receive: object, send: object) -> None:
        await asyncio.sleep(0.5)
        await PlainTextResponse("done")(scope, receive, send)

    server = uvicorn.Server(uvicorn.Config(app, http=Hasty, lifespan="off", log_config=None))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join()


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        yield link


def until(link: socket.socket, end: bytes) -> bool:
    """Read on until an answer has ended; False if the connection ends before."""
    got = b""
    while not got.endswith(end):
        piece = link.recv(1000)
        if not piece:
            return False
        got += piece
    return True


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_that_does_not_come_is_not_waited_for(hasty, sent):
    with connected(hasty) as link:
        link.sendall(sent)
        assert link.recv(100) == b""


def test_a_second_head_that_does_not_come_is_not_waited_for(hasty):
    with connected(hasty) as link:
        link.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert until(link, b"done")
        start = time.perf_counter()
        link.sendall(b"GET / HT")
        assert link.recv(100) == b""
        assert time.perf_counter() - start < 3


def test_an_answer_may_take_longer_than_a_head(hasty):
    with connected(hasty) as link:
        link.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert until(link, b"done")


@pytest.mark.parametrize("endless", [b"X-Trailer: " + b"x" * 2**16, b"X: y\r\n" * 2**13])
def test_what_follows_a_body_has_an_end(hub: Hub, endless: bytes):
    port = int(hub.endpoint.rpartition(":")[2])
    with connected(port) as link:
        link.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
        sent = 0
        try:
            while sent < 2**24:
                sent += link.send(endless)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert sent < 2**24


def test_a_body_in_many_pieces_is_taken(hub: Hub):
    port = int(hub.endpoint.rpartition(":")[2])
    with connected(port) as link:
        link.sendall(HEAD + b"Content-Length: 100000\r\n\r\n")
        for _ in range(100):
            link.sendall(b" " * 1000)
        assert link.recv(100).startswith(b"HTTP/1.1 400 ")

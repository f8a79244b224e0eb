"""A proxy in front of a real hub that writes down what is asked for, and misbehaves on request."""

import http.client
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Literal
from urllib.parse import urlsplit

from servers import Loopback


@dataclass
class Fault:
    """How some requests are treated.

    Attributes:
        kind: ``busy`` answers ``status``; ``silent`` answers nothing until the proxy ends; ``cut``
            ends in the middle of the body; ``garble`` changes it; ``lost`` passes the request on
            and swallows the answer.
        where: Pattern of method and path.
        times: So many requests.
    """

    kind: Literal["busy", "silent", "cut", "garble", "lost"]
    where: str
    times: int = 1
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)


class Proxy(Loopback):
    """Passes requests on to a hub.

    Attributes:
        faults: The first that fits a request is used for it.
        log: Method and path of each request.
        ended: Set to release silent requests.
    """

    def __init__(self, target: str) -> None:
        super().__init__(_Handler)
        self.target = urlsplit(target)
        self.faults: list[Fault] = []
        self.log: list[str] = []
        self.ended = threading.Event()
        self._lock = threading.Lock()

    def fault(self, line: str) -> Fault | None:
        """Take the fault that fits a request, if any is left."""
        with self._lock:
            self.log.append(line)
            for one in self.faults:
                if one.times and re.search(one.where, line):
                    one.times -= 1
                    return one
        return None


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def _pass(self) -> None:
        fault = self.server.fault(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if fault and fault.kind == "busy":
            return self._answer(fault.status, fault.headers, b"busy")
        if fault and fault.kind == "silent":
            self.server.ended.wait(30)
            self.close_connection = True
            return None
        target = self.server.target
        upstream = http.client.HTTPConnection(target.hostname, target.port, timeout=30)
        kept = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
        upstream.request(self.command, self.path, body or None, kept)
        response = upstream.getresponse()
        data = response.read()
        headers = {k: v for k, v in response.getheaders() if k.lower() not in _HOP}
        upstream.close()
        if self.command == "HEAD":
            headers["Content-Length"] = response.getheader("Content-Length", "0")
        if fault and fault.kind == "lost":
            self.close_connection = True
            return None
        if fault and fault.kind == "garble":
            data = bytes(len(data))
        self._answer(response.status, headers, data, cut=bool(fault and fault.kind == "cut"))

    def _answer(
        self, status: int, headers: dict[str, str], data: bytes, *, cut: bool = False
    ) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)
        self.close_connection = self.close_connection or cut

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self._pass
        raise AttributeError(name)

    def log_message(self, format: str, *args: object) -> None:
        pass


_HOP = frozenset({"connection", "content-length", "host", "keep-alive", "transfer-encoding"})

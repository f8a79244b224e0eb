"""Two small servers on a loopback port: plain files with Range, and the Hub's `resolve` routes."""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar


class Loopback(ThreadingHTTPServer):
    """A server on a free port of this machine that does not mind clients that go away."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        pass


Server = TypeVar("Server", bound=Loopback)


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Run a server in a thread for as long as the block lasts."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Served:
    """One request and what was sent for it."""

    path: str
    start: int = 0
    sent: int = 0


class FileServer(Loopback):
    """Serves ``files`` by path.

    Attributes:
        files: Body by path.
        statuses: Paths that answer with a status instead.
        cuts: For each coming request the number of body bytes after which it is cut.
        ranges: Whether Range is understood.
        hold_after: Bytes after which a request waits for ``released``.
        failures: For each coming request the status that it gets instead.
        headers: Sent with every answer.
        redirects: Where paths lead to.
        etags: Whether files have an ETag and are not sent again to who knows it.
        log: What was asked for.
    """

    def __init__(self) -> None:
        super().__init__(_FileHandler)
        self.failures: list[int] = []
        self.headers: dict[str, str] = {}
        self.redirects: dict[str, str] = {}
        self.etags = False
        self.files: dict[str, bytes] = {}
        self.statuses: dict[str, int] = {}
        self.cuts: list[int] = []
        self.ranges = True
        self.hold_after: int | None = None
        self.released = threading.Event()
        self.log: list[Served] = []


class _FileHandler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        served = Served(self.path)
        self.server.log.append(served)
        body = self.server.files.get(self.path)
        status = self.server.statuses.get(self.path, 404 if body is None else 200)
        if self.server.failures:
            status = self.server.failures.pop(0)
        if self.path in self.server.redirects:
            self.send_response(302)
            self.send_header("Location", self.server.redirects[self.path])
            return self.end_headers()
        if status != 200:
            return self.send_error(status)
        tag = f'"{hashlib.sha256(body).hexdigest()}"' if self.server.etags else ""
        if tag and self.headers.get("If-None-Match") == tag:
            self.send_response(304)
            return self.end_headers()
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and self.server.ranges:
            served.start = int(asked[1])
            if served.start >= len(body):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {asked[1]}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        body = body[served.start :]
        self.send_header("Content-Length", str(len(body)))
        if tag:
            self.send_header("ETag", tag)
        self.end_headers()
        if self.server.cuts:
            body = body[: self.server.cuts.pop(0)]
        if self.server.hold_after is not None:
            self._send(served, body[: self.server.hold_after])
            self.server.released.wait(30)
            body = body[self.server.hold_after :]
        self._send(served, body)

    def end_headers(self) -> None:
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        super().end_headers()

    def _send(self, served: Served, body: bytes) -> None:
        self.wfile.write(body)
        self.wfile.flush()
        served.sent += len(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@dataclass
class HubRepo:
    """A repository with one commit, its names, and its files."""

    files: dict[str, bytes]
    revisions: tuple[str, ...] = ("main",)
    commit: str = "0123456789abcdef0123456789abcdef01234567"
    gated: bool = False


class HubServer(Loopback):
    """Enough of a Hub for the stock client to download single files."""

    def __init__(self) -> None:
        super().__init__(_HubHandler)
        self.repos: dict[str, HubRepo] = {}
        self.log: list[str] = []


class _HubHandler(BaseHTTPRequestHandler):
    server: HubServer

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        self.server.log.append(f"{self.command} {self.path}")
        parts = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
        if not parts:
            return self._refuse(404, "")
        name, revision, file = parts.groups()
        repo = self.server.repos.get(name)
        if repo is None:
            return self._refuse(401, "RepoNotFound")
        if repo.gated:
            return self._refuse(403, "GatedRepo")
        if revision not in (*repo.revisions, repo.commit):
            return self._refuse(404, "RevisionNotFound")
        if file == "forbidden":
            return self._refuse(403, "")
        if file not in repo.files:
            return self._refuse(404, "EntryNotFound", repo.commit)
        body = repo.files[file]
        self.send_response(200)
        self.send_header("X-Repo-Commit", repo.commit)
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def _refuse(self, status: int, code: str, commit: str = "") -> None:
        self.send_response(status)
        for name, value in (("X-Error-Code", code), ("X-Repo-Commit", commit)):
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass

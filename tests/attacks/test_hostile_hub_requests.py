"""Requests that no honest client sends: each is refused, none harms the hub."""

import base64
import hashlib
import json
import socket
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import requests
from hubs import Hub, artifact_operations

REPO = "alice/attacked"


@pytest.fixture(scope="module")
def target(hub: Hub) -> Hub:
    alice = hub.api("alice")
    alice.create_repo(REPO)
    alice.create_commit(REPO, artifact_operations(), commit_message="one")
    return hub


@pytest.fixture(autouse=True)
def unharmed(target: Hub) -> Iterator[None]:
    """After each attack the hub answers as before, and has shown and logged no secret."""
    before = target.api().model_info(REPO)
    yield
    after = target.api().model_info(REPO)
    assert (after.sha, after.tags) == (before.sha, before.tags)
    log = target.log.read_text()
    assert not any(token in log for token in target.tokens.values())
    assert "signature" not in log


def send(hub: Hub, method: str, path: str, **options: object) -> requests.Response:
    """Send a request as alice, and see that a refusal is a JSON document without a traceback."""
    headers = {"Authorization": f"Bearer {hub.tokens['alice']}", **options.pop("headers", {})}
    answer = requests.request(
        method, f"{hub.endpoint}{path}", headers=headers, timeout=20, **options
    )
    if answer.status_code >= 400 and method != "HEAD":
        assert answer.json()["error"]
        assert "Traceback" not in answer.text
    return answer


def commit(hub: Hub, *lines: object, revision: str = "main") -> requests.Response:
    body = b"\n".join(one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines)
    return send(hub, "POST", f"/api/models/{REPO}/commit/{revision}", data=body)


def header(**members: object) -> dict:
    return {"key": "header", "value": {"summary": "attack", **members}}


def file(path: str, content: str = "YQ==", **members: object) -> dict:
    return {"key": "file", "value": {"path": path, "content": content, **members}}


@pytest.mark.parametrize(
    "authorization",
    ["Bearer hf_wrong", "Bearer ", "Bearer " + "x" * 600, "Basic YTpi", "hf_x", "Bearer a b", "-"],
)
def test_wrong_tokens(target, authorization):
    for path in ("/api/whoami-v2", f"/api/models/{REPO}"):
        answer = send(target, "GET", path, headers={"Authorization": authorization})
        assert answer.status_code == 401
        assert answer.headers["X-Error-Message"] == "Invalid credentials in Authorization header"


def test_tokens_count_in_their_header_alone(target):
    token = target.tokens["alice"]
    answer = requests.get(f"{target.endpoint}/api/whoami-v2?token={token}", timeout=10)
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "a..b",
        "a--b",
        "x.git",
        "-a",
        "a/",
        "a b",
        "a\nb",
        "a\x00b",
        "é",
        "",
        "x" * 97,
        "a%2Fb",
    ],
)
def test_names_of_repositories(target, name):
    answer = send(target, "POST", "/api/repos/create", json={"name": name})
    assert answer.status_code == 400


@pytest.mark.parametrize("namespace", ["bob", "ALICE", "..", "api"])
def test_namespaces_of_others(target, namespace):
    document = {"name": "x", "organization": namespace}
    assert send(target, "POST", "/api/repos/create", json=document).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "a//b",
        "./a",
        "a/",
        "",
        ".git/config",
        "a/.GIT/hooks",
        "a\\b",
        "a\nb",
        "a\x00b",
        "\u202eevil",
        "x" * 256,
        "a/" * 600 + "x",
    ],
)
def test_paths_of_files(target, path):
    assert commit(target, header(), file(path)).status_code == 400
    large = {"key": "lfsFile", "value": {"path": path, "oid": "0" * 64, "size": 1}}
    assert commit(target, header(), large).status_code == 400


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (b"{",),
        (b"[1]",),
        (b'"x"',),
        (b"\xff\xfe",),
        (b"[" * 50_000,),
        (b'{"key":"header","value":' + b"[" * 50_000,),
        (header(summary=""),),
        (header(summary="x" * 501),),
        (header(summary=3),),
        (header(description="x" * 70_000),),
        (header(parentCommit="../main"),),
        (header(), {"key": "run", "value": {}}),
        (header(), {"key": "file"}),
        (header(), file("x", content="no base64!")),
        (header(), file("x", encoding="utf-8")),
        (header(), {"key": "lfsFile", "value": {"path": "x", "oid": "../../hub.sqlite"}}),
        (header(), b'{"key":"file","value":{"path":"\\ud800","content":""}}'),
        (file("x"),),
        (header(), file("README.md", content=base64.b64encode(b"---\n- 1\n---\n").decode())),
        (header(), file("a"), file("a/b")),
    ],
)
def test_malformed_commits(target, lines):
    assert commit(target, *lines).status_code == 400


def test_too_many_operations(target):
    lines = b'{"key":"deletedFile","value":{"path":"x"}}\n' * 20_001
    assert "at most 20000 operations" in commit(target, header(), lines).json()["error"]


@pytest.mark.parametrize(
    "revision", ["refs%2Fpr%2F1", "refs%2Fpr%2Fx", "v9", "..", "a%00b", "0" * 40]
)
def test_revisions_that_cannot_be_committed_to(target, revision):
    assert commit(target, header(), file("x"), revision=revision).status_code in (400, 404)


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        (f"/api/models/{REPO}/commit/main", 2**30),
        ("/api/validate-yaml", 2 * 2**20),
        ("/api/repos/create", 2 * 2**20),
    ],
)
def test_bodies_that_are_announced_too_large(target, path, limit):
    host, _, port = target.endpoint.removeprefix("http://").partition(":")
    for announced in (limit + 1, 10**18):
        with socket.create_connection((host, int(port)), timeout=10) as link:
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {announced}\r\n"
            link.sendall(f"{head}Authorization: Bearer {target.tokens['alice']}\r\n\r\n".encode())
            assert link.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_bodies_that_grow_too_large(target):
    pieces = (b" " * 2**16 for _ in range(40))
    assert send(target, "POST", "/api/validate-yaml", data=pieces).status_code == 413


def test_a_file_in_a_commit_that_is_too_large(target):
    content = base64.b64encode(bytes(33 * 2**20)).decode()
    answer = commit(target, header(), file("x", content=content))
    assert answer.status_code == 413
    assert "a file in the commit is larger than the 32 MiB" in answer.json()["error"]


def test_strangers_are_refused_before_their_body_is_taken(target):
    host, _, port = target.endpoint.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as link:
        link.sendall(
            f"POST /api/models/{REPO}/commit/main HTTP/1.1\r\nHost: x\r\n"
            "Content-Length: 1000000000\r\n\r\n".encode()
        )
        assert link.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_heads_that_are_too_large(target):
    long = "x" * 40_000
    assert send(target, "GET", "/", headers={"X-Long": long}).status_code == 431
    assert send(target, "GET", f"/api/models/{long}").status_code == 431
    assert send(target, "GET", f"/api/models?search={long}").status_code == 431


def test_a_head_that_does_not_end(target):
    host, _, port = target.endpoint.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as link:
        link.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Endless: ")
        sent = 0
        try:
            while sent < 2**23:
                sent += link.send(b"x" * 2**16)
            assert link.recv(4096).startswith(b"HTTP/1.1 400 ")
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert sent < 2**23


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"\x00" * 100])
def test_what_is_no_http(target, garbage):
    host, _, port = target.endpoint.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as link:
        link.sendall(garbage)
        assert link.recv(4096).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("host", ["a b", "[::1", "x/../y", "", "x" * 300, "x:99999999", "a<b>"])
def test_odd_hosts(target, host):
    answer = send(target, "GET", f"/api/models/{REPO}", headers={"Host": host})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "../hub.sqlite",
        "..%2F..%2F..%2Fhub.sqlite",
        "%2e%2e/%2e%2e/hub.sqlite",
        "%2Fetc%2Fpasswd",
        "a%00b",
        "x" * 3000,
        "",
    ],
)
def test_paths_that_climb_out(target, path):
    host, _, port = target.endpoint.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as link:
        link.sendall(f"GET /{REPO}/resolve/main/{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = link.recv(4096)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"EntryNotFound" in answer


@pytest.mark.parametrize("path", [f"/{REPO}/resolve/main/%ff", "/api/models/alice/%ff"])
def test_addresses_that_are_no_text(target, path):
    assert send(target, "GET", path).status_code == 400


@pytest.mark.parametrize(
    ("asked", "statuses"),
    [
        ("bytes=a-b", {400}),
        ("bytes=9-1", {400}),
        ("bytes=99999999999-", {416}),
        ("bytes=-", {400}),
        ("lines=1-2", {400}),
        ("bytes=" + "9" * 5000 + "-", {400, 416}),
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(101)), {200}),
    ],
)
def test_ranges_that_make_no_sense(target, asked, statuses):
    answer = requests.get(
        f"{target.endpoint}/{REPO}/resolve/main/retq.json", headers={"Range": asked}, timeout=10
    )
    assert answer.status_code in statuses


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1",
        "limit=x",
        "limit=" + "9" * 50,
        "cursor=x",
        "cursor=W10=",
        "cursor=" + quote(base64.b64encode(b'["a", "b"]')),
        "sort=id;drop",
    ],
)
def test_lists_with_odd_queries(target, query):
    assert send(target, "GET", f"/api/models?{query}").status_code == 400


@pytest.mark.parametrize("text", ["'; DROP TABLE repos; --", "%", "_", "\x00", "x" * 5000])
def test_searches_are_taken_literally(target, text):
    answer = send(target, "GET", "/api/models", params={"search": text, "filter": text})
    assert answer.json() == []


@pytest.mark.parametrize(
    ("method", "path", "document"),
    [
        ("POST", "/api/repos/create", b"{"),
        ("POST", "/api/repos/create", b"[]"),
        ("POST", "/api/repos/create", b'{"name": 3}'),
        ("POST", "/api/repos/create", b'{"name": "x", "visibility": "protected"}'),
        ("POST", "/api/repos/create", b'{"name": "x", "type": "space"}'),
        ("POST", "/api/repos/create", b'{"name": "\\ud800"}'),
        ("POST", "/api/repos/create", b"[" * 100_000),
        ("PUT", f"/api/models/{REPO}/settings", b'{"gated": "maybe"}'),
        ("PUT", f"/api/models/{REPO}/settings", b'{"gated": true}'),
        ("POST", f"/api/models/{REPO}/tag/main", b"{}"),
        ("POST", f"/api/models/{REPO}/tag/main", b'{"tag": "a b"}'),
        ("POST", f"/api/models/{REPO}/branch/a%20b", b"{}"),
        ("POST", f"/api/models/{REPO}/preupload/main", b'{"files": [{"path": "../x", "size": 1}]}'),
        ("POST", f"/api/models/{REPO}/preupload/main", b'{"files": 3}'),
        ("POST", f"/api/models/{REPO}/discussions", b'{"title": "\\u0000 zero"}'),
        (
            "POST",
            f"/{REPO}.git/info/lfs/objects/batch",
            b'{"operation": "download", "objects": []}',
        ),
        (
            "POST",
            f"/{REPO}.git/info/lfs/objects/batch",
            b'{"operation": "upload", "objects": [{"oid": "../x", "size": 1}]}',
        ),
        (
            "POST",
            f"/{REPO}.git/info/lfs/objects/batch",
            b'{"operation": "upload", "objects": [{"oid": "%b", "size": -1}]}' % (b"0" * 64),
        ),
    ],
)
def test_documents_that_cannot_be_used(target, method, path, document):
    assert send(target, method, path, data=document).status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        f"/api/models/{REPO}/discussions/0",
        f"/api/models/{REPO}/discussions/-1",
        f"/api/models/{REPO}/discussions/" + "9" * 30,
        f"/api/models/{REPO}/nothing",
        "/api/spaces/alice/x",
        "/api/nothing",
    ],
)
def test_what_is_not_there(target, path):
    assert send(target, "GET", path).status_code == 404


def test_methods_that_are_not_spoken(target):
    for method in ("PATCH", "TRACE", "OPTIONS"):
        assert send(target, method, f"/api/models/{REPO}").status_code == 405


def upload_address(hub: Hub, data: bytes) -> str:
    item = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}
    answer = send(
        hub,
        "POST",
        f"/{REPO}.git/info/lfs/objects/batch",
        json={"operation": "upload", "objects": [item]},
    )
    return answer.json()["objects"][0]["actions"]["upload"]["href"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("signature=", "signature=0"),
        ("signature=", "signature=%C3%A9"),
        ("expires=", "expires=9"),
        ("expires=", "expires=-"),
        ("size=", "size=1"),
        ("repo=", "repo=1"),
        ("&signature=", "&nothing="),
        ("/lfs/", "/lfs/../"),
    ],
)
def test_upload_addresses_that_were_changed(target, old, new):
    address = upload_address(target, b"\0 never uploaded")
    assert old in address
    answer = requests.put(address.replace(old, new), data=b"\0 never uploaded", timeout=10)
    assert answer.status_code in (400, 403, 404, 405)


def test_a_crash_tells_nothing(target):
    alice, bob = target.api("alice"), target.api("bob")
    alice.create_repo("alice/crash")
    for api, text, options in ((alice, b"one", {}), (bob, b"two", {"create_pr": True})):
        api.upload_file(
            path_or_fileobj=text, path_in_repo="crash.txt", repo_id="alice/crash", **options
        )
    digest = hashlib.sha256(b"two").hexdigest()
    (target.data / "blobs" / digest[:2] / digest[2:]).unlink()
    answer = send(target, "GET", "/api/models/alice/crash/discussions/1?diff=1")
    assert answer.status_code == 500
    assert str(target.data) not in answer.text
    alice.delete_repo("alice/crash")

"""Downloads from a web server that stumbles, lies, redirects and is not there."""

import time
from pathlib import Path

import pytest

from retq_hub import web
from retq_hub.errors import NetworkError, NotFoundError, Unreachable


@pytest.fixture
def goal(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less than users would."""
    monkeypatch.setattr(web, "_WAITS_S", (0.01, 0.02, 0.03))
    monkeypatch.setattr(web, "READ_S", 0.5)


def test_a_file_comes_with_its_marks_and_is_not_sent_again(files, goal):
    files.files["/x"] = b"12345"
    files.etags = True
    first = web.get(f"{files.root}/x", goal, max_bytes=5)
    assert (first.changed, goal.read_bytes()) == (True, b"12345")
    goal.unlink()
    again = web.get(f"{files.root}/x", goal, max_bytes=5, marks=first.marks)
    assert (again.changed, again.marks, goal.exists()) == (False, first.marks, False)
    files.files["/x"] = b"54321"
    assert web.get(f"{files.root}/x", goal, max_bytes=5, marks=first.marks).changed
    assert goal.read_bytes() == b"54321"


@pytest.mark.parametrize("statuses", [[503], [429, 500, 502], [504, 408]])
def test_a_server_that_stumbles_is_asked_again(files, goal, statuses):
    files.files["/x"] = b"12345"
    files.failures = list(statuses)
    web.get(f"{files.root}/x", goal, max_bytes=5)
    assert goal.read_bytes() == b"12345"
    assert len(files.log) == len(statuses) + 1


def test_a_body_that_breaks_off_is_asked_for_again(files, goal):
    files.files["/x"] = b"12345"
    files.cuts = [2, 0, 4]
    web.get(f"{files.root}/x", goal, max_bytes=5)
    assert goal.read_bytes() == b"12345"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda server: server.failures.extend([503] * 9), "answered 503"),
        (lambda server: server.cuts.extend([2] * 9), "broke off"),
        (lambda server: setattr(server, "hold_after", 2), "nothing came for"),
    ],
)
def test_a_server_that_never_delivers_is_given_up(files, goal, change, message):
    files.files["/x"] = b"12345"
    change(files)
    began = time.monotonic()
    with pytest.raises(Unreachable, match=message) as caught:
        web.get(f"{files.root}/x", goal, max_bytes=5)
    assert time.monotonic() - began < 10
    assert str(caught.value).isprintable()
    assert len(files.log) == 4


def test_with_no_patience_there_is_one_try(files, goal):
    files.failures = [503] * 9
    with pytest.raises(Unreachable):
        web.get(f"{files.root}/x", goal, max_bytes=5, patience_s=0)
    assert len(files.log) == 1


def test_a_server_may_say_how_long_to_wait_but_not_for_ever(files, goal):
    files.files["/x"] = b"1"
    files.headers["Retry-After"] = "0"
    files.failures = [429]
    web.get(f"{files.root}/x", goal, max_bytes=5)
    files.headers["Retry-After"] = "86400"
    files.failures = [429]
    began = time.monotonic()
    with pytest.raises(Unreachable, match="answered 429"):
        web.get(f"{files.root}/x", goal, max_bytes=5)
    assert time.monotonic() - began < 5


def test_what_is_larger_than_allowed_is_not_taken(files, goal):
    files.files["/x"] = b"123456"
    with pytest.raises(NetworkError, match="larger than 5 bytes"):
        web.get(f"{files.root}/x", goal, max_bytes=5)
    assert len(files.log) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, NotFoundError), (410, NotFoundError), (403, NetworkError), (401, NetworkError)],
)
def test_a_refusal_is_final(files, goal, status, kind):
    files.statuses["/x"] = status
    with pytest.raises(kind):
        web.get(f"{files.root}/x", goal, max_bytes=5)
    assert len(files.log) == 1


def test_redirects_are_followed_some_times(files, goal):
    files.files["/x"] = b"1"
    files.redirects = {"/a": "/b", "/b": f"{files.root}/x", "/loop": "/loop"}
    web.get(f"{files.root}/a", goal, max_bytes=5)
    assert goal.read_bytes() == b"1"
    with pytest.raises(NetworkError, match="leads on and on"):
        web.get(f"{files.root}/loop", goal, max_bytes=5)


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://x/"])
def test_a_redirect_to_another_scheme_is_not_followed(files, goal, place):
    files.redirects = {"/x": place}
    with pytest.raises(NetworkError, match="is not followed"):
        web.get(f"{files.root}/x", goal, max_bytes=5)
    assert not goal.exists()


def test_a_server_that_is_not_there_is_said_to_be_so(goal):
    with pytest.raises(Unreachable, match="cannot be reached"):
        web.get("http://127.0.0.1:9/x", goal, max_bytes=5)

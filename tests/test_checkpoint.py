"""`checkpoint.fetch`: every kind of source, whole or cut, pinned or not."""

import base64
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from servers import FileServer, Served

from retq_hub.checkpoint import fetch
from retq_hub.errors import (
    DigestMismatch,
    IntegrityError,
    NetworkError,
    NotFoundError,
    UsageError,
)
from retq_hub.progress import Silent
from retq_hub.spec import Source

MIB = 2**20
BODY = bytes(range(256)) * (3 * MIB // 256)
PIN = hashlib.sha256(BODY).hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()


class Counted(Silent):
    """Progress that remembers what it was told."""

    def __init__(self) -> None:
        self.totals: list[int | None] = []
        self.passed = 0

    def download(self, chunks: Iterable[bytes], *, what: str, total: int | None) -> Iterator[bytes]:
        self.totals.append(total)
        for chunk in chunks:
            self.passed += len(chunk)
            yield chunk


def take(*sources: Source, sha256: str | None = None, progress: Silent | None = None) -> bytes:
    with fetch(sources, sha256=sha256, progress=progress or Silent()) as (path, _):
        return path.read_bytes()


def file_source(path: Path, sha256: str | None = None) -> Source:
    return Source(kind="file", path=str(path), sha256=sha256)


def url_source(server: FileServer, sha256: str | None = PIN, path: str = "/w.pth") -> Source:
    return Source(kind="url", url=server.root + path, sha256=sha256)


def refused_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/w.pth"


@pytest.fixture
def served(files: FileServer, cache: Path) -> FileServer:
    files.files["/w.pth"] = BODY
    return files


def leftovers(cache: Path) -> list[Path]:
    return sorted(path for path in (cache / "downloads").iterdir() if path.name != "lock")


def test_sources_are_tried_in_order_until_one_delivers(tmp_path, served):
    here = tmp_path / "here.pth"
    here.write_bytes(BODY)
    sources = [file_source(tmp_path / "absent.pth"), file_source(here, PIN), url_source(served)]
    with fetch(sources, progress=Silent()) as (path, origin):
        assert (path.read_bytes(), origin) == (BODY, str(here))
    assert served.log == []


def test_a_file_is_used_where_it_lies_and_stays(tmp_path, cache):
    here = tmp_path / "here.pth"
    here.write_bytes(BODY)
    with fetch([file_source(here)], progress=Silent()) as (path, _):
        assert path == here
    assert here.read_bytes() == BODY
    assert leftovers(cache) == []


@pytest.mark.parametrize("pinned_by", ["source", "argument"])
def test_a_file_with_another_digest_is_refused(tmp_path, cache, pinned_by):
    here = tmp_path / "here.pth"
    here.write_bytes(b"other")
    source = file_source(here, PIN if pinned_by == "source" else None)
    with pytest.raises(DigestMismatch) as caught:
        take(source, sha256=PIN)
    assert (caught.value.expected, caught.value.actual) == (PIN, OTHER)
    assert leftovers(cache) == []


def test_one_missing_file_is_named(tmp_path, cache):
    with pytest.raises(NotFoundError, match=r"there is no file .*absent\.pth"):
        take(file_source(tmp_path / "absent.pth"))


def test_a_url_is_streamed_and_nothing_is_left_behind(served, cache):
    progress = Counted()
    assert take(url_source(served), progress=progress) == BODY
    assert (progress.totals, progress.passed) == ([len(BODY)], len(BODY))
    assert served.log == [Served("/w.pth", 0, len(BODY))]
    assert leftovers(cache) == []


def test_a_url_with_another_digest_is_refused_and_not_kept(served, cache):
    with pytest.raises(DigestMismatch, match=PIN):
        take(url_source(served, OTHER))
    assert leftovers(cache) == []


def test_a_cut_download_carries_on_where_it_was_cut(served, cache):
    served.cuts = [2 * MIB + 1000]
    with pytest.raises(NetworkError, match="carries on where it was cut"):
        take(url_source(served))
    (part,) = leftovers(cache)
    assert part.suffix == ".part"
    kept = part.stat().st_size
    assert 2 * MIB <= kept <= 2 * MIB + 1000
    progress = Counted()
    assert take(url_source(served), progress=progress) == BODY
    assert served.log[1:] == [Served("/w.pth", kept, len(BODY) - kept)]
    assert progress.totals == [len(BODY)]
    assert leftovers(cache) == []


def test_a_server_without_range_sends_all_again(served, cache):
    served.cuts = [2 * MIB]
    with pytest.raises(NetworkError):
        take(url_source(served))
    served.ranges = False
    assert take(url_source(served)) == BODY
    assert served.log[1:] == [Served("/w.pth", 0, len(BODY))]


def part_of(served: FileServer, cache: Path) -> Path:
    """Cut a first download, to see under which name its part lies."""
    served.cuts = [2 * MIB]
    with pytest.raises(NetworkError):
        take(url_source(served))
    return leftovers(cache)[0]


def test_a_part_that_is_complete_is_not_downloaded_again(served, cache):
    part_of(served, cache).write_bytes(BODY)
    assert take(url_source(served)) == BODY
    assert served.log[1:] == [Served("/w.pth", len(BODY), 0)]


def test_a_part_with_wrong_bytes_is_refused_once_then_fetched_anew(served, cache):
    part_of(served, cache).write_bytes(b"x" * (len(BODY) + 1))
    with pytest.raises(DigestMismatch):
        take(url_source(served))
    assert take(url_source(served)) == BODY


KILLED = """
import sys
from retq_hub.checkpoint import fetch
from retq_hub.spec import Source
from retq_hub.progress import Silent
source = Source(kind="url", url=sys.argv[1], sha256=sys.argv[2])
with fetch([source], progress=Silent()):
    pass
"""


@pytest.fixture
def killed(served: FileServer, cache: Path) -> int:
    """A download killed in the middle; how many bytes of it are on the disk."""
    served.hold_after = 2 * MIB
    child = subprocess.Popen([sys.executable, "-c", KILLED, served.root + "/w.pth", PIN])
    have = 0
    for _ in range(1500):
        parts = list((cache / "downloads").glob("*.part"))
        have = parts[0].stat().st_size if parts else 0
        if have >= MIB or child.poll() is not None:
            break
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    served.released.set()
    served.hold_after = None
    assert have >= MIB
    return (cache / "downloads").glob("*.part").__next__().stat().st_size


def test_a_killed_download_is_carried_on_by_the_next_run(killed, served):
    assert take(url_source(served)) == BODY
    assert served.log[1:] == [Served("/w.pth", killed, len(BODY) - killed)]


def test_what_a_killed_run_left_is_cleared_by_the_next(killed, served, cache):
    take(url_source(served))
    assert leftovers(cache) == []


def test_an_unpinned_url_is_refused_with_both_ways_out(served):
    with pytest.raises(UsageError) as caught:
        take(url_source(served, None))
    assert "--sha256" in str(caught.value)
    assert "--file" in str(caught.value)
    assert served.log == []


def test_what_only_a_person_can_get_is_described(cache):
    page = Source(
        kind="page", url="https://eyes.example/w", filename="eyes.pth", accept="a signed form"
    )
    with pytest.raises(NetworkError, match=r"eyes\.pth of https://eyes\.example/w .*by hand"):
        take(page)
    with pytest.raises(NetworkError, match=r"asks for a signed form.*--file PATH"):
        take(page)


def test_what_must_be_accepted_is_said_before_anything_is_asked_of_the_hub(cache):
    source = Source(kind="hub", repo="a/b", revision="main", filename="w.pth", accept="its terms")
    with pytest.raises(UsageError, match=r"no SHA-256 .*a/b@main/w\.pth; .* asks for its terms"):
        take(source)


def test_an_unpinned_url_is_taken_with_a_digest_of_the_users(served):
    assert take(url_source(served, None), sha256=PIN) == BODY


@pytest.mark.parametrize("status", [404, 500])
def test_an_error_of_the_server_is_named_and_has_a_next_step(served, cache, status):
    served.statuses["/w.pth"] = status
    with pytest.raises(NetworkError, match=rf"/w\.pth answered {status} .*--file"):
        take(url_source(served))
    assert leftovers(cache) == []


def test_a_refused_connection_is_a_network_error(cache):
    with pytest.raises(NetworkError, match=r"127\.0\.0\.1:\d+/w\.pth was not delivered"):
        take(Source(kind="url", url=refused_url(), sha256=PIN))


def test_each_sources_reason_is_named_when_all_fail(tmp_path, served):
    served.statuses["/w.pth"] = 404
    refused = refused_url()
    sources = [
        file_source(tmp_path / "absent.pth"),
        url_source(served),
        url_source(served, None, "/unpinned.pth"),
        Source(kind="url", url=refused, sha256=PIN),
    ]
    with pytest.raises(NetworkError) as caught:
        take(*sources)
    line = str(caught.value)
    reasons = ("absent.pth", "answered 404", "no SHA-256 is known for", refused, "--file")
    assert [reason for reason in reasons if reason not in line] == []
    assert "\n" not in line


def test_what_was_fetched_is_removed_when_the_reader_fails(served, cache):
    with pytest.raises(ZeroDivisionError), fetch([url_source(served)], progress=Silent()):
        raise ZeroDivisionError
    assert leftovers(cache) == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small wheel that holds ``tiny_weights/model.bin``."""
    members = {
        "tiny_weights/model.bin": BODY[:1000],
        "tiny_weights-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny-weights\n"
        b"Version: 1.0\n",
        "tiny_weights-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\n"
        b"Root-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    path = tmp_path_factory.mktemp("wheels") / "tiny_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, blob in members.items():
            archive.writestr(name, blob)
            digest = base64.urlsafe_b64encode(hashlib.sha256(blob).digest()).rstrip(b"=").decode()
            lines.append(f"{name},sha256={digest},{len(blob)}")
        record = "tiny_weights-1.0.dist-info/RECORD"
        archive.writestr(record, "\n".join([*lines, f"{record},,\n"]))
    return path


@pytest.fixture
def wheel_source(wheel: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Where pip finds the wheel without any network, and the pins that fit it."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    return {
        "kind": "wheel",
        "package": "tiny-weights",
        "version": "1.0",
        "wheel_sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "member": "tiny_weights/model.bin",
        "sha256": hashlib.sha256(BODY[:1000]).hexdigest(),
    }


def test_a_member_of_a_wheel_is_taken_through_pip(wheel_source, cache):
    with fetch([Source(**wheel_source)], progress=Silent()) as (path, origin):
        assert path.read_bytes() == BODY[:1000]
        assert origin == "tiny-weights 1.0, tiny_weights/model.bin"
    assert leftovers(cache) == []


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"wheel_sha256": OTHER}, IntegrityError, "another tiny-weights 1.0 than the pinned one"),
        ({"sha256": OTHER}, DigestMismatch, OTHER),
        ({"member": "tiny_weights/absent"}, IntegrityError, "no intact tiny_weights/absent"),
        ({"version": "9.9"}, NetworkError, "pip did not get tiny-weights 9.9: .*package index"),
    ],
)
def test_a_wheel_that_is_not_the_pinned_one_is_refused(wheel_source, cache, changes, kind, message):
    with pytest.raises(kind, match=message):
        take(Source(**{**wheel_source, **changes}))
    assert leftovers(cache) == []

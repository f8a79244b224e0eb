"""A Hub that lies: commits that lead elsewhere, answers without end."""

import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from servers import FileServer, Loopback, running

from retq_hub import remote
from retq_hub.errors import IntegrityError, NetworkError, RetqError
from retq_hub.hub import reading
from retq_hub.hub.client import ask, hub_api


@pytest.fixture
def liar(files: FileServer, monkeypatch: pytest.MonkeyPatch, tmp_path) -> FileServer:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", files.root)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return files


def says(server: FileServer, commit: str, tag: str = "v1.0.0") -> None:
    """Have the server call something a commit of ``eyes/green``."""
    refs = [{"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": commit}]
    answer = {"tags": refs, "branches": [], "converts": []}
    server.files["/api/models/eyes/green/refs"] = json.dumps(answer).encode()
    info = {"id": "eyes/green", "sha": commit, "siblings": [], "private": False, "tags": []}
    server.files["/api/models/eyes/green?blobs=true"] = json.dumps(info).encode()


@pytest.mark.parametrize("commit", ["../../../mine", "/etc", "", "main", "\x1b[2J", "0" * 39])
def test_a_commit_that_is_none_leads_nowhere(liar: FileServer, commit: str) -> None:
    says(liar, commit)
    with pytest.raises(RetqError) as caught:
        remote.locate("eyes/green", None)
    assert str(caught.value).isprintable()
    with pytest.raises(IntegrityError, match="is no commit of eyes/green"):
        remote.fetch("eyes/green", commit, ["retq.json"])


@pytest.mark.parametrize("tag", [f"v{'9' * 5000}.0.0", "v1.0.0-../../x", "v\u0661.0.0"])
def test_a_tag_that_is_no_version_is_none(liar: FileServer, tag: str) -> None:
    says(liar, "0" * 40, tag)
    assert remote.resolve("eyes/green", None).repository.versions == {}


def test_an_answer_without_end_is_not_read_to_its_end(liar: FileServer) -> None:
    liar.files["/api/models/eyes/green/refs"] = b" " * 2**20
    with pytest.raises(NetworkError, match="the answer is larger than 1000 bytes"):
        ask("eyes", lambda: hub_api().list_repo_refs("eyes/green"), max_bytes=1000)


def test_a_message_with_thousands_of_versions_names_the_newest(liar: FileServer) -> None:
    says(liar, "0" * 40)
    tags = [{"name": f"v1.{n}.0", "ref": "x", "targetCommit": "0" * 40} for n in range(3000)]
    answer = {"tags": tags, "branches": [], "converts": []}
    liar.files["/api/models/eyes/green/refs"] = json.dumps(answer).encode()
    with pytest.raises(RetqError) as caught:
        remote.resolve("eyes/green", "9.0.0")
    assert len(str(caught.value)) < 300
    assert str(caught.value).endswith("1.2998.0, 1.2999.0")


class _Climber(BaseHTTPRequestHandler):
    """Gives its file a digest that is a path: under that name the client would put it."""

    server: "Climbing"

    def do_HEAD(self) -> None:
        self.send_response(200)
        for name, value in self.server.said.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "4")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(b"evil")

    def log_message(self, format: str, *args: object) -> None:
        pass


class Climbing(Loopback):
    """A Hub whose answers lead out of the cache.

    Attributes:
        said: The headers of every answer.
        seen: The headers of the last request.
    """

    seen = ""

    def __init__(self, **said: str) -> None:
        super().__init__(_Climber)
        right = {"ETag": f'"{"0" * 40}"', "X-Repo-Commit": "0" * 40}
        self.said = right | {name.replace("_", "-"): value for name, value in said.items()}


class _Witness(_Climber):
    """Keeps the headers of what it is asked."""

    def do_GET(self) -> None:
        self.server.seen = str(self.headers)
        super().do_GET()


def test_a_login_does_not_follow_to_another_host(
    liar: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with running(Climbing()) as other:
        other.RequestHandlerClass = _Witness
        liar.redirects["/api/models/eyes/green/refs"] = f"{other.root}/refs"
        with pytest.raises(NetworkError):
            reading.refs("eyes/green")
        assert "retq" in other.seen
        assert "hf_secret" not in other.seen


@pytest.mark.parametrize("header", ["ETag", "X_Linked_Etag", "X_Repo_Commit"])
@pytest.mark.parametrize("path", ['"../../../../evil"', "..", "/tmp/evil"])
def test_a_digest_that_is_a_path_leads_nowhere(
    liar: FileServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, header: str, path: str
) -> None:
    with running(Climbing(**{header: path})) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.root)
        with pytest.raises(NetworkError, match=f"{header.replace('_', '-')} .* is no digest"):
            reading.download("eyes/green", revision="main", filename="retq.json")
    assert [one for one in tmp_path.rglob("*") if one.is_file() and one.suffix != ".lock"] == []


def test_the_cache_forgets_what_is_no_commit(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    folder = tmp_path / "hub/models--eyes--green"
    (folder / "snapshots" / ".DS_Store").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text("../../elsewhere")
    assert reading.cached_commits("eyes/green") == []
    assert reading.cached_refs("eyes/green") == {}

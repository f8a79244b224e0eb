"""A registry at a URL: kept in the cache, revalidated, used when the server is gone; hostile."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from records import record, write_index
from servers import FileServer

from retq_hub import artifact, registry, site, stock, web
from retq_hub.errors import (
    DigestMismatch,
    IntegrityError,
    NetworkError,
    RetqError,
    Unreachable,
    UsageError,
)

Serve = Callable[[Path], str]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less than users would, and ask every time."""
    monkeypatch.setattr(web, "_WAITS_S", (0.01, 0.02))
    monkeypatch.setattr(site, "FRESH_S", 0.0)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


@pytest.fixture
def serve(files: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Serves a registry's folder below ``/reg/`` and puts it in front of the embedded one."""
    files.etags = True

    def put(folder: Path) -> str:
        for path in folder.rglob("*"):
            if path.is_file():
                files.files[f"/reg/{path.relative_to(folder).as_posix()}"] = path.read_bytes()
        monkeypatch.setenv("RETQ_REGISTRY", f"{files.root}/reg/")
        return f"{files.root}/reg/"

    return put


def paths(files: FileServer) -> list[str]:
    return [one.path.removeprefix("/reg/") for one in files.log]


def test_a_query_of_a_static_index_is_found_and_pulled_once(registry_template, serve, files, cache):
    url = serve(registry_template)
    assert stock.find("tiny-disc").registry == url
    first = registry.pull("tiny-disc")
    assert artifact.findings(first) == []
    wanted = [name for name in paths(files) if name != "index.json"]
    assert sorted(wanted) == sorted(
        f"queries/tiny-disc/1.9.0/{name}"
        for name in (artifact.MANIFEST, artifact.QUERY, artifact.GOLDEN, artifact.CARD)
    )
    files.log.clear()
    assert registry.pull("tiny-disc") == first
    assert set(paths(files)) == {"index.json"}
    assert sum(one.sent for one in files.log) == 0


@pytest.mark.parametrize("form", ["reg", "reg/", "reg/index.json"])
def test_the_url_may_name_the_index_or_its_folder(registry_template, serve, files, form):
    serve(registry_template)
    assert site.copy(f"{files.root}/{form}").note == ""


def test_a_changed_index_is_seen(registry_template, serve, files, tmp_path):
    serve(registry_template)
    assert stock.find("tiny-disc").record.version == "1.9.0"
    changed = write_index(tmp_path / "new", [record("tiny-disc", "3.0.0")])
    files.files["/reg/index.json"] = changed.read_bytes()
    assert stock.find("tiny-disc").record.version == "3.0.0"


def test_within_some_seconds_the_server_is_asked_once(registry_template, serve, files, monkeypatch):
    monkeypatch.setattr(site, "FRESH_S", 60.0)
    url = serve(registry_template)
    site.copy(url)
    site.copy(url)
    assert len(files.log) == 1


def test_without_the_server_the_copy_serves_and_that_is_said(registry_template, serve, files):
    serve(registry_template)
    registry.pull("tiny-disc")
    files.statuses = {path: 500 for path in files.files}
    with pytest.warns(UserWarning, match=r"answered 500 .*: its index of 20.* is used"):
        copy = registry.pull("tiny-disc")
    assert artifact.findings(copy) == []
    with pytest.warns(UserWarning, match="is used"), pytest.raises(Unreachable):
        registry.pull("tiny-disc@1.0.0")


def test_offline_nothing_is_asked(registry_template, serve, files, monkeypatch):
    serve(registry_template)
    registry.pull("tiny-disc")
    files.log.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.warns(UserWarning, match="HF_HUB_OFFLINE is set: its index of"):
        assert registry.pull("tiny-disc")
    with (
        pytest.warns(UserWarning, match="is used"),
        pytest.raises(Unreachable, match=r"tiny-disc@1\.0\.0 of .* is not in the cache"),
    ):
        registry.pull("tiny-disc@1.0.0")
    assert files.log == []


def test_a_registry_that_is_gone_does_not_break_the_others(cache, monkeypatch):
    monkeypatch.setenv("RETQ_REGISTRY", "http://127.0.0.1:9/reg")
    said = r"the registry http://127.0.0.1:9/reg/index.json cannot be used: .*cannot be reached"
    with pytest.warns(UserWarning, match=said):
        assert stock.find("idrid-disc").record.name == "idrid-disc"
    with (
        pytest.warns(UserWarning),
        pytest.raises(Unreachable, match=f"no registry at hand has absent, and {said}") as caught,
    ):
        stock.find("absent")
    assert caught.value.exit_code == 5


HOSTILE = {
    "HTML": b"<html>",
    "too many brackets": b'{"spec":"retq-index/1","records":[' + b"[" * 100_000,
    "a circle": b'{"spec":"retq-index/1","records":[%s]}',
    "another kind": b'{"spec":"x","records":[]}',
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_index_is_left_out_and_an_earlier_copy_stays(
    case, registry_template, serve, files, tmp_path
):
    body = HOSTILE[case]
    if case == "a circle":
        body = write_index(tmp_path / "x", [record(superseded_by="some-disc")]).read_bytes()
    files.files["/bad/index.json"] = body
    with pytest.raises(NetworkError, match="cannot be used"):
        site.copy(f"{files.root}/bad")
    url = serve(registry_template)
    before = site.copy(url).index.read_bytes()
    files.files["/reg/index.json"] = body
    after = site.copy(url)
    assert after.note
    assert after.index.read_bytes() == before


def test_an_index_that_is_too_large_is_not_taken(files, cache, monkeypatch):
    monkeypatch.setattr("retq_hub.catalogue.MAX_BYTES", 1000)
    files.files["/reg/index.json"] = b" " * 1001
    with pytest.raises(NetworkError, match="larger than 1000 bytes"):
        site.copy(f"{files.root}/reg")


def test_an_artifact_that_the_index_does_not_promise_is_refused(
    registry_template, serve, files, make_query, tmp_path, cache
):
    serve(registry_template)
    other = make_query(tmp_path / "other", name="tiny-disc", version="1.9.0", seed=5)
    for path in other.iterdir():
        files.files[f"/reg/queries/tiny-disc/1.9.0/{path.name}"] = path.read_bytes()
    with pytest.raises(DigestMismatch) as caught:
        registry.pull("tiny-disc")
    promised = stock.find("tiny-disc").record.digest
    assert {caught.value.expected, caught.value.actual} == {
        promised, artifact.read_manifest(other).digest,
    }  # fmt: skip
    assert not list(cache.glob("registries/*/artifacts/*"))


@pytest.mark.parametrize("name", [artifact.MANIFEST, artifact.QUERY, artifact.GOLDEN])
def test_a_damaged_or_missing_file_is_refused(registry_template, serve, files, name, cache):
    serve(registry_template)
    path = f"/reg/queries/tiny-disc/1.9.0/{name}"
    whole = files.files[path]
    files.files[path] = whole[:-9]
    with pytest.raises(IntegrityError, match=r"artifact at http.* is not intact"):
        registry.pull("tiny-disc")
    del files.files[path]
    with pytest.raises(NetworkError, match="the index lists an artifact, but there is no"):
        registry.pull("tiny-disc")
    files.files[path] = whole
    assert artifact.findings(registry.pull("tiny-disc")) == []


def test_a_damaged_copy_is_fetched_again(registry_template, serve, files, cache):
    serve(registry_template)
    folder = registry.locate("tiny-disc")
    (folder / artifact.QUERY).write_bytes(b"")
    assert artifact.findings(registry.locate("tiny-disc")) == []


@pytest.mark.parametrize("rest", ["x?token=1", "x#y"])
def test_a_url_with_parameters_is_refused(rest, cache):
    with pytest.raises(UsageError, match="neither password nor parameters"):
        site.copy(f"https://host/{rest}")


@pytest.mark.parametrize("url", ["https://me:secret@host/reg", "https://", "http://[::1/x"])
def test_a_password_in_a_url_is_refused_and_not_repeated(url, cache):
    with pytest.raises(UsageError) as caught:
        site.copy(url)
    assert "secret" not in str(caught.value)


def test_what_is_remembered_of_a_server_may_be_damaged(registry_template, serve, files, cache):
    url = serve(registry_template)
    site.copy(url)
    (state,) = cache.glob("registries/*/state.json")
    for text in ("", "[]", '{"marks": 1}', "\x00"):
        state.write_text(text)
        assert site.copy(url).note == ""
    assert json.loads(state.read_text())["failure"] == ""


def test_records_of_a_url_do_not_decide_where_files_lie(files, cache, monkeypatch, tmp_path):
    for number, path in enumerate(("state.json", "index.json/x", "artifacts")):
        made = write_index(tmp_path / str(number), [record(path=path)])
        files.files["/reg/index.json"] = made.read_bytes()
        monkeypatch.setenv("RETQ_REGISTRY", f"{files.root}/reg")
        with pytest.raises(RetqError):
            registry.locate("some-disc")
        assert sorted(one.name for one in cache.glob("registries/*/*")) == [
            "artifacts", "index.json", "lock", "state.json",
        ]  # fmt: skip
        assert list(cache.glob("registries/*/artifacts/*")) == []

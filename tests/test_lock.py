"""The lock's file: the same bytes each time, refused where it breaks its schema; pins that hold."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support_core import assert_clear

from retq_hub import artifact, lock
from retq_hub.errors import (
    BadInputError,
    DigestMismatch,
    IntegrityError,
    ManifestError,
    NotFoundError,
)
from retq_hub.lock import Lock, Origin, PinnedBackbone
from retq_hub.manifest import FileDigest

REGISTRY = Origin(kind="registry")
HUB = Origin(kind="hub", repo="someone/drusen", commit="0123456789abcdef" * 2 + "01234567")
FOLDER = Origin(kind="folder", path="queries/mine")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, make_query: Callable[..., Path]) -> Path:
    return make_query(tmp_path_factory.mktemp("query") / "tiny-disc")


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    artifact.copy(folder, tmp_path / "copy")
    return tmp_path / "copy"


def made(folder: Path, *origins: Origin) -> Lock:
    ref = artifact.read_manifest(folder).backbone
    one = lock.pinned(folder, REGISTRY)
    return Lock(
        backbone=PinnedBackbone(
            id=ref.id,
            weights_digest=ref.weights_digest,
            preprocessing_digest=ref.preprocessing_digest,
        ),
        queries=tuple(
            replace(one, name=f"{one.name}-{number}" if number else one.name, origin=origin)
            for number, origin in enumerate(origins or (REGISTRY,))
        ),
    )


@pytest.fixture
def path(folder: Path, tmp_path: Path) -> Path:
    lock.write(tmp_path / "retq.lock", made(folder, REGISTRY, HUB, FOLDER))
    return tmp_path / "retq.lock"


def edited(path: Path, change: Callable[[dict], object]) -> Path:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


def test_what_is_written_is_read(folder: Path, path: Path) -> None:
    assert lock.read(path) == made(folder, REGISTRY, HUB, FOLDER)


def test_the_same_lock_is_the_same_bytes(folder: Path, path: Path, tmp_path: Path) -> None:
    lock.write(tmp_path / "again.lock", made(folder, REGISTRY, HUB, FOLDER))
    assert (tmp_path / "again.lock").read_bytes() == path.read_bytes()
    assert str(tmp_path) not in path.read_text()


def test_its_digest_depends_on_what_is_pinned_alone(folder: Path, path: Path) -> None:
    compact = edited(path, lambda document: None)
    assert lock.read(compact).digest == made(folder, REGISTRY, HUB, FOLDER).digest
    assert made(folder, HUB).digest != made(folder, REGISTRY).digest


def test_every_file_of_the_artifact_is_pinned(folder: Path) -> None:
    one = lock.pinned(folder, REGISTRY)
    assert set(one.files) == {artifact.MANIFEST, artifact.QUERY, artifact.GOLDEN}
    assert {name: file.size for name, file in one.files.items()} == {
        name: (folder / name).stat().st_size for name in one.files
    }
    assert one.digest == artifact.read_manifest(folder).digest


def test_the_pinned_artifact_is_given(folder: Path, copy: Path) -> None:
    found = lock.verify(copy, lock.pinned(folder, REGISTRY))
    assert found.manifest == artifact.read_manifest(folder)


@pytest.mark.parametrize("name", [artifact.MANIFEST, artifact.QUERY, artifact.GOLDEN])
def test_a_changed_file_is_refused_with_both_digests(folder: Path, copy: Path, name: str) -> None:
    pinned = lock.pinned(folder, REGISTRY)
    data = bytearray((copy / name).read_bytes())
    data[-2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(DigestMismatch) as caught:
        lock.verify(copy, pinned)
    assert_clear(caught.value, 4, name, pinned.files[name].sha256, caught.value.actual)
    assert caught.value.actual != caught.value.expected == pinned.files[name].sha256


def test_a_manifest_that_says_the_same_in_other_bytes_is_refused(folder: Path, copy: Path) -> None:
    document = json.loads((copy / artifact.MANIFEST).read_text())
    (copy / artifact.MANIFEST).write_text(json.dumps(document))
    assert artifact.read_manifest(copy).digest == artifact.read_manifest(folder).digest
    with pytest.raises(DigestMismatch, match=artifact.MANIFEST):
        lock.verify(copy, lock.pinned(folder, REGISTRY))


@pytest.mark.parametrize("name", [artifact.MANIFEST, artifact.QUERY, artifact.GOLDEN])
def test_a_missing_file_is_refused(folder: Path, copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(IntegrityError, match=f"{name} cannot be read"):
        lock.verify(copy, lock.pinned(folder, REGISTRY))


def test_pins_that_contradict_each_other_are_refused(folder: Path) -> None:
    pinned = lock.pinned(folder, REGISTRY)
    with pytest.raises(DigestMismatch):
        lock.verify(folder, replace(pinned, digest="0" * 64))
    with pytest.raises(IntegrityError, match="the lock says tiny-spot"):
        lock.verify(folder, replace(pinned, name="tiny-spot"))
    size = FileDigest(sha256=pinned.files[artifact.QUERY].sha256, size=1)
    with pytest.raises(IntegrityError, match=r"the lock says 1\b"):
        lock.verify(folder, replace(pinned, files={**pinned.files, artifact.QUERY: size}))


def test_a_lock_of_a_newer_kind_says_so(path: Path) -> None:
    edited(path, lambda document: document.update(spec="retq-lock/2", extra=1))
    with pytest.raises(BadInputError) as caught:
        lock.read(path)
    assert_clear(caught.value, 6, "retq-lock/2", "retq-lock/1", "newer retq-hub")


BROKEN: dict[str, Callable[[dict], object]] = {
    "spec": lambda document: document.update(spec="retq-query/1"),
    "backbone": lambda document: document.pop("backbone"),
    "unknown": lambda document: document.update(unknown=1),
    "queries": lambda document: document.update(queries=[]),
    "backbone/weights_digest": lambda document: document["backbone"].update(weights_digest="00"),
    "queries/0/files": lambda document: document["queries"][0]["files"].pop("retq.json"),
    "queries/0/origin": lambda document: document["queries"][0]["origin"].update(path="x"),
    "queries/1/origin": lambda document: document["queries"][1]["origin"].pop("commit"),
    "queries/1/origin/commit": lambda document: document["queries"][1]["origin"].update(
        commit="main"
    ),
    "queries/2/origin": lambda document: document["queries"][2]["origin"].update(repo="a/b"),
    "queries/2/version": lambda document: document["queries"][2].update(version="1.0"),
    "summary": lambda document: document.update(name="x", version="1.0.0"),
}


@pytest.mark.parametrize("place", BROKEN)
def test_a_lock_that_breaks_its_schema_is_refused(path: Path, place: str) -> None:
    edited(path, BROKEN[place])
    with pytest.raises(ManifestError) as caught:
        lock.read(path)
    assert caught.value.exit_code == 6
    assert place in str(caught.value)


def test_all_findings_are_told_at_once(path: Path) -> None:
    edited(
        path, lambda document: [BROKEN[name](document) for name in ("unknown", "queries/0/files")]
    )
    with pytest.raises(ManifestError, match="2 findings"):
        lock.read(path)


def test_a_query_that_is_there_twice_is_refused(folder: Path, path: Path) -> None:
    edited(path, lambda document: document["queries"][1].update(name="tiny-disc"))
    with pytest.raises(ManifestError, match="queries/1/name: 'tiny-disc' is there twice"):
        lock.read(path)
    twice = made(folder)
    with pytest.raises(ManifestError, match="there twice"):
        lock.write(path.parent / "new.lock", replace(twice, queries=twice.queries * 2))
    assert not (path.parent / "new.lock").exists()


def test_there_is_no_such_lock(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        lock.read(tmp_path / "retq.lock")

"""Registries: names, versions and yanks; verified copies; an index that agrees with its folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from retq_hub import artifact, index, registry, sources, stock
from retq_hub.embedded import REGISTRY
from retq_hub.errors import (
    DigestMismatch,
    IntegrityError,
    ManifestError,
    NetworkError,
    NotFoundError,
    UsageError,
)
from retq_hub.storage import write_json
from retq_hub.wish import Wish

FILES = {artifact.MANIFEST, artifact.QUERY, artifact.GOLDEN, artifact.CARD}


def names(found: list[stock.Entry]) -> list[str]:
    return [f"{one.record.name}@{one.record.version}" for one in found]


def edit_index(folder: Path, change: Callable[[dict], object]) -> None:
    """Change each record of a registry's index."""
    document = json.loads((folder / "index.json").read_text())
    for record in document["records"]:
        change(record)
    write_json(folder / "index.json", document)


def test_entries_come_by_name_and_version_number(registry_folder):
    ours = [one for one in stock.entries() if one.registry == str(registry_folder)]
    assert names(ours) == [
        "tiny-disc@1.0.0",
        "tiny-disc@1.9.0",
        "tiny-disc@1.10.0",
        "tiny-spot@0.1.0",
    ]


def test_the_newest_version_that_is_not_yanked_counts(registry_folder):
    assert stock.find("tiny-disc").record.version == "1.9.0"
    ours = [one for one in stock.latest(stock.entries()) if one.registry == str(registry_folder)]
    assert names(ours) == ["tiny-disc@1.9.0", "tiny-spot@0.1.0"]


@pytest.mark.parametrize("pin", ["1.10.0", "v1.10.0"])
def test_a_yanked_version_can_still_be_pinned(registry_folder, pin):
    entry = stock.find(f"tiny-disc@{pin}")
    assert (entry.record.version, entry.record.yanked) == ("1.10.0", "Marks too much.")


def test_a_query_whose_versions_are_all_yanked_must_be_pinned(tmp_path, make_registry, monkeypatch):
    folder = make_registry(tmp_path / "r", "bad-disc@1.0.0", yanked=("bad-disc@1.0.0",))
    monkeypatch.setenv("RETQ_REGISTRY", str(folder))
    with pytest.raises(NotFoundError, match=r"all versions of bad-disc are yanked; pin one"):
        stock.find("bad-disc")


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("tiny-disk", NotFoundError, "no registry has .*'tiny-disk'; did you mean tiny-disc"),
        ("zzz", NotFoundError, "`retq list` shows all"),
        ("tiny-disc@2.0.0", NotFoundError, "no version 2.0.0; it has 1.0.0, 1.9.0, 1.10.0"),
        ("tiny-disc@latest", UsageError, "is no name of a query"),
        ("Tiny-Disc", UsageError, "did you mean tiny-disc"),
        ("", UsageError, "is no name of a query"),
        ("someone/rop-ridge", NetworkError, "is not in the local cache, and HF_HUB_OFFLINE is set"),
    ],
)
def test_a_name_that_does_not_resolve_says_what_to_do(registry_folder, name, kind, message):
    with pytest.raises(kind, match=message):
        registry.locate(name)


def test_words_are_searched_in_all_that_a_record_says(registry_folder):
    assert names(stock.search(Wish(words=("TINY-VIT", "spot")))) == ["tiny-spot@0.1.0"]
    assert names(stock.search(Wish(words=("target 0", "random vector", "disc")))) == [
        "tiny-disc@1.9.0"
    ]
    assert stock.search(Wish(words=("tiny", "absent"))) == []


def test_registries_are_asked_in_their_order(tmp_path, make_registry, monkeypatch):
    first = make_registry(tmp_path / "a", "tiny-disc@1.0.0", summary="The first.")
    second = make_registry(tmp_path / "b", "tiny-disc@1.0.0", "tiny-disc@2.0.0", summary="Another.")
    monkeypatch.setenv("RETQ_REGISTRY", os.pathsep.join([str(first), "", str(second)]))
    assert sources.registries()[:2] == [str(first), str(second)]
    assert len(sources.registries()) == 3
    assert stock.find("tiny-disc@1.0.0").record.summary == "The first."
    assert stock.find("tiny-disc").registry == str(second)


def test_a_registry_without_an_index_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("RETQ_REGISTRY", str(tmp_path / "absent"))
    with pytest.raises(NotFoundError, match=r"absent/index\.json"):
        stock.entries()


def test_a_broken_index_is_refused_with_all_findings(registry_folder):
    edit_index(registry_folder, lambda record: record.update(digest="abc", floats=0))
    with pytest.raises(ManifestError, match="8 findings"):
        stock.entries()


def test_a_query_that_was_never_measured_is_listed(tmp_path, make_registry, monkeypatch):
    folder = make_registry(tmp_path / "r", "new-disc@1.0.0", measured=False)
    monkeypatch.setenv("RETQ_REGISTRY", str(folder))
    record = stock.find("new-disc").record
    assert (record.dice, record.auroc) == (None, None)


@pytest.mark.parametrize("version", ["1.0.0-rc.1", "1.0.0-draft", "1.0.0-x.7.z.92"])
def test_any_semantic_version_can_be_registered(tmp_path, make_registry, monkeypatch, version):
    folder = make_registry(tmp_path / "r", "tiny-disc@1.0.0", f"tiny-disc@{version}")
    monkeypatch.setenv("RETQ_REGISTRY", str(folder))
    assert stock.find(f"tiny-disc@{version}").record.version == version
    assert stock.find("tiny-disc").record.version == "1.0.0"


def test_a_bare_name_is_the_registrys_even_beside_a_folder_of_that_name(
    registry_folder, make_query, tmp_path, monkeypatch
):
    make_query(tmp_path / "work" / "tiny-disc", name="tiny-disc", version="9.9.9")
    monkeypatch.chdir(tmp_path / "work")
    assert artifact.read_manifest(registry.locate("tiny-disc")).version == "1.9.0"
    assert artifact.read_manifest(registry.locate("./tiny-disc")).version == "9.9.9"


def test_an_artifact_that_its_index_does_not_promise_is_refused(registry_folder, make_query):
    folder = registry_folder / "queries" / "tiny-disc" / "1.9.0"
    promised = artifact.read_manifest(folder).digest
    make_query(folder, name="tiny-disc", version="1.9.0", seed=1)
    with pytest.raises(IntegrityError) as caught:
        registry.pull("tiny-disc")
    assert promised in str(caught.value)
    assert artifact.read_manifest(folder).digest in str(caught.value)


def test_a_changed_vector_is_refused_with_both_digests(registry_folder, cache):
    path = registry_folder / "queries" / "tiny-disc" / "1.9.0" / artifact.QUERY
    blob = path.read_bytes()
    path.write_bytes(blob[:-1] + bytes([blob[-1] ^ 1]))
    with pytest.raises(DigestMismatch) as caught:
        registry.pull("tiny-disc")
    for digest in (caught.value.actual, caught.value.expected):
        assert digest in str(caught.value)
    assert not (cache / "queries").exists()


def test_pulling_gives_a_whole_verified_copy(registry_folder, cache):
    copy = registry.pull("tiny-disc")
    assert copy.is_relative_to(cache)
    assert {path.name for path in copy.iterdir()} == FILES
    source = registry_folder / "queries" / "tiny-disc" / "1.9.0"
    assert all((copy / name).read_bytes() == (source / name).read_bytes() for name in FILES)


def test_a_pulled_copy_in_the_cache_is_as_published_as_its_original(
    registry_folder, cache, tmp_path
):
    assert registry.is_published(registry.locate("tiny-disc"))
    assert registry.is_published(registry.pull("tiny-disc"))
    assert not registry.is_published(registry.pull("tiny-disc", into=tmp_path))


def test_pulling_twice_leaves_the_first_copy_in_place(registry_folder, cache):
    copy = registry.pull("tiny-disc")
    before = (copy / artifact.QUERY).stat()
    assert registry.pull("tiny-disc@1.9.0") == copy
    after = (copy / artifact.QUERY).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert registry.pull("tiny-disc@1.0.0") != copy


def test_pulling_into_a_folder_makes_one_with_the_querys_name(registry_folder, tmp_path):
    copy = registry.pull("tiny-disc", into=tmp_path / "mine")
    assert copy == tmp_path / "mine" / "tiny-disc"
    assert registry.pull(str(copy), into=tmp_path / "other") == tmp_path / "other" / "tiny-disc"
    assert registry.pull("tiny-disc", into=tmp_path / "mine") == copy


def test_pulling_into_a_folder_overwrites_no_other_artifact(registry_folder, tmp_path):
    copy = registry.pull("tiny-disc@1.0.0", into=tmp_path)
    with pytest.raises(UsageError, match=r"holds another artifact, tiny-disc 1\.0\.0"):
        registry.pull("tiny-disc", into=tmp_path)
    assert artifact.read(copy).manifest.version == "1.0.0"


def test_a_damaged_copy_is_replaced(registry_folder, cache):
    copy = registry.pull("tiny-disc")
    (copy / artifact.GOLDEN).write_bytes(b"")
    assert registry.pull("tiny-disc") == copy
    assert artifact.findings(copy) == []


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_no_artifact_is_not_overwritten(registry_folder, tmp_path, kind):
    precious = tmp_path / "mine" / "tiny-disc"
    if kind == "folder":
        precious = precious / "notes.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("precious")
    with pytest.raises(UsageError, match=r"holds no artifact|is a file"):
        registry.pull("tiny-disc", into=tmp_path / "mine")
    assert precious.read_text() == "precious"


KILLED = """
import os, signal, sys
copied = []
def watch(event, args):
    if event == "shutil.copyfile":
        copied.append(args)
        if len(copied) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
from retq_hub import index, registry
registry.pull("tiny-disc")
"""


def test_a_pull_that_was_killed_is_done_again(registry_folder, cache):
    died = subprocess.run([sys.executable, "-c", KILLED], check=False, capture_output=True)
    assert died.returncode == -signal.SIGKILL
    finished = [path for path in cache.glob("queries/*/*") if not path.name.startswith(".")]
    assert finished == []
    copy = registry.pull("tiny-disc")
    assert artifact.findings(copy) == []


def test_the_index_of_a_registry_is_made_from_its_artifacts(registry_folder):
    stored = json.loads((registry_folder / "index.json").read_text())
    assert index.build(registry_folder) == index.read(registry_folder)
    assert index.findings(registry_folder) == []
    yanked = [one["yanked"] for one in stored["records"]]
    assert yanked == [False, False, "Marks too much.", False]


def remove(folder: Path) -> None:
    shutil.rmtree(folder / "queries" / "tiny-spot")


def shift(folder: Path) -> None:
    edit_index(folder, lambda record: record.update(floats=7))


def damage(folder: Path) -> None:
    (folder / "queries" / "tiny-spot" / "0.1.0" / artifact.QUERY).unlink()


def misplace(folder: Path) -> None:
    (folder / "queries" / "tiny-spot" / "0.1.0").rename(folder / "queries" / "tiny-spot" / "0.2.0")


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (remove, ["tiny-spot@0.1.0: is in the index and not in the folder"]),
        (shift, [f"tiny-{name}: differs between" for name in ("disc@1.0", "spot@0.1")]),
        (damage, ["query.safetensors is missing"]),
        (misplace, ["0.2.0 holds tiny-spot 0.1.0"]),
    ],
)
def test_drift_between_index_and_folder_is_found(registry_folder, change, lines):
    change(registry_folder)
    text = "\n".join(map(str, index.findings(registry_folder)))
    fragments = [part for line in lines for part in line.split(": ")]
    assert [part for part in fragments if part not in text] == []


def test_a_new_artifact_is_missed_in_the_index(registry_folder, make_query):
    make_query(registry_folder / "queries" / "new-disc" / "1.0.0", name="new-disc")
    (finding,) = index.findings(registry_folder)
    assert str(finding) == "new-disc@1.0.0: is in the folder and not in the index"


def test_the_embedded_index_has_not_drifted():
    assert index.findings(REGISTRY) == []


def test_backbones_come_from_all_registries(registry_folder, tiny):
    assert registry.backbone_spec("tiny-vit") == registry.backbone_spec(str(tiny.path))
    assert {"tiny-vit", "dinov2-small-saliency", "retfound-green"} <= set(registry.backbone_specs())


def test_a_backbone_spec_that_breaks_its_schema_is_refused(tiny, tmp_path):
    document = json.loads(tiny.path.read_text()) | {"pooling": "sum", "more": 1}
    write_json(tmp_path / "broken.json", document)
    with pytest.raises(ManifestError, match=r"broken\.json: 2 findings"):
        registry.backbone_spec(str(tmp_path / "broken.json"))

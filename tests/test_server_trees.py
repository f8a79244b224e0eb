"""Ids are those of git itself."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from retq_hub.server import commits, trees
from retq_hub.server.blobs import Blobs
from retq_hub.server.faults import Fault
from retq_hub.server.trees import Entry

FILES = {"a.txt": b"a", "b/c": b"c", "b.d": b"d", "b/e/f": b"f\n", "g": b""}


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=alice", "-c", "user.email=alice@users.noreply", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def table(names: list[str]) -> trees.Tree:
    return {name: Entry(size=1, sha1="1" * 40, sha256="2" * 64, lfs=False) for name in names}


def test_ids_of_files_folders_and_commits_are_gits(tmp_path, monkeypatch):
    blobs = Blobs(tmp_path / "blobs", tmp_path / "scratch")
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "--quiet")
    tree = {}
    with blobs.staging() as folder:
        for name, data in FILES.items():
            (work / name).parent.mkdir(exist_ok=True, parents=True)
            (work / name).write_bytes(data)
            blob = blobs.stage(data, folder).blob
            assert blob.sha1 == git(work, "hash-object", name)
            tree[name] = Entry(size=blob.size, sha1=blob.sha1, sha256=blob.sha256, lfs=False)
    git(work, "add", "--all")
    oid = git(work, "write-tree")
    assert trees.folder_oid(tree, "") == oid
    assert trees.info(tree, "b")["oid"] == git(work, "rev-parse", f"{oid}:b")
    made = commits.make(tree=oid, parent=None, author="alice", title="why", message="so\nit is")
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_DATE", made.created[:19] + "+0000")
    assert git(work, "commit-tree", oid, "-m", "why", "-m", "so\nit is") == made.oid


def test_a_large_file_has_the_id_of_its_pointer():
    entry = Entry(size=12, sha1="1" * 40, sha256="2" * 64, lfs=True)
    assert entry.pointer.endswith(b"oid sha256:" + b"2" * 64 + b"\nsize 12\n")
    assert entry.oid != entry.sha1


def test_folders_are_listed_once():
    tree = table(["a", "b/c", "b/d/e"])
    assert trees.listed(tree, "", recursive=False) == ["a", "b"]
    assert trees.listed(tree, "", recursive=True) == ["a", "b", "b/c", "b/d", "b/d/e"]
    assert trees.listed(tree, "b", recursive=False) == ["b/c", "b/d"]
    assert trees.listed(tree, "b/", recursive=True) == []
    assert trees.info(tree, "x") is None


def test_a_file_cannot_be_a_folder():
    trees.check(table(["a", "ab/c", "a.b"]))
    with pytest.raises(Fault, match="a/b is a file"):
        trees.check(table(["a/b", "a/b/c"]))


PATHS = some.lists(some.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map("/".join)


@given(some.sets(PATHS, max_size=8))
def test_every_file_is_below_its_folders(names):
    tree = table(sorted(names))
    everything = set(trees.listed(tree, "", recursive=True))
    assert names <= everything
    for path in everything - names:
        assert any(name.startswith(f"{path}/") for name in names)

"""From one commit's files to the next one's: what was sent, or what a pull request changed."""

import sqlite3

from retq_hub.server import commits, holdings, refs, trees
from retq_hub.server.blobs import Blob, Staged
from retq_hub.server.discussions import Discussion
from retq_hub.server.faults import Fault, bad_request, entry_not_found
from retq_hub.server.payloads import LargeFile, Payload
from retq_hub.server.repos import Repo
from retq_hub.server.trees import Entry, Tree

__all__ = ["applied", "merged"]


def applied(connection: sqlite3.Connection, repo: Repo, before: Tree, payload: Payload) -> Tree:
    """Give the files after a commit's operations: deletions first, then what comes.

    Raises:
        Fault: A file to be deleted is not there, or a large file was not uploaded.
    """
    tree = dict(before)
    for path in payload.deleted_files:
        if tree.pop(path, None) is None:
            raise _no_file(path)
    for folder in payload.deleted_folders:
        inside = [path for path in tree if path.startswith(f"{folder}/")]
        if not inside:
            raise _no_file(folder)
        for path in inside:
            del tree[path]
    for path, content in payload.files.items():
        if isinstance(content, Staged):
            tree[path] = _entry(content.blob, lfs=content.blob.binary)
        else:
            tree[path] = _entry(_uploaded(connection, repo, path, content), lfs=True)
    return tree


def _no_file(path: str) -> Fault:
    fault = entry_not_found(path[:200])
    fault.message = f"A file with this name doesn't exist: {path[:200]}"
    return fault


def _entry(blob: Blob, *, lfs: bool) -> Entry:
    return Entry(size=blob.size, sha1=blob.sha1, sha256=blob.sha256, lfs=lfs)


def _uploaded(connection: sqlite3.Connection, repo: Repo, path: str, large: LargeFile) -> Blob:
    blob = holdings.find(connection, repo.key, large.sha256)
    if blob is None:
        raise bad_request(
            f"{path[:200]}: the file {large.sha256[:64]} was not uploaded to this repository"
        )
    if large.size not in (None, blob.size):
        raise bad_request(
            f"{path[:200]}: the uploaded file has {blob.size} bytes, the commit says {large.size}"
        )
    return blob


def merged(
    connection: sqlite3.Connection, repo: Repo, pull: Discussion, head: str
) -> tuple[Tree, list[str]]:
    """Bring a pull request's changes to the files of a commit.

    Args:
        connection: Any.
        repo: The repository.
        pull: The pull request.
        head: The commit.

    Returns:
        The files with all changes, and the paths that both sides changed in different ways.
    """
    assert pull.base is not None
    base = commits.tree_of(connection, repo.key, pull.base)
    ours = commits.tree_of(connection, repo.key, head)
    tip = refs.resolve(connection, repo, refs.pull_name(pull.num))
    theirs = commits.tree_of(connection, repo.key, tip)
    tree, conflicts = dict(ours), []
    for path in trees.changes(base, theirs):
        if ours.get(path) not in (base.get(path), theirs.get(path)):
            conflicts.append(path)
        if path in theirs:
            tree[path] = theirs[path]
        else:
            tree.pop(path, None)
    return tree, conflicts

"""Which commit touched a path last."""

import sqlite3
from collections.abc import Iterable

from retq_hub.server import commits, trees
from retq_hub.server.commits import Commit
from retq_hub.server.trees import Tree

__all__ = ["last_commits"]

_REACH = 500


def last_commits(
    connection: sqlite3.Connection, repo_key: int, oid: str, paths: Iterable[str]
) -> dict[str, Commit]:
    """Give for each path the last commit that changed it, looking back 500 commits.

    A path that none of them changed gets the oldest of them.

    Args:
        connection: Any.
        repo_key: The repository's row.
        oid: Where to begin.
        paths: Of files and folders.
    """
    open_paths, found = set(paths), {}
    chain = commits.history(connection, repo_key, oid, skip=0, limit=_REACH)
    tree = trees.load(connection, chain[0].tree)
    for at, commit in enumerate(chain):
        if not open_paths:
            break
        older = trees.load(connection, chain[at + 1].tree) if at + 1 < len(chain) else {}
        for path in _touched(tree, older, open_paths):
            found[path] = commit
            open_paths.discard(path)
        tree = older
    return found


def _touched(new: Tree, old: Tree, paths: Iterable[str]) -> set[str]:
    changed = trees.changes(old, new)
    return {
        path for path in paths if any(one == path or one.startswith(f"{path}/") for one in changed)
    }

"""Which commit touched a path last."""

import sqlite3
from collections.abc import Iterable

from retq_hub.server import commits, trees
from retq_hub.server.commits import Commit

__all__ = ["last_commits"]

_REACH = 500
_MOST_FILES = 500_000


def last_commits(
    connection: sqlite3.Connection, repo_key: int, oid: str, paths: Iterable[str]
) -> dict[str, Commit]:
    """Give for each path the last commit that changed it, looking back 500 commits.

    It looks back less far where they hold very many files. A path that none of them changed gets
    the oldest of them.

    Args:
        connection: Any.
        repo_key: The repository's row.
        oid: Where to begin.
        paths: Of files and folders.
    """
    open_paths, found = set(paths), {}
    chain = commits.history(connection, repo_key, oid, skip=0, limit=_REACH)
    tree = trees.load(connection, chain[0].tree)
    left = _MOST_FILES
    for at, commit in enumerate(chain):
        if not open_paths:
            break
        left -= len(tree)
        ends = at + 1 == len(chain) or left < 0
        older = {} if ends else trees.load(connection, chain[at + 1].tree)
        for path in open_paths & trees.touched(older, tree):
            found[path] = commit
            open_paths.discard(path)
        tree = older
    return found

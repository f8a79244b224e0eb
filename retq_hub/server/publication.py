"""Commits that are made: from what was sent to one transaction with all that follows from it."""

import sqlite3
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from retq_hub.errors import Finding
from retq_hub.server import (
    cards,
    checks,
    commits,
    descriptions,
    discussions,
    edits,
    holdings,
    refs,
    repos,
    rows,
    trees,
)
from retq_hub.server.accounts import User
from retq_hub.server.blobs import Blobs, Staged
from retq_hub.server.checks import Verdict
from retq_hub.server.commits import Commit
from retq_hub.server.database import Database
from retq_hub.server.descriptions import Description
from retq_hub.server.discussions import Discussion
from retq_hub.server.faults import Fault, bad_request, conflict, repo_not_found
from retq_hub.server.naming import RepoId
from retq_hub.server.payloads import Payload
from retq_hub.server.repos import Repo
from retq_hub.server.trees import Tree

__all__ = ["Made", "Publisher"]

_STRIPES = 64
_MAIN = f"refs/{refs.BRANCH}/{refs.MAIN}"
"""What ``main`` is now; the short name means what it was when the repository was looked up."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A commit that was made, and the number of the pull request that it opened, if any."""

    oid: str
    pull: int | None = None


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    """A commit before it is kept."""

    commit: Commit
    tree: Tree
    description: Description
    verdict: Verdict | None
    staged: tuple[Staged, ...] = ()

    @property
    def findings(self) -> str | None:
        return None if self.verdict is None else checks.encode(self.verdict.findings)


class Publisher:
    """Makes repositories and commits.

    Commits to one repository are prepared one after the other, those to several side by side; only
    the transaction itself is alone. A commit's contents are on the disk before the transaction
    that refers to them ends.

    Args:
        database: The hub's state.
        blobs: The hub's files.
        refuse_invalid: Refuse commits whose artifact is not intact.
    """

    def __init__(self, database: Database, blobs: Blobs, *, refuse_invalid: bool) -> None:
        self._database = database
        self._blobs = blobs
        self._refuse_invalid = refuse_invalid
        self._locks = [threading.Lock() for _ in range(_STRIPES)]

    def create(self, repo: RepoId, user: User, *, private: bool) -> None:
        """Make a repository with an empty first commit.

        Raises:
            Fault: A bad name, another's namespace, or it is there already.
        """
        with self._database.writing() as connection:
            key = repos.create(connection, repo, user, private=private)
            trees.save(connection, {})
            prepared = _Prepared(
                commit=commits.make(
                    tree={},
                    parent=None,
                    author=user.name,
                    title="initial commit",
                    message="",
                ),
                tree={},
                description=Description(),
                verdict=None,
            )
            _keep(connection, key, prepared)
            _advance(connection, key, refs.BRANCH, refs.MAIN, prepared)

    def delete(self, repo: Repo) -> None:
        """Delete a repository, and the files that no other one holds."""
        with self._lock(repo), self._database.alone():
            with self._database.writing() as connection:
                lone = repos.delete(connection, repo)
            for sha256 in lone:
                self._blobs.remove(sha256)

    def commit(
        self, repo: Repo, user: User, payload: Payload, *, kind: str, name: str, open_pull: bool
    ) -> Made:
        """Make a commit on a branch or a pull request, or open a pull request with it.

        Args:
            repo: The repository.
            user: Who commits; may do so.
            payload: What was sent.
            kind: `refs.BRANCH` or `refs.PULL`.
            name: The branch, or the pull request's number.
            open_pull: Open a pull request and leave the branch as it is.

        Raises:
            Fault: 412, the branch has moved on; 400 and 404, what was sent does not fit; 422, the
                artifact is not intact and this hub takes none such.
        """
        with self._lock(repo), self._blobs.staging() as scratch:
            with self._database.reading() as connection:
                parent = refs.resolve(connection, repo, f"refs/{kind}/{name}")
                if not parent.startswith(payload.parent or ""):
                    raise _stale(parent)
                prepared = self._prepare(connection, repo, user, payload, parent, scratch)
            with self._database.writing() as connection:
                if refs.resolve(connection, repo, f"refs/{kind}/{name}") != parent:
                    raise _stale(parent)
                self._place(connection, repo.key, prepared)
                if not open_pull:
                    return self._finish(connection, repo, kind, name, prepared)
                return _open_pull(connection, repo, prepared, base=parent)

    def _finish(
        self, connection: sqlite3.Connection, repo: Repo, kind: str, name: str, prepared: _Prepared
    ) -> Made:
        _advance(connection, repo.key, kind, name, prepared)
        if kind == refs.PULL:
            _note_commit(connection, repo, int(name), prepared.commit)
        return Made(oid=prepared.commit.oid)

    def _prepare(
        self,
        connection: sqlite3.Connection,
        repo: Repo,
        user: User,
        payload: Payload,
        parent: str,
        scratch: Path,
    ) -> _Prepared:
        before = commits.tree_of(connection, repo.key, parent)
        tree = edits.applied(connection, repo, before, payload)
        trees.check(tree)
        staged = tuple(one for one in payload.files.values() if isinstance(one, Staged))
        places = {one.blob.sha256: one.path for one in staged}
        commit = commits.make(
            tree=tree,
            parent=parent,
            author=user.name,
            title=payload.title,
            message=payload.message,
        )
        description, verdict = self._judge(tree, places, scratch)
        return _Prepared(
            commit=commit, tree=tree, description=description, verdict=verdict, staged=staged
        )

    def _judge(
        self, tree: Tree, places: Mapping[str, Path], scratch: Path
    ) -> tuple[Description, Verdict | None]:
        """Read the card and check the artifact, if there is one."""

        def locate(path: str) -> Path:
            sha256 = tree[path].sha256
            return places.get(sha256) or self._blobs.path(sha256)

        try:
            description = descriptions.describe(tree, locate)
        except cards.BadCard as error:
            raise bad_request(f"{cards.CARD}: {error}") from error
        folder = scratch / "artifact"
        folder.mkdir()
        if checks.holds_lock(tree):
            self._admit(checks.lock_findings(tree, locate, folder))
        if not checks.holds_artifact(tree):
            return description, None
        verdict = checks.judge(tree, locate, folder)
        self._admit(verdict.findings)
        return description, verdict

    def _admit(self, findings: Sequence[Finding]) -> None:
        """Refuse what is not intact, if this hub is told to."""
        if findings and self._refuse_invalid:
            many = "finding" if len(findings) == 1 else "findings"
            raise Fault(
                422,
                f"This hub takes only intact artifacts; {len(findings)} {many}: "
                + "; ".join(map(str, findings)),
                code="InvalidArtifact",
            )

    def _place(self, connection: sqlite3.Connection, repo_key: int, prepared: _Prepared) -> None:
        for staged in prepared.staged:
            self._blobs.place(staged)
            holdings.add(connection, repo_key, staged.blob)
        trees.save(connection, prepared.tree)
        _keep(connection, repo_key, prepared)

    def receive(self, repo_key: int, staged: Staged) -> None:
        """Keep a large file that was uploaded, for commits to this repository to refer to.

        Raises:
            Fault: RepoNotFound; the repository was deleted meanwhile.
        """
        with self._database.writing() as connection:
            if not connection.execute("SELECT 1 FROM repos WHERE id=?", (repo_key,)).fetchone():
                raise repo_not_found(known_user=True)
            self._blobs.place(staged)
            holdings.add(connection, repo_key, staged.blob)

    def merge(self, repo: Repo, user: User, num: int, *, comment: str) -> None:
        """Merge a pull request into ``main`` as one commit.

        Raises:
            Fault: 400, it is no open pull request; 409, both sides changed the same files.
        """
        with self._lock(repo), self._blobs.staging() as scratch:
            with self._database.reading() as connection:
                found = _open_request(connection, repo, num)
                head = refs.resolve(connection, repo, _MAIN)
                tree, conflicts = edits.merged(connection, repo, found, head)
            if conflicts:
                raise conflict("main has changed the same files: " + ", ".join(conflicts))
            description, verdict = self._judge(tree, {}, scratch)
            commit = commits.make(
                tree=tree,
                parent=head,
                author=user.name,
                title=f"{found.title} (#{num})",
                message=comment,
            )
            prepared = _Prepared(commit=commit, tree=tree, description=description, verdict=verdict)
            with self._database.writing() as connection:
                found = _open_request(connection, repo, num)
                self._place(connection, repo.key, prepared)
                _advance(connection, repo.key, refs.BRANCH, refs.MAIN, prepared)
                if comment:
                    discussions.comment(connection, repo, num, author=user.name, text=comment)
                discussions.set_status(
                    connection,
                    repo,
                    found,
                    author=user.name,
                    status=discussions.MERGED,
                    merged=commit.oid,
                )

    def _lock(self, repo: Repo) -> threading.Lock:
        return self._locks[repo.key % _STRIPES]


def _keep(connection: sqlite3.Connection, repo_key: int, prepared: _Prepared) -> None:
    commits.save(
        connection,
        repo_key,
        prepared.commit,
        described=prepared.description.encode(),
        findings=prepared.findings,
    )


def _advance(
    connection: sqlite3.Connection, repo_key: int, kind: str, name: str, prepared: _Prepared
) -> None:
    """Move a branch or a pull request's head on; what is listed follows ``main``."""
    refs.move(connection, repo_key, kind, name, prepared.commit.oid)
    if (kind, name) != (refs.BRANCH, refs.MAIN):
        return
    connection.execute(
        "UPDATE repos SET head=?, modified=? WHERE id=?",
        (prepared.commit.oid, prepared.commit.created, repo_key),
    )
    connection.execute("DELETE FROM labels WHERE repo=?", (repo_key,))
    connection.executemany(
        "INSERT INTO labels VALUES (?, ?)", ((tag, repo_key) for tag in prepared.description.tags)
    )
    rows.update(connection, repo_key, prepared.verdict)


def _open_pull(
    connection: sqlite3.Connection, repo: Repo, prepared: _Prepared, *, base: str
) -> Made:
    commit = prepared.commit
    num = discussions.create(
        connection,
        repo,
        author=commit.author,
        title=commit.title[:200].strip().ljust(3, "."),
        description=commit.message,
        base=base,
    )
    refs.move(connection, repo.key, refs.PULL, str(num), commit.oid)
    _note_commit(connection, repo, num, commit)
    return Made(oid=commit.oid, pull=num)


def _open_request(connection: sqlite3.Connection, repo: Repo, num: int) -> Discussion:
    found = discussions.find(connection, repo, num)
    if not found.pull or found.status != discussions.OPEN:
        raise bad_request(f"discussion {num} is no open pull request: {found.status}")
    return found


def _note_commit(connection: sqlite3.Connection, repo: Repo, num: int, commit: Commit) -> None:
    data = {"subject": commit.title, "oid": commit.oid}
    discussions.add_event(connection, repo, num, kind="commit", author=commit.author, data=data)


def _stale(head: str) -> Fault:
    return Fault(412, f"The branch has moved on to {head} since: look again, then commit again")

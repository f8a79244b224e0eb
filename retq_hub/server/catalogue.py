"""The queries of a hub as a gallery and a search want them: one row for each repository."""

import json
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retq_hub.errors import Finding, NotFoundError
from retq_hub.inspection import MANIFEST
from retq_hub.server import cards, checks, commits, refs, repos
from retq_hub.server.blobs import Blobs
from retq_hub.server.database import Database
from retq_hub.server.faults import Fault
from retq_hub.server.naming import RepoId, is_version_tag
from retq_hub.server.repos import Repo
from retq_hub.server.trees import Entry

__all__ = ["FACETS", "SORTS", "Catalogue", "Found", "Listed", "Version", "Wanted"]

SORTS = {
    "modified": "repos.modified DESC",
    "name": "queries.name COLLATE NOCASE, repos.namespace",
    "dice": "queries.dice IS NULL, queries.dice DESC",
    "auroc": "queries.auroc IS NULL, queries.auroc DESC",
    "floats": "queries.floats",
}
"""What can be sorted by, and how."""

FACETS = ("kind", "target", "backbone", "dataset", "licence")
"""What is counted, and can be filtered by."""

_LISTED = (
    "repos.namespace, repos.name, repos.gated, repos.modified, repos.head, queries.name, version, "
    "summary, targets, backbone, weights_digest, datasets, licence, dice, auroc, floats, findings"
)
_PUBLIC = "repos.private = 0 AND repos.kind = 'models'"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a search is for; None and empty leave it open.

    Attributes:
        words: All of them must occur in name, summary, targets, backbone or data sets.
        kind: One of `retq_hub.kinds.KINDS`.
        target: Label of a target.
        backbone: Id of a backbone.
        dataset: Title of a data set.
        licence: Id of a licence.
        min_dice: Least mean Dice of the first evaluation.
        sort: One of `SORTS`.
        page: From 1.
        size: Rows of a page.
        usable: Only intact queries whose files are open.
    """

    words: str = ""
    kind: str | None = None
    target: str | None = None
    backbone: str | None = None
    dataset: str | None = None
    licence: str | None = None
    min_dice: float | None = None
    sort: str = "modified"
    page: int = 1
    size: int = 24
    usable: bool = False


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A public query, as of ``main``.

    Attributes:
        repo: ``namespace/name``.
        gated: Whether its files are for those who were let in.
        modified: When ``main`` last changed.
        commit: The commit of ``main``.
        name: From the manifest; the repository's name where that cannot be read.
        version: From the manifest.
        summary: From the manifest.
        targets: Labels of what it marks.
        backbone: Id of its backbone.
        weights_digest: The backbone's.
        datasets: Titles of the data sets that it was trained on.
        licence: Id of its licence.
        dice: Mean Dice of the first evaluation, if any.
        auroc: Mean AUROC of the first evaluation, if any.
        floats: Number of floats in its vectors.
        findings: What is wrong with the artifact; empty if it is intact.
    """

    repo: str
    gated: bool
    modified: str
    commit: str
    name: str
    version: str
    summary: str
    targets: tuple[str, ...]
    backbone: str
    weights_digest: str
    datasets: tuple[str, ...]
    licence: str
    dice: float | None
    auroc: float | None
    floats: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True)
class Version:
    """A published version; ``findings`` is empty if the artifact is intact."""

    tag: str
    commit: str
    created: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True)
class Found:
    """A page of what a search found.

    Attributes:
        rows: The page.
        total: Number of rows on all pages.
        facets: For kind, target, backbone, dataset and licence: values and how many rows have them.
    """

    rows: list[Listed]
    total: int
    facets: dict[str, list[tuple[str, int]]] = field(default_factory=dict)


class Catalogue:
    """Searches the public queries and gives what a page about one needs.

    Private repositories do not exist here. Of gated ones there are row, card and manifest, but no
    files.

    Args:
        database: The hub's state.
        blobs: The hub's files.
    """

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    def search(self, wanted: Wanted) -> Found:
        """Search; an unknown ``sort`` is taken for the default."""
        where, values = _where(wanted)
        table = f"queries JOIN repos ON repos.id = queries.repo WHERE {where}"
        order = SORTS.get(wanted.sort, SORTS["modified"])
        size = max(1, wanted.size)
        with self._database.reading() as connection:
            total = connection.execute(f"SELECT count(*) FROM {table}", values).fetchone()[0]
            rows = connection.execute(
                f"SELECT {_LISTED} FROM {table} ORDER BY {order}, repos.id LIMIT ? OFFSET ?",
                [*values, size, (max(1, wanted.page) - 1) * size],
            ).fetchall()
            counts = connection.execute(
                "SELECT facet, value, count(*) AS many FROM facets "
                f"WHERE repo IN (SELECT queries.repo FROM {table}) "
                "GROUP BY facet, value ORDER BY many DESC, value",
                values,
            ).fetchall()
        facets = {
            facet: [(row[1], row[2]) for row in counts if row[0] == facet] for facet in FACETS
        }
        return Found(rows=[_listed(row) for row in rows], total=total, facets=facets)

    def get(self, repo: str) -> Listed:
        """Give the row of a query, by ``namespace/name``.

        Raises:
            NotFoundError: There is no such public query.
        """
        namespace, _, name = repo.partition("/")
        with self._database.reading() as connection:
            row = connection.execute(
                f"SELECT {_LISTED} FROM queries JOIN repos ON repos.id = queries.repo "
                f"WHERE {_PUBLIC} AND namespace=? AND repos.name=?",
                (namespace, name),
            ).fetchone()
        if row is None:
            raise NotFoundError(f"there is no public query {repo}", hint="check the name")
        return _listed(row)

    def versions(self, repo: str) -> list[Version]:
        """Give the published versions of a query, newest commit first.

        A tag of a commit without an artifact is none.

        Raises:
            NotFoundError: There is no such public repository.
        """
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT refs.name, refs.oid, created, findings FROM refs "
                "JOIN commits ON commits.repo = refs.repo AND commits.oid = refs.oid "
                "WHERE refs.repo=? AND kind=? ORDER BY created DESC, refs.name DESC",
                (self._repo(connection, repo).key, refs.TAG),
            ).fetchall()
        return [
            Version(tag=tag, commit=oid, created=created, findings=tuple(checks.decode(found)))
            for tag, oid, created, found in rows
            if is_version_tag(tag) and found is not None
        ]

    def manifest(self, repo: str, commit: str) -> dict[str, Any]:
        """Give the manifest of a query, as JSON.

        Args:
            repo: ``namespace/name``.
            commit: A commit, branch or tag.

        Raises:
            NotFoundError: There is no such repository, commit or manifest, or it is no JSON
                object of up to 4 MiB.
        """
        path = self._path(repo, commit, MANIFEST, gated=False)
        if path.stat().st_size > checks.MAX_MANIFEST:
            raise _nothing(repo, commit, MANIFEST)
        try:
            document = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise _nothing(repo, commit, MANIFEST) from error
        if not isinstance(document, dict):
            raise _nothing(repo, commit, MANIFEST)
        return document

    def card(self, repo: str, commit: str) -> str:
        """Give the README of a query as it was pushed: Markdown of strangers, with its YAML head.

        Raises:
            NotFoundError: There is no such repository, commit or README.
        """
        data = self._path(repo, commit, cards.CARD, gated=False).read_bytes()
        return data.decode("utf-8", errors="replace")

    def path(self, repo: str, commit: str, file: str) -> Path:
        """Give the place of a file's content; it never changes.

        Raises:
            NotFoundError: There is no such repository, commit or file, or it is gated.
        """
        return self._path(repo, commit, file, gated=True)

    def files(self, repo: str, commit: str) -> dict[str, int]:
        """Give paths and sizes of all files of a commit, sorted.

        Raises:
            NotFoundError: There is no such repository or commit.
        """
        return {path: entry.size for path, entry in sorted(self._tree(repo, commit)[1].items())}

    def _path(self, repo: str, commit: str, file: str, *, gated: bool) -> Path:
        found, tree = self._tree(repo, commit)
        if file not in tree or (gated and found.gated):
            raise _nothing(repo, commit, file)
        return self._blobs.path(tree[file].sha256)

    def _tree(self, repo: str, revision: str) -> tuple[Repo, dict[str, Entry]]:
        with self._database.reading() as connection:
            found = self._repo(connection, repo)
            try:
                oid = refs.resolve(connection, found, revision)
            except Fault as fault:
                raise _nothing(repo, revision, "") from fault
            return found, commits.tree_of(connection, found.key, oid)

    def _repo(self, connection: sqlite3.Connection, repo: str) -> Repo:
        namespace, _, name = repo.partition("/")
        try:
            sought = RepoId(kind="models", namespace=namespace, name=name)
            return repos.find(connection, sought, None)
        except Fault as fault:
            raise NotFoundError(
                f"there is no public query {repo}", hint="check the name"
            ) from fault


def _nothing(repo: str, commit: str, file: str) -> NotFoundError:
    return NotFoundError(f"{repo}@{commit} has no {file or 'files'} to show", hint="check the name")


def _where(wanted: Wanted) -> tuple[str, list[Any]]:
    clauses = [_PUBLIC]
    values: list[Any] = []
    for word in wanted.words.lower().split()[:20]:
        clauses.append("instr(words, ?)")
        values.append(word)
    for facet in FACETS:
        if value := getattr(wanted, facet):
            clauses.append("queries.repo IN (SELECT repo FROM facets WHERE facet=? AND value=?)")
            values += [facet, value]
    if wanted.min_dice is not None:
        clauses.append("dice >= ?")
        values.append(wanted.min_dice)
    if wanted.usable:
        clauses.append("queries.findings = '[]' AND repos.gated = ''")
    return " AND ".join(clauses), values


def _listed(row: tuple[Any, ...]) -> Listed:
    namespace, repo, gated, modified, commit, name, version, summary, targets = row[:9]
    backbone, weights_digest, datasets, licence, dice, auroc, floats, findings = row[9:]
    return Listed(
        repo=f"{namespace}/{repo}",
        gated=bool(gated),
        modified=modified,
        commit=commit,
        name=name,
        version=version,
        summary=summary,
        targets=tuple(json.loads(targets)),
        backbone=backbone,
        weights_digest=weights_digest,
        datasets=tuple(json.loads(datasets)),
        licence=licence,
        dice=dice,
        auroc=auroc,
        floats=floats,
        findings=tuple(checks.decode(findings)),
    )

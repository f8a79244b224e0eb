"""What the gallery asks of a hub: to be searched, and to give what it holds of one query.

Only interfaces and what crosses them. A shelf shows public repositories; of gated ones it gives
no files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from retq_hub.errors import Finding
from retq_hub.manifest import QueryManifest
from retq_hub.tasks import runs

__all__ = [
    "FACETS",
    "SORTS",
    "Choice",
    "Exhibit",
    "File",
    "Found",
    "Item",
    "Shelf",
    "Version",
    "Wanted",
]

FACETS = ("kind", "target", "backbone", "dataset", "licence")
"""The members of `Wanted` that take one of several values."""

SORTS = ("newest", "dice", "name")
"""The orders of a search: last changed first, highest Dice first, by name."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What somebody looks for; empty members do not narrow the search.

    Attributes:
        words: All of them occur in a query's name, summary, targets, data, backbone or licence.
        kind: One of `retq_hub.kinds.KINDS`.
        target: The label of a target.
        backbone: A backbone's id.
        dataset: The title of a data set that it was trained on.
        licence: The query's licence.
        min_dice: Mean Dice of its first evaluation, at least.
        sort: One of `SORTS`.
        page: Counted from 1.
        usable: Only intact queries that are not yanked and whose files are open.
    """

    words: str = ""
    kind: str = ""
    target: str = ""
    backbone: str = ""
    dataset: str = ""
    licence: str = ""
    min_dice: float | None = None
    sort: str = "newest"
    page: int = 1
    usable: bool = False


@dataclass(frozen=True, kw_only=True)
class Item:
    """One query as a search shows it.

    Attributes:
        repo: ``namespace/name``.
        commit: What is shown of it: its newest version, or the head of its main branch.
        version: The query's version there; None if its manifest cannot be read.
        manifest: None if it cannot be read.
        updated: When that commit was made.
        intact: What the check said of it; None if it was not checked.
        picture: Whether it has a picture.
        gated: Its files are given only to those who were let in.
        yanked: This version should not be used any more.
    """

    repo: str
    commit: str
    version: str | None = None
    manifest: QueryManifest | None = None
    updated: datetime | None = None
    intact: bool | None = None
    picture: bool = False
    gated: bool = False
    yanked: bool = False

    @property
    def passes(self) -> int:
        """How often the backbone runs over an image for it."""
        return 0 if self.manifest is None else runs(self.manifest)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A value that a search can be narrowed to, and how many queries have it."""

    value: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Found:
    """One page of a search.

    Attributes:
        items: The queries on this page.
        total: How many there are on all pages.
        choices: For each of `FACETS` its most frequent values among what fits the rest of the
            search.
    """

    items: tuple[Item, ...]
    total: int
    choices: Mapping[str, tuple[Choice, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Version:
    """A published version of a query."""

    version: str
    commit: str
    published: datetime | None = None
    yanked: bool = False
    intact: bool | None = None


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of a repository; ``size`` in bytes."""

    path: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """All that a hub holds of one query at one commit.

    Attributes:
        item: The query, at the commit that was asked for.
        card: The text of its model card, with its head; empty if it has none.
        versions: All versions, the newest first.
        findings: What the check found wrong.
        files: None if they are not shown.
        pinned: Whether a revision was asked for that is not the one shown by default.
        reason: Why a version was yanked, if anybody said.
        proposed_by: Who proposed this commit in a pull request; empty: it is the owner's own.
    """

    item: Item
    card: str = ""
    versions: tuple[Version, ...] = ()
    findings: tuple[Finding, ...] = ()
    files: tuple[File, ...] | None = None
    pinned: bool = False
    reason: str = ""
    proposed_by: str = ""


class Shelf(Protocol):
    """What a hub offers to the gallery; it is asked from several threads at once."""

    def search(self, wanted: Wanted, *, size: int) -> Found:
        """Give one page of the queries that are wanted, ``size`` of them at most."""
        ...

    def exhibit(self, repo: str, revision: str = "") -> Exhibit | None:
        """Give a query at a tag, branch or commit; without one what is shown by default.

        Returns:
            None if there is no such public repository or revision.
        """
        ...

    def file(self, repo: str, commit: str, path: str, *, limit: int) -> bytes | None:
        """Give a file's content; None if all may not have it, or it is beyond ``limit`` bytes."""
        ...

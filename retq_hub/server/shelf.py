"""The hub as its gallery sees it: the catalogue's queries, and what lies at their commits.

Private repositories do not exist here, and gated ones have no files.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
from starlette.routing import BaseRoute

from retq_hub import names
from retq_hub.errors import Finding, NotFoundError
from retq_hub.gallery import shelf as gallery
from retq_hub.gallery.routes import routes
from retq_hub.gallery.shelf import Choice, Exhibit, File, Item
from retq_hub.manifest import QueryManifest, from_json
from retq_hub.picture import PICTURE
from retq_hub.repository import MAX_YANKED_BYTES, YANKED
from retq_hub.server import catalogue, checks, refs, repos
from retq_hub.server.catalogue import Listed
from retq_hub.server.faults import Fault
from retq_hub.server.naming import RepoId
from retq_hub.server.services import Services

__all__ = ["HubShelf", "pages"]

_SORTS = {"newest": "modified"}
_MAX_CHOICES = 100
_KEPT = 4096


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A commit of a public repository; without findings if it holds no artifact."""

    repo: str
    commit: str
    created: str
    gated: bool
    findings: tuple[Finding, ...] | None
    proposed_by: str = ""


def pages(services: Services) -> list[BaseRoute]:
    """Make the gallery's routes from the hub's parts."""
    return routes(HubShelf(services))


class HubShelf:
    """Offers a hub's public queries to its gallery; see `retq_hub.gallery.shelf.Shelf`.

    Args:
        services: The hub.
    """

    def __init__(self, services: Services) -> None:
        self._database = services.database
        self._catalogue = services.catalogue
        self._manifest = lru_cache(_KEPT)(self._read_manifest)

    def search(self, wanted: gallery.Wanted, *, size: int) -> gallery.Found:
        """Give one page of the queries that are wanted, ``size`` of them at most."""
        sought = _sought(wanted, size)
        found = self._catalogue.search(sought)
        items = [self._listed(row) for row in found.rows]
        return gallery.Found(
            items=tuple(one for one in items if not (wanted.usable and one.yanked)),
            total=found.total,
            choices=self._choices(sought, found.facets),
        )

    def exhibit(self, repo: str, revision: str = "") -> Exhibit | None:
        """Give a query at a tag, branch or commit; without one at its newest version.

        That is the newest which is neither yanked nor a pre-release, as `retq pull` takes it; the
        head of the main branch where there is none.
        """
        yanked = self._yanked(repo)
        try:
            versions = self._versions(repo, yanked)
            current = _current(versions)
            place = self._place(repo, revision or current)
            files = self._catalogue.files(repo, place.commit)
            pinned = bool(revision) and place.commit != self._place(repo, current).commit
        except NotFoundError:
            return None
        item = self._item(place, files, yanked)
        return Exhibit(
            item=item,
            card=self._text(repo, place.commit),
            versions=tuple(versions),
            findings=place.findings or (),
            files=None if place.gated else tuple(_files(files)),
            pinned=pinned,
            reason=yanked.get(item.version or "", ""),
            proposed_by=place.proposed_by,
        )

    def file(self, repo: str, commit: str, path: str, *, limit: int) -> bytes | None:
        """Give a file's content; None if all may not have it, or it is beyond ``limit`` bytes."""
        try:
            place = self._catalogue.path(repo, commit, path)
            return place.read_bytes() if place.stat().st_size <= limit else None
        except (NotFoundError, FileNotFoundError):
            return None

    def _choices(
        self, sought: catalogue.Wanted, facets: Mapping[str, list[tuple[str, int]]]
    ) -> dict[str, tuple[Choice, ...]]:
        """Give what else could be chosen; where something is chosen, count as if it were not."""
        choices = {}
        for name in gallery.FACETS:
            counts = facets.get(name, [])
            if getattr(sought, name):
                free: dict[str, Any] = {name: None, "page": 1, "size": 1}
                counts = self._catalogue.search(replace(sought, **free)).facets.get(name, [])
            choices[name] = tuple(
                Choice(value=value, count=count) for value, count in counts[:_MAX_CHOICES]
            )
        return choices

    def _listed(self, row: Listed) -> Item:
        """Give a row of the catalogue, which is what the main branch holds."""
        place = _Place(
            repo=row.repo,
            commit=row.commit,
            created=row.modified,
            gated=row.gated,
            findings=row.findings,
        )
        files = self._catalogue.files(row.repo, row.commit)
        return self._item(place, files, self._yanked(row.repo))

    def _item(self, place: _Place, files: Mapping[str, int], yanked: Mapping[str, str]) -> Item:
        manifest = None
        if place.findings is not None:
            manifest = self._manifest(place.repo, place.commit)
        version = manifest.version if manifest else None
        return Item(
            repo=place.repo,
            commit=place.commit,
            version=version,
            manifest=manifest,
            updated=_moment(place.created),
            intact=None if place.findings is None else not place.findings,
            picture=PICTURE in files,
            gated=place.gated,
            yanked=version in yanked,
        )

    def _place(self, repo: str, revision: str) -> _Place:
        namespace, _, name = repo.partition("/")
        sought = RepoId(kind="models", namespace=namespace, name=name)
        try:
            with self._database.reading() as connection:
                found = repos.find(connection, sought, None)
                commit = refs.resolve(connection, found, revision)
                created, findings, author = connection.execute(
                    "SELECT created, findings, author FROM commits WHERE repo=? AND oid=?",
                    (found.key, commit),
                ).fetchone()
        except Fault as fault:
            raise NotFoundError(f"there is no {repo}@{revision}", hint="check the name") from fault
        return _Place(
            repo=str(found.id),
            commit=commit,
            created=created,
            gated=bool(found.gated),
            findings=None if findings is None else tuple(checks.decode(findings)),
            proposed_by="" if author == found.id.namespace else author,
        )

    def _versions(self, repo: str, yanked: Mapping[str, str]) -> list[gallery.Version]:
        versions = [
            gallery.Version(
                version=one.tag.removeprefix("v"),
                commit=one.commit,
                published=_moment(one.created),
                yanked=one.tag.removeprefix("v") in yanked,
                intact=not one.findings,
            )
            for one in self._catalogue.versions(repo)
        ]
        return sorted(versions, key=lambda one: _order(one.version), reverse=True)

    def _yanked(self, repo: str) -> dict[str, str]:
        """Give the withdrawn versions with the reason; what is no such document withdraws none."""
        content = self.file(repo, refs.MAIN, YANKED, limit=MAX_YANKED_BYTES)
        try:
            return msgspec.json.decode(content or b"{}", type=dict[str, str])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {}

    def _text(self, repo: str, commit: str) -> str:
        try:
            return self._catalogue.card(repo, commit)
        except NotFoundError:
            return ""

    def _read_manifest(self, repo: str, commit: str) -> QueryManifest | None:
        try:
            manifest = from_json(self._catalogue.manifest(repo, commit), QueryManifest)
            _ = manifest.digest
        except (NotFoundError, ValueError):
            return None
        return manifest


def _sought(wanted: gallery.Wanted, size: int) -> catalogue.Wanted:
    return catalogue.Wanted(
        words=wanted.words,
        kind=wanted.kind or None,
        target=wanted.target or None,
        backbone=wanted.backbone or None,
        dataset=wanted.dataset or None,
        licence=wanted.licence or None,
        min_dice=wanted.min_dice,
        sort=_SORTS.get(wanted.sort, wanted.sort),
        page=wanted.page,
        size=size,
        usable=wanted.usable,
    )


def _current(versions: Iterable[gallery.Version]) -> str:
    kept = [one.version for one in versions if not one.yanked and "-" not in one.version]
    return f"v{kept[0]}" if kept else refs.MAIN


def _order(version: str) -> tuple[object, ...]:
    """Order versions; what follows a plus says how one was built, and does not count."""
    return names.order(version.partition("+")[0])


def _files(files: Mapping[str, int]) -> Iterable[File]:
    return (File(path=path, size=size) for path, size in files.items())


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None

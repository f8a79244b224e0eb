"""A shelf over a folder of artifacts, and a gallery that serves it on a loopback port."""

import hashlib
import re
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from retq_hub import artifact
from retq_hub.errors import Finding, RetqError
from retq_hub.gallery.bench import Bench
from retq_hub.gallery.routes import routes
from retq_hub.gallery.shelf import (
    FACETS,
    Choice,
    Exhibit,
    File,
    Found,
    Item,
    Shelf,
    Version,
    Wanted,
)
from retq_hub.picture import PICTURE
from retq_hub.tasks import kind_of

EPOCH = datetime(2026, 11, 1, 12, tzinfo=UTC)


@dataclass
class FolderShelf:
    """Shows ``root/namespace/name/version/`` folders.

    Attributes:
        gated: Repositories that are.
        yanked: ``namespace/name@version`` that are.
    """

    root: Path
    gated: set[str] = field(default_factory=set)
    yanked: set[str] = field(default_factory=set)

    def search(self, wanted: Wanted, *, size: int) -> Found:
        everything = self.items()
        kept = [one for one in everything if fits(one, wanted)]
        kept.sort(key=lambda one: ORDERS[wanted.sort](one))
        start = (wanted.page - 1) * size
        choices = {name: counted(everything, name) for name in FACETS}
        return Found(items=tuple(kept[start : start + size]), total=len(kept), choices=choices)

    def items(self) -> list[Item]:
        return [self.exhibit(repo).item for repo in self._repos()]

    def exhibit(self, repo: str, revision: str = "") -> Exhibit | None:
        versions = self._versions(repo)
        if not versions:
            return None
        newest = next((one for one in versions if not one.yanked), versions[0])
        names = {one.commit: one for one in versions} | {f"v{one.version}": one for one in versions}
        shown = names.get(revision) if revision and revision != "main" else newest
        if shown is None:
            return None
        folder = self.root / repo / shown.version
        findings = checked(folder)
        try:
            manifest = artifact.read_manifest(folder)
        except RetqError:
            manifest = None
        item = Item(
            repo=repo,
            commit=shown.commit,
            version=shown.version if manifest else None,
            manifest=manifest,
            updated=shown.published,
            intact=not findings,
            picture=(folder / PICTURE).is_file(),
            gated=repo in self.gated,
            yanked=shown.yanked,
        )
        files = tuple(
            File(path=path.name, size=path.stat().st_size) for path in sorted(folder.iterdir())
        )
        return Exhibit(
            item=item,
            card=(folder / "README.md").read_text() if (folder / "README.md").is_file() else "",
            versions=versions,
            findings=tuple(findings),
            files=None if item.gated else files,
            pinned=shown is not newest,
        )

    def file(self, repo: str, commit: str, path: str, *, limit: int) -> bytes | None:
        if repo in self.gated:
            return None
        for one in self._versions(repo):
            place = self.root / repo / one.version / path
            if one.commit == commit and place.is_file() and place.stat().st_size <= limit:
                return place.read_bytes()
        return None

    def _repos(self) -> list[str]:
        return [str(path.relative_to(self.root)) for path in sorted(self.root.glob("*/*"))]

    def _versions(self, repo: str) -> tuple[Version, ...]:
        if not re.fullmatch(r"[\w-]+/[\w.-]+", repo):
            return ()
        folders = sorted(self.root.glob(f"{repo}/*"), key=lambda path: path.name, reverse=True)
        return tuple(
            Version(
                version=path.name,
                commit=hashlib.sha1(str(path).encode()).hexdigest(),
                published=EPOCH + timedelta(days=number),
                yanked=f"{repo}@{path.name}" in self.yanked,
                intact=not checked(path),
            )
            for number, path in enumerate(reversed(folders))
        )[::-1]


@dataclass
class Crowd(FolderShelf):
    """Shows one query under many names, for searches alone."""

    size: int = 10_000

    @cached_property
    def crowd(self) -> list[Item]:
        (one,) = super().items()
        return [replace(one, repo=f"crowd/query-{n:05}") for n in range(self.size)]

    def items(self) -> list[Item]:
        return self.crowd


@cache
def checked(folder: Path) -> tuple[Finding, ...]:
    return tuple(artifact.findings(folder))


def dice(item: Item) -> float:
    measured = item.manifest.metrics if item.manifest else ()
    return measured[0].values["dice"].mean if measured else 0.0


ORDERS = {
    "newest": lambda one: (-one.updated.timestamp(), one.repo),
    "dice": lambda one: (-dice(one), one.repo),
    "name": lambda one: one.repo,
}


def values(item: Item, name: str) -> list[str]:
    manifest = item.manifest
    if manifest is None:
        return []
    return {
        "kind": [kind_of(manifest)],
        "target": [one.label for one in manifest.targets],
        "backbone": [manifest.backbone.id],
        "dataset": [one.title for one in manifest.data],
        "licence": [manifest.licence.id],
    }[name]


def fits(item: Item, wanted: Wanted) -> bool:
    text = " ".join([item.repo, *(one for name in FACETS for one in values(item, name))]).lower()
    return (
        all(word in text for word in wanted.words.lower().split())
        and all(
            not getattr(wanted, name) or getattr(wanted, name) in values(item, name)
            for name in FACETS
        )
        and (wanted.min_dice is None or dice(item) >= wanted.min_dice)
        and (not wanted.usable or (item.intact is True and not item.gated and not item.yanked))
    )


def counted(items: Iterable[Item], name: str) -> tuple[Choice, ...]:
    every = [one for item in items for one in values(item, name)]
    return tuple(Choice(value=one, count=every.count(one)) for one in sorted(set(every)))


@contextmanager
def served(shelf: Shelf, *, bench: Bench | None = None) -> Iterator[str]:
    """Serve a gallery on a loopback port and give its address."""

    app = Starlette(routes=routes(shelf, bench=bench))
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()

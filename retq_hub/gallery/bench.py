"""Where photographs are tried: queries of one backbone applied, one photograph at a time.

torch is imported by the first photograph. The backbone that was used last stays in memory; nothing
is kept of a photograph.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from retq_hub.artifact import CARD, GOLDEN, MANIFEST, QUERY
from retq_hub.errors import NotFoundError, UsageError
from retq_hub.gallery.shelf import Item, Shelf

if TYPE_CHECKING:
    from PIL import Image

    from retq_hub.backbone import Backbone
    from retq_hub.query import Query
    from retq_hub.result import Reading

__all__ = ["MAX_QUERIES", "Bench", "Full"]

MAX_QUERIES = 8
"""So many queries are applied at once: there are as many colours that all can tell apart."""

_FILES = (MANIFEST, QUERY, GOLDEN)
_KEPT = 64
_MAX_BYTES = 256 * 2**20


class Full(Exception):
    """As many photographs as may be wait already."""


class Bench:
    """Applies a hub's queries to photographs.

    Args:
        shelf: The hub.
        places: So many photographs may be received, waiting or worked on.

    Attributes:
        taken: So many are.
    """

    def __init__(self, shelf: Shelf, *, places: int = 4) -> None:
        self._shelf = shelf
        self._places = places
        self.taken = 0
        self._counting, self._working = Lock(), Lock()
        self._backbone: Backbone | None = None
        self._query = lru_cache(_KEPT)(self._read_query)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the places as long as the block lasts.

        Raises:
            Full: None is free.
        """
        with self._counting:
            if self.taken >= self._places:
                raise Full(f"{self.taken} photographs are in work or wait; try again in a moment")
            self.taken += 1
        try:
            yield
        finally:
            with self._counting:
                self.taken -= 1

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until nobody else works, and work alone as long as the block lasts.

        What takes memory or time belongs in it: decoding, applying, drawing.
        """
        with self._working:
            yield

    def apply(self, items: Sequence[Item], image: "Image.Image") -> "Mapping[str, Reading]":
        """Apply queries to a photograph, within one's `turn`.

        Args:
            items: The queries, all of one backbone.
            image: The photograph, upright RGB.

        Returns:
            What each says, by its repository.

        Raises:
            UsageError: There is none, too many, or they are of several backbones.
            NotFoundError: A query's files are not there, or nobody here knows its backbone.
            IntegrityError: A query is not intact, or was made for other weights.
            NetworkError: The backbone's weights are not here and cannot be had.
        """
        backbone = _common_backbone(items)

        from retq_hub.pipeline import Pipeline

        queries = {one.repo: self._query(one.repo, one.commit) for one in items}
        pipeline = Pipeline(backbone=self._load(backbone), queries=queries, embed=False)
        return pipeline(image)

    def _load(self, name: str) -> "Backbone":
        from retq_hub.backbone import Backbone

        if self._backbone is None or self._backbone.spec.id != name:
            self._backbone = None
            self._backbone = Backbone.from_pretrained(name)
        return self._backbone

    def _read_query(self, repo: str, commit: str) -> "Query":
        from retq_hub.query import Query

        with tempfile.TemporaryDirectory(prefix="retq-") as place:
            folder = Path(place)
            for name in _FILES:
                content = self._shelf.file(repo, commit, name, limit=_MAX_BYTES)
                if content is None:
                    raise NotFoundError(
                        f"{repo} has no open file {name}", hint="leave this query out"
                    )
                (folder / name).write_bytes(content)
            (folder / CARD).touch()
            return Query.from_pretrained(folder)


def _common_backbone(items: Sequence[Item]) -> str:
    backbones = {one.manifest.backbone.id for one in items if one.manifest}
    if not backbones:
        raise UsageError("no query is chosen", hint="choose at least one")
    if len(items) > MAX_QUERIES:
        raise UsageError(
            f"{len(items)} queries are chosen, at most {MAX_QUERIES} are applied at once",
            hint="leave some out",
        )
    if len(backbones) > 1:
        raise UsageError(
            f"the queries are for several backbones: {', '.join(sorted(backbones))}",
            hint="choose queries of one backbone",
        )
    return backbones.pop()

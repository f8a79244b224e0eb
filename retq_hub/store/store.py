"""A store that is read: embeddings and tokens of images, with no backbone and no photograph."""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import Tensor

from retq_hub.errors import NotFoundError, UsageError
from retq_hub.places import path_of
from retq_hub.plans import TokenSet
from retq_hub.preparation import Needs, Scene
from retq_hub.store.contents import (
    CHANNELS,
    EMBEDDING,
    Contents,
    guide_name,
    read_contents,
    tokens_name,
)
from retq_hub.store.shard import Entry, Shard, numbers

__all__ = ["Batch", "Store"]


@dataclass(frozen=True)
class _Place:
    """Where an image lies."""

    shard: Shard
    row: int

    @property
    def entry(self) -> Entry:
        return self.shard.entries[self.row]


@dataclass(frozen=True)
class Batch:
    """Images whose tensors lie side by side.

    Attributes:
        entries: The images.
        needs: What is read of them.
        shard: Where they lie.
        start: The row of the first.
    """

    entries: tuple[Entry, ...]
    needs: Needs
    shard: Shard
    start: int

    @cached_property
    def tokens(self) -> TokenSet:
        """The (B, N, D) float16 tokens by pass and layer, mapped from the file."""
        return {
            (key, layer): self._rows(tokens_name(key, layer))
            for key, layers in self.needs.plan.items()
            for layer in layers
        }

    @cached_property
    def embeddings(self) -> Tensor:
        """The (B, D) float32 embeddings."""
        return self._rows(EMBEDDING)

    @cached_property
    def channels(self) -> Tensor | None:
        """The (B, 196 * 196, 20) float16 pixel channels, where they are needed."""
        return self._rows(CHANNELS) if self.needs.channels else None

    def scene(self, number: int, *, channels: bool = True) -> Scene:
        """Give what queries read beside the tokens, as `retq_hub.preparation.scene` does.

        Args:
            number: Of the image in the batch.
            channels: Whether its pixel channels are wanted, where they are needed at all.
        """
        found = self.channels if channels else None
        return Scene(
            size=self.entries[number].size,
            channels=None if found is None else found[number].float().numpy(),
            guides={
                side: rows[number].numpy().astype(np.float32) / np.float32(255)
                for side, rows in self._guides.items()
            },
        )

    def single(self, number: int) -> TokenSet:
        """Give the (N, D) float32 tokens of one of the images."""
        return {place: found[number].float() for place, found in self.tokens.items()}

    @cached_property
    def _guides(self) -> dict[int, Tensor]:
        return {side: self._rows(guide_name(side)) for side in self.needs.guides}

    def _rows(self, name: str) -> Tensor:
        return self.shard.rows(name, self.start, self.start + len(self.entries))


class Store:
    """A folder that `retq embed` filled.

    Where an image is there twice, because its file changed meanwhile, the last one counts.

    Args:
        folder: The folder.

    Attributes:
        folder: The folder.
        contents: What is held of each image, and what made it.

    Raises:
        NotFoundError: The folder is no store.
        ManifestError: Its description is not what a store's is.
        IntegrityError: A shard's index is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = path_of(folder)
        self.contents: Contents = read_contents(self.folder)
        self._by_path: dict[str, _Place] = {}
        for number in numbers(self.folder):
            shard = Shard(self.folder, number, self.contents)
            for row, entry in enumerate(shard.entries):
                self._by_path.pop(entry.image, None)
                self._by_path[entry.image] = _Place(shard, row)
        self._by_digest = {place.entry.sha256: place for place in self._by_path.values()}

    def __len__(self) -> int:
        """Count the images."""
        return len(self._by_path)

    def __iter__(self) -> Iterator[Entry]:
        """Go through the images, in the order in which they were written."""
        return (self._by_path[path].entry for path in self._by_path)

    def __contains__(self, image: object) -> bool:
        """Whether an image is there, by its path or by its file's digest."""
        return image in self._by_path or image in self._by_digest

    @property
    def engine(self) -> str:
        """What the backbone ran on, and in which precision: ``torch float32``."""
        return self.contents.engine

    def missing(self, needs: Needs) -> list[str]:
        """Name what is not held of what queries need; nothing where they can be applied."""
        return self.contents.missing(needs.plan, channels=needs.channels, guides=needs.guides)

    def embedding(self, image: str | Path) -> Tensor:
        """Give an image's embedding, pooled as the backbone's spec says.

        Args:
            image: Its path as it was given, or the digest of its file.

        Returns:
            (D,) float32.

        Raises:
            NotFoundError: There is no such image.
            IntegrityError: The store is damaged.
        """
        return self._one(image, EMBEDDING)

    def tokens(self, image: str | Path, needs: Needs | None = None) -> TokenSet:
        """Give an image's tokens.

        Args:
            image: Its path as it was given, or the digest of its file.
            needs: Which; all that are held if not given.

        Returns:
            (N, D) float32 by pass and layer, of float16 precision.

        Raises:
            NotFoundError: There is no such image.
            UsageError: The store does not hold such tokens.
            IntegrityError: The store is damaged.
        """
        plan = self.contents.plan if needs is None else needs.plan
        self._check(Needs(plan=plan))
        return {
            (key, layer): self._one(image, tokens_name(key, layer)).float()
            for key, layers in plan.items()
            for layer in layers
        }

    def channels(self, image: str | Path) -> Tensor:
        """Give an image's pixel channels, (196 * 196, 20) float32, of float16 precision.

        Raises:
            NotFoundError: There is no such image.
            UsageError: The store does not hold them.
            IntegrityError: The store is damaged.
        """
        self._check(Needs(plan={}, channels=True))
        return self._one(image, CHANNELS).float()

    def rows(self, image: str | Path) -> dict[str, Tensor]:
        """Give all that is held of an image by name, as `Contents.tensors` says, mapped.

        Raises:
            NotFoundError: There is no such image.
            IntegrityError: The store is damaged.
        """
        return {name: self._one(image, name) for name in self.contents.tensors}

    def batch(self, image: str | Path, needs: Needs) -> Batch:
        """Give one image, as `batches` gives several.

        Raises:
            NotFoundError: There is no such image.
            UsageError: The store does not hold what is needed.
        """
        self._check(needs)
        return _batch([self._place(image)], needs)

    def batches(
        self, needs: Needs, *, size: int, images: Container[str] | None = None
    ) -> Iterator[Batch]:
        """Go through images, some at once, in the order in which they were written.

        Args:
            needs: What is read of them.
            size: So many images at most; fewer at a shard's end.
            images: Paths of those that are wanted, as they were given; all if not given.

        Raises:
            UsageError: The store does not hold what is needed.
            IntegrityError: The store is damaged; when what is damaged is asked for.
        """
        self._check(needs)
        together: list[_Place] = []
        for path, place in self._by_path.items():
            if images is not None and path not in images:
                continue
            if together and not _follows(together[-1], place, len(together), size):
                yield _batch(together, needs)
                together = []
            together.append(place)
        if together:
            yield _batch(together, needs)

    def _check(self, needs: Needs) -> None:
        if missing := self.missing(needs):
            raise UsageError(
                f"{self.folder} does not hold {', '.join(missing)}: it holds {self.contents.text}",
                hint="`retq embed -q QUERY` holds what a query reads, in a store of its own",
            )

    def _one(self, image: str | Path, name: str) -> Tensor:
        place = self._place(image)
        return place.shard.rows(name, place.row, place.row + 1)[0]

    def _place(self, image: str | Path) -> _Place:
        place = self._by_path.get(str(image)) or self._by_digest.get(str(image))
        if place is None:
            raise NotFoundError(
                f"{self.folder} has no image {image}", hint="add it with `retq embed`"
            )
        return place


def _follows(last: _Place, place: _Place, count: int, size: int) -> bool:
    """Whether an image lies behind the last one, and there is room for it."""
    return count < size and place.shard is last.shard and place.row == last.row + 1


def _batch(places: list[_Place], needs: Needs) -> Batch:
    entries = tuple(place.entry for place in places)
    return Batch(entries, needs, places[0].shard, places[0].row)

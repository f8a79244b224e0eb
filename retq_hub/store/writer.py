"""A store is filled: images are gathered into shards, and what is there is not made again."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from retq_hub.errors import UsageError, storage_errors
from retq_hub.store.contents import CONTENTS, Contents, read_contents, write_contents
from retq_hub.store.shard import Entry, Shard, numbers, write_shard

__all__ = ["Writer"]

_SHARD_BYTES = 128 * 2**20
_SHARD_IMAGES = 256
"""A killed run loses what it had gathered since the last shard: so many images at most."""


class Writer:
    """Fills a store; to be used in a ``with`` block, at whose end the last shard is written.

    Args:
        folder: The store's; made if it is not there.
        contents: What it holds, or shall hold.
        shard_bytes: A shard is full from so many bytes on.
        shard_images: Or from so many images on.

    Raises:
        UsageError: The folder holds something else, or another process writes to it.
        IntegrityError: A shard's index is damaged.
        StorageError: The folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        contents: Contents,
        *,
        shard_bytes: int = _SHARD_BYTES,
        shard_images: int = _SHARD_IMAGES,
    ) -> None:
        self.contents = contents
        self._folder = folder
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / ".lock")
        self._full = max(1, min(shard_images, shard_bytes // max(1, contents.bytes_per_image)))
        self._gathered: list[tuple[Entry, Mapping[str, Tensor]]] = []
        self._done: set[tuple[str, str]] = set()
        self._next = 0

    def __enter__(self) -> "Writer":
        """Take the folder, and read what is there."""
        with storage_errors(self._folder):
            try:
                self._lock.acquire(timeout=0)
            except Timeout as error:
                raise UsageError(
                    f"another process is writing to {self._folder}", hint="wait for it to end"
                ) from error
        try:
            self._begin()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what is gathered, whatever ended the block, and give the folder back."""
        try:
            self._flush()
        finally:
            self._lock.release()

    def __contains__(self, image: object) -> bool:
        """Whether an image, its path and the digest of its file, is there already."""
        return image in self._done

    def add(self, entry: Entry, tensors: Mapping[str, Tensor]) -> None:
        """Add an image.

        Args:
            entry: The image.
            tensors: What `Contents.tensors` names.

        Raises:
            StorageError: The folder cannot be written.
        """
        held = self.contents.tensors
        assert tensors.keys() == held.keys(), "a store holds the same of all its images"
        for name, tensor in tensors.items():
            assert tensor.shape == held[name].shape, f"{name} has its shape"
        # In one step, so that an interrupt finds whole images only.
        self._gathered.append((entry, tensors))
        self._done.add((entry.image, entry.sha256))
        if len(self._gathered) >= self._full:
            self._flush()

    def _begin(self) -> None:
        if (self._folder / CONTENTS).exists():
            found = read_contents(self._folder)
            if found != self.contents:
                raise UsageError(
                    f"{self._folder} holds {_told(found)}, this would be {_told(self.contents)}",
                    hint="name another folder, or ask for the same",
                )
        else:
            write_contents(self._folder, self.contents)
        for left in self._folder.glob(".shard-*.part"):
            with suppress(FileNotFoundError):
                left.unlink()
        for number in numbers(self._folder):
            entries = Shard(self._folder, number, self.contents).entries
            self._done.update((entry.image, entry.sha256) for entry in entries)
            self._next = number + 1

    def _flush(self) -> None:
        gathered, self._gathered = self._gathered, []
        if gathered:
            tensors = {
                name: torch.stack([rows[name] for _, rows in gathered])
                for name in self.contents.tensors
            }
            write_shard(self._folder, self._next, [entry for entry, _ in gathered], tensors)
            self._next += 1


def _told(contents: Contents) -> str:
    """Say in words what a store is of."""
    return (
        f"{contents.text} of {contents.backbone.id} ({contents.engine}, weights "
        f"{contents.weights_digest[:12]}, preprocessing "
        f"{contents.backbone.preprocessing_digest[:12]})"
    )

"""Files by their SHA-256, each written to a temporary name, synced and renamed."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from retq_hub.server.faults import bad_request

__all__ = ["Blob", "BlobWriter", "Blobs", "Staged"]


@dataclass(frozen=True, kw_only=True)
class Blob:
    """The content of a file.

    Attributes:
        sha256: Its SHA-256.
        sha1: The id that git gives it.
        size: In bytes.
        binary: Whether git would call it binary.
    """

    sha256: str
    sha1: str
    size: int
    binary: bool


@dataclass(frozen=True, kw_only=True)
class Staged:
    """A blob that is on the disk, but not yet in its place."""

    blob: Blob
    path: Path


class BlobWriter:
    """Takes a blob in pieces.

    Args:
        path: Where it is written for now.
        size: How many bytes are to come.
    """

    _PROBE = 8000
    """Git calls a file binary if there is a zero byte among so many first ones."""

    def __init__(self, path: Path, *, size: int) -> None:
        self._path = path
        self._stream = path.open("wb")
        self._left = size
        self._size = size
        self._sha256 = hashlib.sha256()
        self._sha1 = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        self._probe = b""

    def write(self, piece: bytes) -> None:
        """Take the next piece.

        Raises:
            Fault: More has come than was announced.
        """
        self._left -= len(piece)
        if self._left < 0:
            raise bad_request(f"more than the announced {self._size} bytes were sent")
        if len(self._probe) < self._PROBE:
            self._probe += piece[: self._PROBE - len(self._probe)]
        self._sha256.update(piece)
        self._sha1.update(piece)
        self._stream.write(piece)

    def finish(self) -> Staged:
        """Put it on the disk.

        Raises:
            Fault: Less has come than was announced.
        """
        if self._left:
            raise bad_request(
                f"{self._size - self._left} bytes were sent, {self._size} were announced"
            )
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self.close()
        blob = Blob(
            sha256=self._sha256.hexdigest(),
            sha1=self._sha1.hexdigest(),
            size=self._size,
            binary=b"\0" in self._probe,
        )
        return Staged(blob=blob, path=self._path)

    def close(self) -> None:
        """Let go of the file."""
        self._stream.close()


class Blobs:
    """The store.

    Args:
        folder: Where blobs lie.
        scratch: Where they are written first; on the same file system. What is in it is removed.
    """

    def __init__(self, folder: Path, scratch: Path) -> None:
        self._folder = folder
        self._scratch = scratch
        shutil.rmtree(scratch, ignore_errors=True)
        for each in (folder, scratch):
            each.mkdir(parents=True, exist_ok=True)

    @property
    def scratch(self) -> Path:
        """A folder for what is not to outlive the process."""
        return self._scratch

    def path(self, sha256: str) -> Path:
        """Give the path of a blob, whether it is there or not."""
        return self._folder / sha256[:2] / sha256[2:]

    def read(self, sha256: str) -> bytes:
        """Give the content of a blob."""
        return self.path(sha256).read_bytes()

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Yield a folder for blobs on their way; what stays in it is removed."""
        folder = Path(tempfile.mkdtemp(dir=self._scratch))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def stage(self, data: bytes, folder: Path) -> Staged:
        """Write a blob that is in memory."""
        handle, name = tempfile.mkstemp(dir=folder)
        os.close(handle)
        writer = BlobWriter(Path(name), size=len(data))
        try:
            writer.write(data)
            return writer.finish()
        finally:
            writer.close()

    def place(self, staged: Staged) -> None:
        """Put a staged blob where `path` says; the name is on the disk afterwards.

        The caller holds the database's write lock, so that no other repository's deletion takes
        the blob away before a row refers to it.
        """
        goal = self.path(staged.blob.sha256)
        if goal.exists():
            return
        new = not goal.parent.exists()
        goal.parent.mkdir(exist_ok=True)
        staged.path.rename(goal)
        _sync(goal.parent)
        if new:
            _sync(self._folder)

    def remove(self, sha256: str) -> None:
        """Remove a blob that no row refers to any more; the caller holds the write lock."""
        self.path(sha256).unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""The cache folder, and writes that are either whole or absent."""

import errno
import glob
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from retq_hub.errors import StorageError, storage_errors

__all__ = [
    "cache_dir",
    "check_writable",
    "json_text",
    "whole_file",
    "whole_folder",
    "write_json",
    "write_text",
]


_LEFT_S = 24 * 60 * 60.0
"""A temporary folder in which nothing has changed for so long was left by a killed run."""

_TRIES = 5
"""So often another process may put a folder in our way while we put ours in place."""


def check_writable(folder: Path) -> None:
    """Try to write in a folder, which is made, so that hours of work are not for nothing.

    Raises:
        StorageError: The place cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".retq-"):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            f"cannot write in {folder}: {reason}", hint="name another folder"
        ) from error


def cache_dir() -> Path:
    """Give the cache folder: ``RETQ_CACHE``, else ``retq`` in the user's cache folder."""
    if configured := os.environ.get("RETQ_CACHE"):
        return Path(configured).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "retq"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block succeeds.

    Args:
        path: Where the file shall be in the end; its folder is made.

    Raises:
        StorageError: The place cannot be written.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; put it in the place of ``path`` on success.

    Args:
        path: Where the folder shall be in the end; what is there is replaced.

    Raises:
        StorageError: The place cannot be written.
    """
    path = path.absolute()
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _restore(path)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o755)
            _swap(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _swap(new: Path, path: Path) -> None:
    """Rename ``new`` to ``path``, moving what is there out of the way first."""
    for _ in range(_TRIES):
        old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
        try:
            with suppress(FileNotFoundError):
                path.rename(old / "old")
            new.rename(path)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        finally:
            _restore(path)
            shutil.rmtree(old, ignore_errors=True)
    new.rename(path)


def _restore(path: Path) -> None:
    """Put back what a killed run had moved out of the way; clear what it left half-made."""
    for old in sorted(path.parent.glob(f".{glob.escape(path.name)}.*.old")):
        if not path.exists() and (old / "old").is_dir():
            (old / "old").rename(path)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        if left.suffix in (".old", ".part") and _is_left(left):
            shutil.rmtree(left, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    """Whether nobody can be at work in a folder any more."""
    with suppress(OSError):
        return folder.is_dir() and time.time() - folder.stat().st_mtime > _LEFT_S
    return False


def json_text(document: Any) -> str:  # noqa: ANN401 - any JSON value
    """Give a JSON document as people read it: sorted keys, two spaces, a final newline."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write_json(path: Path, document: Any) -> None:  # noqa: ANN401 - any JSON value
    """Write a JSON document, whole or not at all.

    Raises:
        StorageError: The place cannot be written.
    """
    write_text(path, json_text(document))


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all.

    Raises:
        StorageError: The place cannot be written.
    """
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")

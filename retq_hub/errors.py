"""The errors that retq-hub raises on purpose, their exit codes and their next steps.

::

    RetqError                     1   a check found something
    |-- CheckFailed               1   `validate`, `index check`, `backbones verify`: findings listed
    |-- UsageError                2   an option or argument that makes no sense
    |-- NotFoundError             3   an unknown name, version, file
    |-- IntegrityError            4   bytes are not what was promised
    |   |-- DigestMismatch        4   ... a SHA-256 differs
    |   |-- CheckpointError       4   ... tensors missing, extra or misshapen; a hostile pickle
    |   `-- BackboneMismatch      4   ... a query was made for another backbone
    |-- NetworkError              5   a hub, an index or a server did not deliver
    |   `-- Unreachable           5   ... because it cannot be reached, or is busy
    |-- BadInputError             6   a file of the user's that cannot be used
    |   |-- ImageError            6   ... an image
    |   |-- MaskError             6   ... a mask
    |   |-- DatasetError          6   ... a data set as a whole
    |   `-- ManifestError         6   ... a JSON document that breaks its schema
    `-- StorageError              7   the disk is full or not writable

A message is one line: what was found, what was expected and where. ``hint`` is the next step.
"""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "BackboneMismatch",
    "BadInputError",
    "CheckFailed",
    "CheckpointError",
    "DatasetError",
    "DigestMismatch",
    "Finding",
    "ImageError",
    "IntegrityError",
    "ManifestError",
    "MaskError",
    "NetworkError",
    "NotFoundError",
    "RetqError",
    "StorageError",
    "Unreachable",
    "UsageError",
    "is_storage",
    "storage_errors",
]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a check found wrong.

    Attributes:
        where: File or JSON path, for example ``retq.json/head/thresholds/0``.
        what: What was found and what was expected, in one line.
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


class RetqError(Exception):
    """Base of all errors that retq-hub raises on purpose.

    Args:
        found: One line: what was found, what was expected, where.
        hint: The next step for the reader, one line; may be empty.
    """

    exit_code = 1

    def __init__(self, found: str, *, hint: str = "") -> None:
        self.found = found
        self.hint = hint
        super().__init__(f"{found}; {hint}" if hint else found)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the error as it is, whatever its arguments were: workers send it home."""
        return _again, (type(self), self.args), self.__dict__


class CheckFailed(RetqError):
    """A check ran to its end and found something.

    Args:
        subject: What was checked.
        findings: Everything that was found.
        hint: The next step.
    """

    def __init__(self, subject: str, findings: Sequence[Finding], *, hint: str = "") -> None:
        self.findings = tuple(findings)
        super().__init__(_joined(subject, self.findings), hint=hint)


class UsageError(RetqError):
    """An option, argument or combination of them that makes no sense."""

    exit_code = 2


class NotFoundError(RetqError):
    """A name, version or file that is not there."""

    exit_code = 3


class IntegrityError(RetqError):
    """Bytes or tensors that are not what was promised."""

    exit_code = 4


class DigestMismatch(IntegrityError):
    """A SHA-256 that differs from the pinned one.

    Args:
        what: The file or the weights that were hashed.
        expected: The pinned digest.
        actual: The digest that was computed.
        hint: The next step.
    """

    def __init__(self, what: str, *, expected: str, actual: str, hint: str = "") -> None:
        self.expected = expected
        self.actual = actual
        super().__init__(f"{what} has digest {actual}, expected {expected}", hint=hint)


class CheckpointError(IntegrityError):
    """A checkpoint that cannot be loaded strictly and safely."""


class BackboneMismatch(IntegrityError):
    """A query that was made for another backbone."""


class NetworkError(RetqError):
    """A hub, an index or a server that did not deliver."""

    exit_code = 5


class Unreachable(NetworkError):
    """A hub that cannot be reached or is busy: what the cache holds may serve."""


class BadInputError(RetqError):
    """A file of the user's that cannot be used."""

    exit_code = 6


class ImageError(BadInputError):
    """An image that cannot be used."""


class MaskError(BadInputError):
    """A mask that cannot be used."""


class DatasetError(BadInputError):
    """A data set that cannot be used as a whole."""


class ManifestError(BadInputError):
    """A JSON document that breaks its schema; the message lists all findings.

    Args:
        subject: The document.
        findings: Everything that breaks the schema.
        hint: The next step.
    """

    def __init__(self, subject: str, findings: Sequence[Finding], *, hint: str = "") -> None:
        self.findings = tuple(findings)
        super().__init__(_joined(subject, self.findings), hint=hint)


class StorageError(RetqError):
    """A disk that is full, read-only or not ours to write to."""

    exit_code = 7


_STORAGE_ERRNOS = frozenset(
    {
        errno.EACCES,
        errno.EDQUOT,
        errno.EEXIST,
        errno.EFBIG,
        errno.EISDIR,
        errno.ENAMETOOLONG,
        errno.ENOSPC,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    }
)


def _again(kind: type[RetqError], args: tuple[Any, ...]) -> RetqError:
    error = kind.__new__(kind)
    error.args = args
    return error


def _joined(subject: str, findings: Sequence[Finding]) -> str:
    many = "finding" if len(findings) == 1 else "findings"
    return f"{subject}: {len(findings)} {many}: " + "; ".join(map(str, findings))


def is_storage(error: OSError) -> bool:
    """Whether the operating system refused to write: disk full, read-only, no permission."""
    return error.errno in _STORAGE_ERRNOS


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write below ``path`` into a `StorageError`.

    Args:
        path: The file or folder that is written, named in the message.

    Raises:
        StorageError: The disk is full, read-only, over quota, or the place is not writable.
    """
    try:
        yield
    except OSError as error:
        if not is_storage(error):
            raise
        reason = error.strerror or str(error)
        raise StorageError(
            f"cannot write {path}: {reason}",
            hint="free some space or choose another place (RETQ_CACHE moves the cache)",
        ) from error

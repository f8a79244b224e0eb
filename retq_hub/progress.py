"""Progress that somebody may want to see: a small interface, and a silent one.

The library reports; the command line decides how it looks.
"""

import warnings
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

__all__ = ["Progress", "Silent", "tell"]

T = TypeVar("T")


class Progress(Protocol):
    """Where long work reports how far it is."""

    def steps(self, items: Iterable[T], *, what: str, total: int | None = None) -> Iterator[T]:
        """Pass ``items`` through, counting them; ``what`` names the work."""
        ...

    def download(self, chunks: Iterable[bytes], *, what: str, total: int | None) -> Iterator[bytes]:
        """Pass ``chunks`` through, counting their bytes."""
        ...

    def note(self, line: str) -> None:
        """Say one line."""
        ...

    def measure(self, value: str, *, milestone: bool = False) -> None:
        """Show what the work in hand measures now, such as its loss.

        Args:
            value: A few words; they replace the last ones.
            milestone: Worth a line of its own in a log, where nothing can be replaced.
        """
        ...


class Silent:
    """Progress that says nothing."""

    def steps(self, items: Iterable[T], *, what: str, total: int | None = None) -> Iterator[T]:
        """Pass ``items`` through."""
        yield from items

    def download(self, chunks: Iterable[bytes], *, what: str, total: int | None) -> Iterator[bytes]:
        """Pass ``chunks`` through."""
        yield from chunks

    def note(self, line: str) -> None:
        """Say nothing."""

    def measure(self, value: str, *, milestone: bool = False) -> None:
        """Show nothing."""


def tell(progress: Progress | None, line: str) -> None:
    """Say one line that the user should know, as a Python warning if nobody listens."""
    if progress is None:
        warnings.warn(line, stacklevel=3)
    else:
        progress.note(line)

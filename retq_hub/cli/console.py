"""How the command line looks: tables on stdout, talk and progress on stderr."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import click

from retq_hub.text import printable

__all__ = ["BarProgress", "print_facts", "print_json", "print_table", "say"]

T = TypeVar("T")

_PATIENCE_S = 1.0


def print_json(document: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print one JSON document; what does not show in a terminal is escaped."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    click.echo(text if text.replace("\n", "").isprintable() else json.dumps(document, indent=2))


def say(line: str) -> None:
    """Say one line on stderr."""
    click.echo(printable(line, most=None), err=True)


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    wrap: str | tuple[str, ...] = "",
    right: int = 0,
) -> None:
    """Print a table that fits the terminal.

    Args:
        columns: The headings.
        rows: The cells.
        wrap: The columns whose cells may take several lines; the others keep to one.
        right: So many of the last columns are aligned right.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    wrapped = (wrap,) if isinstance(wrap, str) else wrap
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for number, name in enumerate(columns):
        justify: Literal["left", "right"] = "right" if number >= len(columns) - right else "left"
        table.add_column(name, justify=justify, no_wrap=name not in wrapped, overflow="fold")
    for row in rows:
        table.add_row(*(printable(cell, most=None) for cell in row))
    Console(highlight=False, markup=False).print(table)


def print_facts(rows: Iterable[tuple[str, str]]) -> None:
    """Print what is known of one thing: a word, and what there is to say."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*(printable(cell, most=None) for cell in row))
    Console(highlight=False, markup=False).print(table)


class BarProgress:
    """Progress bars on stderr for what takes longer than a second.

    Where stderr is no terminal there are no bars, only notes and the milestones of what is
    measured: a log grows by a line now and then.
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._works: list[_Work] = []

    def steps(self, items: Iterable[T], *, what: str, total: int | None = None) -> Iterator[T]:
        """Pass ``items`` through, counting them."""
        yield from self._counted(items, what=what, total=total, size=_single, in_bytes=False)

    def download(self, chunks: Iterable[bytes], *, what: str, total: int | None) -> Iterator[bytes]:
        """Pass ``chunks`` through, counting their bytes."""
        yield from self._counted(chunks, what=what, total=total, size=len, in_bytes=True)

    def note(self, line: str) -> None:
        """Say one line on stderr, above the bars."""
        if line and self._bar is not None:
            self._bar.console.print(
                printable(line, most=None), markup=False, highlight=False, soft_wrap=True
            )
        elif line:
            say(line)

    def measure(self, value: str, *, milestone: bool = False) -> None:
        """Show a value beside the bar; in a log, a milestone as a line."""
        if self._works:
            self._works[-1].measured = value
            self._show(self._works[-1])
        if milestone and not sys.stderr.isatty():
            self.note(value)

    def _counted(
        self,
        items: Iterable[T],
        *,
        what: str,
        total: int | None,
        size: Callable[[T], int],
        in_bytes: bool,
    ) -> Iterator[T]:
        if not sys.stderr.isatty():
            yield from items
            return
        work = _Work(what=what, total=total, in_bytes=in_bytes)
        self._works.append(work)
        try:
            for item in items:
                self._show(work)
                yield item
                work.done += size(item)
        finally:
            self._works.remove(work)
            self._end(work)

    def _show(self, work: "_Work") -> None:
        """Bring a bar up to date; it appears once the work has taken a second."""
        if work.task is None:
            if time.monotonic() - work.began < _PATIENCE_S:
                return
            if self._bar is None:
                self._bar = _bar(work.in_bytes)
                self._bar.start()
            work.task = self._bar.add_task(work.what, total=work.total, measured="")
        self._bar.update(work.task, completed=work.done, measured=work.measured)

    def _end(self, work: "_Work") -> None:
        """Show how it ended; the last bar stays where it is, others make room."""
        if work.task is None:
            return
        self._show(work)
        if any(one.task is not None for one in self._works):
            self._bar.remove_task(work.task)
        else:
            self._bar.stop()
            self._bar = None


@dataclass(kw_only=True)
class _Work:
    """Work that is counted, and its bar once it has one."""

    what: str
    total: int | None
    in_bytes: bool
    done: int = 0
    measured: str = ""
    task: Any = None
    began: float = field(default_factory=time.monotonic)


def _single(_: object) -> int:
    return 1


def _bar(in_bytes: bool) -> Any:  # noqa: ANN401 - rich is imported here only
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    count = DownloadColumn() if in_bytes else MofNCompleteColumn()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        count,
        TimeRemainingColumn(),
        TextColumn("{task.fields[measured]}"),
        console=Console(stderr=True),
        transient=True,
    )

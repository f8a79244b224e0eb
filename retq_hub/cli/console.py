"""How the command line looks: tables on stdout, talk and progress on stderr."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, TypeVar

import click

__all__ = ["BarProgress", "print_facts", "print_json", "print_table"]

T = TypeVar("T")

_PATIENCE_S = 1.0


def print_json(document: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print one JSON document."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, wrap: str = "", right: int = 0
) -> None:
    """Print a table that fits the terminal.

    Args:
        columns: The headings.
        rows: The cells.
        wrap: The column whose cells may take several lines; the others keep to one.
        right: So many of the last columns are aligned right.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for number, name in enumerate(columns):
        justify: Literal["left", "right"] = "right" if number >= len(columns) - right else "left"
        table.add_column(name, justify=justify, no_wrap=name != wrap, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)


def print_facts(rows: Iterable[tuple[str, str]]) -> None:
    """Print what is known of one thing: a word, and what there is to say."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)


class BarProgress:
    """Progress bars on stderr for what takes longer than a second.

    Where stderr is no terminal there are no bars, only notes and the milestones of what is
    measured: a log grows by a line now and then.
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._tasks: list[Any] = []

    def steps(self, items: Iterable[T], *, what: str, total: int | None = None) -> Iterator[T]:
        """Pass ``items`` through, counting them."""
        yield from self._counted(items, what=what, total=total, size=_single, in_bytes=False)

    def download(self, chunks: Iterable[bytes], *, what: str, total: int | None) -> Iterator[bytes]:
        """Pass ``chunks`` through, counting their bytes."""
        yield from self._counted(chunks, what=what, total=total, size=len, in_bytes=True)

    def note(self, line: str) -> None:
        """Say one line on stderr, above the bars."""
        if line and self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        elif line:
            click.echo(line, err=True)

    def measure(self, value: str, *, milestone: bool = False) -> None:
        """Show a value beside the bar; in a log, a milestone as a line."""
        if self._bar is not None:
            self._bar.update(self._tasks[-1], measured=value)
        elif milestone and not sys.stderr.isatty():
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
        began, done, task = time.monotonic(), 0, None
        try:
            for item in items:
                if task is None and time.monotonic() - began > _PATIENCE_S:
                    task = self._begin(what, total, done, in_bytes)
                yield item
                done += size(item)
                if task is not None:
                    self._bar.update(task, completed=done)
        finally:
            if task is not None:
                self._end(task)

    def _begin(self, what: str, total: int | None, done: int, in_bytes: bool) -> Any:  # noqa: ANN401
        """Add a bar below those that there are."""
        if self._bar is None:
            self._bar = _bar(in_bytes)
            self._bar.start()
        self._tasks.append(self._bar.add_task(what, total=total, completed=done, measured=""))
        return self._tasks[-1]

    def _end(self, task: Any) -> None:  # noqa: ANN401 - rich's task id
        self._bar.remove_task(task)
        self._tasks.remove(task)
        if not self._tasks:
            self._bar.stop()
            self._bar = None


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

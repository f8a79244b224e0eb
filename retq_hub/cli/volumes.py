"""How ``retq segment`` shows what a run did with volumes."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from retq_hub.cli.console import print_table

if TYPE_CHECKING:
    from retq_hub.segment import Outcome
    from retq_hub.volumes.table import VolumeRow

__all__ = ["print_volumes", "volume_document"]

_SHOWN = 20


def print_volumes(done: "Outcome[VolumeRow]", output: Path) -> None:
    """Print a row for each volume and target, the first ones, and where the rest is."""
    rows = done.rows[:_SHOWN]
    known = any(row.volume_mm3 is not None for row in rows)
    columns = ("volume", "query", "target", "slices", "share", *(("mm3",) if known else ()))
    if rows:
        cells = [_cells(row)[: len(columns)] for row in rows]
        print_table(columns, cells, wrap="volume", right=len(columns) - 3)
    more = f", the first {_SHOWN} rows are above" if len(done.rows) > _SHOWN else ""
    see = f"; see {output / 'volumes.csv'}" if done.rows else ""
    click.echo(
        f"{_count(done.done)} segmented, {done.skipped} done before, {len(done.failed)} failed"
        f"{more}{see}"
    )


def volume_document(done: "Outcome[VolumeRow]") -> dict[str, Any]:
    """Give what machines read of it."""
    return {
        "done": done.done,
        "skipped": done.skipped,
        "failed": {volume: error.found for volume, error in done.failed.items()},
        "rows": [asdict(row) for row in done.rows],
    }


def _cells(row: "VolumeRow") -> tuple[str, ...]:
    return (
        Path(row.volume).name,
        row.query,
        row.target,
        f"{row.slices_marked} of {row.slices}",
        "" if row.share is None else f"{row.share:.2%}",
        "" if row.volume_mm3 is None else f"{row.volume_mm3:.3g}",
    )


def _count(n: int) -> str:
    return "1 volume" if n == 1 else f"{n} volumes"

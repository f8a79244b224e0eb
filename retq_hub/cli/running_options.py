"""Options that say which queries are applied, and what runs their backbone."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from retq_hub.cli.console import BarProgress
from retq_hub.engines.choice import ENGINES, PLAIN, PRECISIONS
from retq_hub.errors import UsageError

if TYPE_CHECKING:
    from retq_hub.pipeline import Pipeline
    from retq_hub.store.pipeline import StoredPipeline

__all__ = ["Running", "running_options"]

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Running:
    """What is applied to images, and how.

    Attributes:
        queries: Names, folders or repositories.
        lock: In their place; all that it pins.
        backbone: Its id; None: that of the first query.
        allow_mismatch: Apply queries that were made for another backbone.
        engine: What runs the backbone.
        precision: In what it computes.
        decoding: ``full`` or ``scaled``; None: as the backbone's spec says.
    """

    queries: tuple[str, ...]
    lock: str | None
    backbone: str | None
    allow_mismatch: bool
    engine: str
    precision: str
    decoding: str | None

    def check(self) -> None:
        """Refuse neither queries nor a lock, both, and what a lock has decided already.

        Raises:
            UsageError: That is what is named.
        """
        if (self.lock is None) == (not self.queries):
            raise UsageError("name queries with -q, or a lock with --lock", hint="one of the two")
        if self.lock is not None and (self.backbone or self.allow_mismatch):
            raise UsageError(
                "a lock pins its backbone", hint="leave --backbone and --allow-mismatch out"
            )

    @property
    def beside_store(self) -> dict[str, object]:
        """What is named that stored tokens have decided already, by option."""
        engine = None if self.engine == PLAIN.engine else self.engine
        precision = None if self.precision == PLAIN.precision else self.precision
        return {
            "lock": self.lock,
            "backbone": self.backbone,
            "engine": engine,
            "precision": precision,
            "decoding": self.decoding,
        }

    def pipeline(self, progress: BarProgress, *, embed: bool = False) -> "Pipeline":
        """Load the queries that are named, or the lock's, and say what is to be known of them.

        Args:
            progress: Where to say it.
            embed: Also give image embeddings.
        """
        from retq_hub.pipeline import Pipeline

        how: dict[str, Any] = {
            "embed": embed,
            "decoding": self.decoding,
            "engine": self.engine,
            "precision": self.precision,
            "progress": progress,
        }
        if self.lock is not None:
            return _told(Pipeline.from_lock(self.lock, **how), progress)
        found = Pipeline.from_pretrained(
            self.queries, backbone=self.backbone, allow_mismatch=self.allow_mismatch, **how
        )
        return _told(found, progress)

    def stored(self, folder: Path, progress: BarProgress) -> "StoredPipeline":
        """Load the queries that are named, for what is stored in a folder."""
        from retq_hub.store.pipeline import StoredPipeline

        return _told(
            StoredPipeline.from_pretrained(
                folder, self.queries, allow_mismatch=self.allow_mismatch, progress=progress
            ),
            progress,
        )


P = TypeVar("P", "Pipeline", "StoredPipeline")


def _told(pipeline: P, progress: BarProgress) -> P:
    for note in pipeline.notes:
        progress.note(note)
    return pipeline


def running_options(command: Command) -> Command:
    """Add the options; the command gets them as one argument, ``running``."""

    @click.option("-q", "--query", "queries", multiple=True, help="A query; repeatable.")
    @click.option("--lock", help="Instead: all queries of a lock, exactly as they are pinned.")
    @click.option("--backbone", help="Use this backbone instead of the queries' own.")
    @click.option("--allow-mismatch", is_flag=True, help="Even if made for another backbone.")
    @click.option(
        "--engine",
        type=click.Choice(ENGINES),
        default=PLAIN.engine,
        show_default=True,
        help="What runs the backbone; auto: the fastest of a short trial.",
    )
    @click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default=PLAIN.precision,
        show_default=True,
        help="In what it computes; auto: half precisions too, where they are faster.",
    )
    @click.option(
        "--decoding",
        type=click.Choice(["full", "scaled"]),
        help="scaled: decode JPEGs only as large as needed.  [default: full]",
    )
    @wraps(command)
    def wrapped(
        queries: tuple[str, ...],
        lock: str | None,
        backbone: str | None,
        allow_mismatch: bool,
        engine: str,
        precision: str,
        decoding: str | None,
        **others: Any,  # noqa: ANN401 - the command's own
    ) -> Any:  # noqa: ANN401
        running = Running(
            queries=queries,
            lock=lock,
            backbone=backbone,
            allow_mismatch=allow_mismatch,
            engine=engine,
            precision=precision,
            decoding=decoding,
        )
        return command(running=running, **others)

    return wrapped  # type: ignore[return-value]  # click takes any callable

"""Options of ``retq segment`` for archives: where the work is done, and what is kept of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from retq_hub.cli.console import BarProgress, print_json
from retq_hub.errors import RetqError, UsageError
from retq_hub.objects import is_url

if TYPE_CHECKING:
    from retq_hub.archives.run import Archived
    from retq_hub.archives.sources import Sources
    from retq_hub.pipeline import Pipeline
    from retq_hub.pools.cluster import Cluster

__all__ = ["Archiving", "archive_options", "print_archived", "tell_failures"]

Command = TypeVar("Command", bound=Callable[..., Any])

_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Archiving:
    """How an archive is worked on.

    Attributes:
        pool: ``threads`` or ``ray``.
        address: Of the Ray cluster; None: this machine.
        workers: How many; None: as many as there is room for.
        form: ``files`` or ``parquet``.
        embeddings: Whether image embeddings are kept.
    """

    pool: str = "threads"
    address: str | None = None
    workers: int | None = None
    form: str = "files"
    embeddings: bool = False

    def check(self, *, volume: bool, probability: str | None) -> None:
        """Refuse options that make no sense together.

        Raises:
            UsageError: There are some.
        """
        if self.pool != "ray" and (self.address or self.workers):
            raise UsageError("--cluster and --workers are Ray's", hint="add --engine-pool ray")
        if self.form == "files" and self.embeddings:
            raise UsageError("embeddings go into tables", hint="add --format parquet")
        if self.form == "parquet" and probability:
            raise UsageError("tables hold no maps of probabilities", hint="leave --probability out")
        if volume and (self.pool == "ray" or self.form == "parquet"):
            raise UsageError(
                "--volume goes neither with --engine-pool ray nor with --format parquet",
                hint="leave one of them out",
            )

    @property
    def beside_store(self) -> dict[str, object]:
        """What is named that stored tokens, which this process reads, leave no room for."""
        return {
            "engine-pool": self.pool if self.pool == "ray" else None,
            "format": self.form if self.form == "parquet" else None,
        }

    def is_meant(self, images: Sequence[str]) -> bool:
        """Whether this is an archive: by options, or by a list or a URL among the images."""
        from retq_hub.archives.sources import is_list

        told = any(is_list(one) or is_url(one) for one in images)
        return told or self.pool == "ray" or self.form == "parquet"

    def cluster(self, pipeline: "Pipeline", progress: BarProgress) -> "Cluster | None":
        """Give where workers run; None: in this process, for want of Ray too, which is said."""
        from dataclasses import replace

        from retq_hub.pools.cluster import ABSENT, is_installed

        if self.pool != "ray":
            return None
        if not is_installed():
            progress.note(ABSENT)
            return None
        debug = bool(click.get_current_context().find_root().params.get("debug"))
        return replace(pipeline.cluster(self.address, self.workers), debug=debug)

    def sources(self, images: Sequence[str], output: Path) -> "Sources":
        """Look for the images.

        Raises:
            NotFoundError: Something is not there.
        """
        from retq_hub.archives.sources import Sources

        return Sources(images, output=output)


def archive_options(command: Command) -> Command:
    """Add the options; the command gets them as one argument, ``archiving``."""

    @click.option(
        "--engine-pool",
        "pool",
        type=click.Choice(["threads", "ray"]),
        default="threads",
        show_default=True,
        help="Work in this process, or in processes on Ray.",
    )
    @click.option(
        "--cluster",
        "address",
        metavar="ADDRESS",
        help="Of a Ray cluster; this machine if not given.",
    )
    @click.option(
        "--workers", type=click.IntRange(min=1), metavar="N", help="So many processes on Ray."
    )
    @click.option(
        "--format",
        "form",
        type=click.Choice(["files", "parquet"]),
        default="files",
        show_default=True,
        help="Files for each image, or tables of all.",
    )
    @click.option("--embeddings", is_flag=True, help="Image embeddings too; with --format parquet.")
    @wraps(command)
    def wrapped(
        pool: str,
        address: str | None,
        workers: int | None,
        form: str,
        embeddings: bool,
        **others: Any,  # noqa: ANN401 - the command's own
    ) -> Any:  # noqa: ANN401
        archiving = Archiving(
            pool=pool, address=address, workers=workers, form=form, embeddings=embeddings
        )
        return command(archiving=archiving, **others)

    return wrapped  # type: ignore[return-value]  # click takes any callable


def print_archived(done: "Archived", output: Path, *, as_json: bool) -> None:
    """Print what a run over an archive did."""
    if as_json:
        failed = {image: error.found for image, error in done.failed.items()}
        counts = {"done": done.done, "skipped": done.skipped, "repeated": done.repeated}
        print_json({"output": str(output), **counts, "failed": failed})
        return
    twice = f", {done.repeated} listed twice" if done.repeated else ""
    see = f"; see {output / 'parts'}" if done.done or done.skipped else ""
    click.echo(
        f"{done.done} segmented, {done.skipped} done before, {len(done.failed)} failed{twice}{see}"
    )


def tell_failures(
    failed: "dict[str, Any]", n_used: int, output: Path, progress: BarProgress
) -> None:
    """Say which images could not be used, and leave with the fitting exit code if there are any."""
    errors: list[RetqError] = list(failed.values())
    for error in errors[:_SHOWN]:
        progress.note(f"retq: {error}")
    if len(errors) > _SHOWN:
        progress.note(f"retq: and {len(errors) - _SHOWN} more: see {output / 'failed.csv'}")
    if errors:
        raise SystemExit(1 if n_used else errors[-1].exit_code)

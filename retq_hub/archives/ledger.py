"""What an archive's results are of: the ledger in their folder, which every run goes by.

Results of other queries, weights, preprocessing or another engine never come to stand beside them.
A folder is worked on by one run at a time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from retq_hub.engines.engine import label
from retq_hub.errors import BadInputError, UsageError, storage_errors
from retq_hub.pipeline import Pipeline
from retq_hub.storage import write_json

__all__ = ["FILE", "Ledger", "held", "read_ledger"]

FILE = "archive.json"
_LOCK = ".archive.lock"
_FORMAT = "retq-archive/1"


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """What the results in a folder are of.

    Attributes:
        queries: Digests of the artifacts, by the names under which their results stand.
        backbone: Its id.
        weights_digest: The backbone's weights.
        preprocessing_digest: What it sees of an image.
        engine: What ran it, and the precision: ``torch float32``.
        masks: Whether masks are among the results.
        embeddings: Whether image embeddings are.
        format: Of the folder.
    """

    queries: dict[str, str]
    backbone: str
    weights_digest: str
    preprocessing_digest: str
    engine: str
    masks: bool
    embeddings: bool
    format: str = _FORMAT

    @classmethod
    def of(cls, pipeline: Pipeline, *, masks: bool, embeddings: bool) -> "Ledger":
        """Give the ledger of what a pipeline says of images."""
        backbone = pipeline.backbone
        return cls(
            queries={name: one.manifest.digest for name, one in pipeline.queries.items()},
            backbone=backbone.spec.id,
            weights_digest=backbone.weights_digest,
            preprocessing_digest=backbone.spec.preprocessing_digest,
            engine=label(backbone.engine),
            masks=masks,
            embeddings=embeddings,
        )

    def write(self, folder: Path) -> None:
        """Write it into a folder.

        Raises:
            StorageError: The folder cannot be written.
        """
        write_json(folder / FILE, asdict(self))

    def check(self, folder: Path) -> None:
        """Refuse a folder with results of something else; one without a ledger is free.

        Raises:
            UsageError: It has another ledger; what differs is named.
            BadInputError: Its ledger cannot be read.
        """
        there = read_ledger(folder)
        if there is None:
            return
        theirs, ours = there.told(), self.told()
        other = [word for word in theirs if theirs[word] != ours[word]]
        if other:
            raise UsageError(
                f"{folder} has results of another run: "
                + "; ".join(f"{word} {theirs[word]} there, {ours[word]} here" for word in other),
                hint="name another output folder; --force clears this one first",
            )

    def told(self) -> dict[str, str]:
        """Give all that must be alike in one folder, in words."""
        return {
            "queries": ", ".join(f"{name} ({one[:12]})" for name, one in self.queries.items()),
            "weights": f"{self.backbone} ({self.weights_digest[:12]})",
            "preprocessing": self.preprocessing_digest[:12],
            "engine": self.engine,
            "masks": "kept" if self.masks else "left out",
            "embeddings": "kept" if self.embeddings else "left out",
        }


def read_ledger(folder: Path) -> Ledger | None:
    """Read a folder's ledger, if it has one.

    Raises:
        BadInputError: It cannot be read, or is of a later format.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Ledger)
    except (OSError, msgspec.MsgspecError) as error:
        raise BadInputError(f"{path} is no ledger: {error}", hint="--force begins anew") from error
    if found.format != _FORMAT:
        raise BadInputError(f"{path} has format {found.format!r}", hint="update retq-hub")
    return found


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other runs off a folder inside the block; it is made.

    Raises:
        UsageError: Another run is at work in it.
        StorageError: It cannot be written.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise UsageError(
                f"another run is at work in {folder}", hint="wait for it, or name another folder"
            ) from error
    try:
        yield
    finally:
        lock.release()

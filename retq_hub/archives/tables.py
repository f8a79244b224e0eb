"""The form of results that archives have: Parquet tables, a part for some hundred images."""

from pathlib import Path

from retq_hub.archives.ledger import FILE, Ledger
from retq_hub.archives.parts import Parts, check_columns, seal
from retq_hub.archives.sources import Entry, Sources
from retq_hub.archives.work import Found, Tabling, Work
from retq_hub.pipeline import Pipeline

__all__ = ["PART_IMAGES", "Tables"]

PART_IMAGES = 256
"""So many images a part has: that many a kill may cost."""


class Tables:
    """Results as Parquet tables in a folder.

    Args:
        pipeline: The queries.
        output: The folder.
        embeddings: Whether image embeddings are kept too.
        force: Clear the folder first.
        part_images: So many images a part has.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        output: Path,
        *,
        embeddings: bool = False,
        force: bool = False,
        part_images: int = PART_IMAGES,
    ) -> None:
        self._pipeline = pipeline
        self._output = output
        self._embeddings = embeddings
        self._force = force
        self._part_images = part_images
        self._found: list[Found] = []

    def recipe(self) -> Work[Found]:
        """Give what workers do."""
        keep = Tabling(embeddings=self._embeddings)
        return Work(pipeline=self._pipeline, keep=keep, draws=False)

    def begin(self, sources: Sources) -> int:
        """Check the ledger and read which images are done.

        Raises:
            UsageError: The folder has results of something else; a list has a column that
                results have themselves; pyarrow is not installed.
        """
        check_columns(sources.columns)
        self._parts = Parts(self._output, sources.columns)
        ledger = Ledger.of(self._pipeline, embeddings=self._embeddings)
        if self._force:
            (self._output / FILE).unlink(missing_ok=True)
            self._parts.clear()
        ledger.check(self._output)
        ledger.write(self._output)
        self._parts.tidy()
        self._done = self._parts.done()
        return len(self._done)

    def is_done(self, entry: Entry) -> bool:
        """Whether a part has the image."""
        return seal(entry.location) in self._done

    def stem(self, entry: Entry) -> str:
        """Give nothing: there are no files of one image."""
        return ""

    def keep(self, found: Found) -> None:
        """Keep an image's rows; a part is written when it is full."""
        self._found.append(found)
        if len(self._found) >= self._part_images:
            self.end()

    def end(self) -> None:
        """Write a part of what there is."""
        if self._found:
            self._parts.write(self._found)
            self._found = []

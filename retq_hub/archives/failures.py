"""The images of a run that could not be used, with the reasons, in a CSV beside the results."""

import csv
from pathlib import Path

from retq_hub.errors import ImageError, storage_errors

__all__ = ["FILE", "Failures"]

FILE = "failed.csv"

_HEADING = ("image", "reason")


class Failures:
    """Lists failures as they come; that of an earlier run is begun anew.

    Args:
        folder: Of the results; made if it is not there.

    Attributes:
        found: The reason for each image.
    """

    def __init__(self, folder: Path) -> None:
        self.found: dict[str, ImageError] = {}
        self._path = folder / FILE
        with storage_errors(self._path):
            folder.mkdir(parents=True, exist_ok=True)
            self._path.unlink(missing_ok=True)

    def add(self, image: str, error: ImageError) -> None:
        """List an image.

        Raises:
            StorageError: The folder cannot be written.
        """
        with (
            storage_errors(self._path),
            self._path.open("a", newline="", encoding="utf-8", errors="surrogateescape") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            if not self.found:
                writer.writerow(_HEADING)
            writer.writerow((image, error.found))
        self.found[image] = error

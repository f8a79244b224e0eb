"""One split of a data set: images, the masks of one target on them, what it is made of."""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from retq_hub.digest import file_digest, json_digest
from retq_hub.errors import DatasetError, ImageError, MaskError, NotFoundError, RetqError
from retq_hub.images import area_mask, decode, green, read_mask
from retq_hub.manifest import Licence, Target
from retq_hub.progress import Progress
from retq_hub.storage import cache_dir, whole_file

__all__ = ["Dataset", "Sample", "check_files", "content_digest", "listed", "read_rows", "some"]


@dataclass(frozen=True)
class Sample:
    """One image and the masks of one target on it.

    Attributes:
        id: Its name within the data set.
        image: The image's file.
        masks: Files whose union is the target; none: the image does not show it.
        group: The camera or site, where known.
    """

    id: str
    image: Path
    masks: tuple[Path, ...]
    group: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """The image's file and the masks'."""
        return (self.image, *self.masks)

    @cached_property
    def image_digest(self) -> str:
        """SHA-256 of the image's file."""
        return content_digest(self.image, ImageError)

    @cached_property
    def mask_digests(self) -> list[str]:
        """SHA-256 of each mask's file, sorted."""
        return sorted(content_digest(path, MaskError) for path in self.masks)

    def mask(self, size_px: int) -> NDArray[np.bool_]:
        """Give the mask on a square, through a cache on disk.

        Returns:
            (S, S) bool.

        Raises:
            ImageError: The image cannot be used.
            MaskError: A mask cannot be used or is of another size than the image.
        """
        if not self.masks:
            return np.zeros((size_px, size_px), dtype=np.bool_)
        key = json_digest([self.image_digest, self.mask_digests, size_px])
        path = cache_dir() / "masks" / f"{key}.npy"
        packed = _kept(path, lambda: np.packbits(area_mask(self._union(), size_px)))
        return np.unpackbits(packed, count=size_px**2).reshape(size_px, size_px).astype(bool)

    def guide(self, size_px: int) -> Tensor:
        """Give the image's green channel on a square, through a cache on disk.

        Returns:
            (S, S) float32, 0-1, of 8-bit precision.
        """
        path = cache_dir() / "guides" / f"{size_px}x{size_px}" / f"{self.image_digest}.npy"
        stored = _kept(path, lambda: self._green(size_px))
        return torch.from_numpy(stored.astype(np.float32) / 255)

    def _green(self, size_px: int) -> NDArray[np.uint8]:
        return np.rint(green(decode(self.image), size_px) * 255).astype(np.uint8)

    def _union(self) -> NDArray[np.bool_]:
        size = decode(self.image).size
        union = read_mask(self.masks[0], size=size)
        for path in self.masks[1:]:
            union |= read_mask(path, size=size)
        return union


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One split of a data set, for one target.

    Attributes:
        id: Short name.
        title: Full name.
        licence: Licence of the images and masks.
        target: What the masks mark.
        split: ``train``, ``test`` or ``all``.
        samples: The images, by their id.
        doi: Where known.
        citation: Where known.
        caveat: What a user of a query made from it must know.
    """

    id: str
    title: str
    licence: Licence
    target: Target
    split: str
    samples: tuple[Sample, ...]
    doi: str | None = None
    citation: str | None = None
    caveat: str = ""

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the content of all images and masks, whatever their names and order."""
        return json_digest(sorted([one.image_digest, *one.mask_digests] for one in self.samples))

    def masks(self, size_px: int, *, progress: Progress) -> NDArray[np.bool_]:
        """Give all masks on a square.

        Returns:
            (n, S, S) bool.

        Raises:
            DatasetError: Some images or masks cannot be used; all of them are named.
        """
        found, wrong = [], []
        total = len(self.samples)
        for sample in progress.steps(self.samples, what="reading masks", total=total):
            try:
                found.append(sample.mask(size_px))
            except RetqError as error:
                wrong.append(error)
        if len(wrong) == 1:
            raise wrong[0]
        if wrong:
            listed = "; ".join(error.found for error in wrong[:10])
            raise DatasetError(
                f"{len(wrong)} of {total} images or masks cannot be used: {listed}",
                hint="mend or remove them",
            )
        return np.stack(found)


def _kept(path: Path, make: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Read an array from the cache; make and keep it where there is none that can be read."""
    try:
        return np.asarray(np.load(path))
    except (OSError, ValueError, EOFError):
        made, stream = make(), BytesIO()
        np.save(stream, made)
        with whole_file(path) as temporary:
            temporary.write_bytes(stream.getvalue())
        return made


def content_digest(path: Path, kind: type[RetqError]) -> str:
    """Give the SHA-256 of a file of the user's.

    Raises:
        RetqError: Of the given kind: it cannot be read.
    """
    try:
        return file_digest(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise kind(f"{path} cannot be read ({reason})", hint="check the path") from error


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a CSV whose first line names its columns.

    Args:
        path: The file.
        columns: Columns that it must have; blanks about a name do not count.

    Raises:
        NotFoundError: It is not there.
        DatasetError: It cannot be read, or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            have = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = have
            if lacking := [column for column in columns if column not in have]:
                raise DatasetError(
                    f"{path} has columns {listed(have) or 'none'}, not {listed(lacking)}",
                    hint="its first line must name the columns",
                )
            return [{key: value or "" for key, value in row.items() if key} for row in reader]
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}", hint="check the path") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"{path} cannot be read as CSV ({error})", hint="save it as CSV in UTF-8"
        ) from error


def check_files(samples: Iterable[Iterable[Path]], origin: Path) -> None:
    """Refuse a data set that names files that are not there.

    Args:
        samples: The files of each image.
        origin: What names them.

    Raises:
        DatasetError: Images or masks are missing; some are named.
    """
    if absent := [str(file) for files in samples for file in files if not file.is_file()]:
        raise DatasetError(
            f"{origin} names {len(absent)} files that are not there ({some(absent)})",
            hint="paths are relative to it",
        )


def listed(words: Iterable[str]) -> str:
    """Give words in alphabetical order for a message."""
    return ", ".join(sorted(words))


def some(words: Sequence[str]) -> str:
    """Give the first words for a message."""
    return ", ".join(words[:3]) + (", ..." if len(words) > 3 else "")

"""A volume: a stack of slices of one size, decoded one at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from retq_hub.decoding import check_size
from retq_hub.errors import ImageError

__all__ = ["MAX_SLICES", "MAX_VOXELS", "Look", "Spacing", "Volume", "check_amount", "check_looks"]

MAX_SLICES = 4096
MAX_VOXELS = 2_000_000_000
"""More are not read: masks of them would not fit into a TIFF."""

_NAMED = 4


class Look(NamedTuple):
    """What a slice looks like before it is decoded: width and height upright, and its colours."""

    size: tuple[int, int]
    colour: bool


@dataclass(frozen=True, kw_only=True)
class Spacing:
    """Distances in a volume, in mm; None where they are not known.

    Attributes:
        down_mm: From one row of a slice to the next.
        across_mm: From one column to the next.
        between_mm: From one slice to the next.
    """

    down_mm: float
    across_mm: float
    between_mm: float | None


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A stack of slices, of which one at a time is in memory.

    Iterating, or an index from 0, gives upright 8-bit RGB images; grey slices have three equal
    channels, and one scale for the whole volume.

    Attributes:
        path: Its file or folder.
        size: Width and height of each slice, in pixels.
        n_slices: How many there are.
        modality: ``oct``; None where the file says that it is something else.
        spacing: Distances in mm; None where they are not known.
        notes: What the user should know of how it is read, a line each.
    """

    path: Path
    size: tuple[int, int]
    n_slices: int
    decode: Callable[[Iterable[int]], Iterator[Image.Image]] = field(repr=False)
    modality: str | None = "oct"
    spacing: Spacing | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Count the slices."""
        return self.n_slices

    def __getitem__(self, index: int) -> Image.Image:
        """Decode one slice.

        Raises:
            IndexError: There is no such slice.
            ImageError: It cannot be decoded.
        """
        if not 0 <= index < self.n_slices:
            raise IndexError(f"{self.path} has slices 0-{self.n_slices - 1}, not {index}")
        (image,) = self._upright([index])
        return image

    def __iter__(self) -> Iterator[Image.Image]:
        """Decode the slices one after the other.

        Raises:
            ImageError: One cannot be decoded.
        """
        return self._upright(range(self.n_slices))

    def _upright(self, indices: Iterable[int]) -> Iterator[Image.Image]:
        for image in self.decode(indices):
            if image.size != self.size:
                raise ImageError(
                    f"{self.path} changed: a slice is {image.width} x {image.height} pixels, "
                    f"it was {self.size[0]} x {self.size[1]}",
                    hint="open it again",
                )
            yield image


def check_looks(path: Path, looks: Sequence[Look], names: Sequence[str]) -> Look:
    """Refuse what is no volume: slices of several sizes, grey and colour mixed, too much of it.

    Args:
        path: The volume, for messages.
        looks: What its slices look like; at least one.
        names: What they are called in messages.

    Returns:
        What all of them look like.

    Raises:
        ImageError: They differ, with the slices that do; or it is too much.
    """
    sizes = [f"{look.size[0]} x {look.size[1]} pixels" for look in looks]
    if len(set(sizes)) > 1:
        raise ImageError(
            f"{path} has slices of several sizes: {_groups(sizes, names)}",
            hint="a volume has one size: leave the others out",
        )
    colours = ["colour" if look.colour else "grey" for look in looks]
    if len(set(colours)) > 1:
        raise ImageError(
            f"{path} mixes grey and colour: {_groups(colours, names)}",
            hint="save all slices in one way",
        )
    check_amount(path, looks[0].size, len(looks))
    return looks[0]


def check_amount(path: Path, size: tuple[int, int], n: int) -> None:
    """Refuse a volume of too many slices or voxels, or of slices that are too large.

    Args:
        path: The volume, for messages.
        size: Width and height of a slice, in pixels.
        n: How many slices there are.

    Raises:
        ImageError: It is too much, with the limits.
    """
    check_size(size, str(path), ImageError)
    width, height = size
    if n > MAX_SLICES or width * height * n > MAX_VOXELS:
        raise ImageError(
            f"{path} has {n} slices of {width} x {height} pixels, at most {MAX_SLICES} slices "
            f"and {MAX_VOXELS // 10**6} million voxels are read",
            hint="cut it into parts first",
        )


def _groups(kinds: Sequence[str], names: Sequence[str]) -> str:
    """Say which slices are of which kind, the most frequent kind first."""
    members: dict[str, list[str]] = {}
    for kind, name in zip(kinds, names, strict=True):
        members.setdefault(kind, []).append(name)
    ordered = sorted(members.items(), key=lambda one: -len(one[1]))
    return "; ".join(f"{kind}: {_few(found)}" for kind, found in ordered[:_NAMED])


def _few(names: Sequence[str]) -> str:
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{', '.join(names[: _NAMED - 1])} and {len(names) - _NAMED + 1} more"

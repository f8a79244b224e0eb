"""The tables of a run over volumes: a row for each volume, and a row for each slice."""

from dataclasses import dataclass

__all__ = ["SliceRow", "VolumeKey", "VolumeRow", "key_of"]

VolumeKey = tuple[str, str, str]
"""Volume, query and target: what makes a row of the summary the only one of its kind."""


@dataclass(frozen=True, kw_only=True)
class VolumeRow:
    """What one query says of one volume; what does not apply is None.

    Attributes:
        volume: The volume's path as it was given.
        query: The query's name.
        target: What it marks, or tells of each slice.
        version: Its version.
        digest: The artifact's digest.
        weights_digest: The backbone's weights.
        volume_sha256: The volume's content.
        slices: How many there are.
        width: Of a slice, in pixels.
        height: Of a slice, in pixels.
        slices_marked: In how many anything is marked, or that are said to show the target.
        share: Share of the volume that is marked.
        volume_mm3: Likewise in mm, where distances are known.
        en_face_mm2: Area that is marked, seen from the front.
        max_probability: The highest probability.
        peak_slice: The slice with the largest area, or the highest probability where there are
            none; counted from 0.
        threshold: The probability above which a pixel is marked.
        mask: The masks' file, relative to the output folder.
    """

    volume: str
    query: str
    target: str
    version: str
    digest: str
    weights_digest: str
    volume_sha256: str
    slices: int
    width: int
    height: int
    slices_marked: int
    share: float | None
    volume_mm3: float | None
    en_face_mm2: float | None
    max_probability: float
    peak_slice: int
    threshold: float | None
    mask: str | None


@dataclass(frozen=True, kw_only=True)
class SliceRow:
    """What one query says of one slice.

    Attributes:
        volume: The volume's path as it was given.
        query: The query's name.
        target: What it marks, or tells of the slice.
        slice: Which slice, counted from 0.
        area: Share of the slice that is marked; None for what tells of the slice as a whole.
        max_probability: The highest probability, or that of the whole slice.
    """

    volume: str
    query: str
    target: str
    slice: int
    area: float | None
    max_probability: float


def key_of(row: VolumeRow) -> VolumeKey:
    """Give what makes a row the only one of its kind."""
    return row.volume, row.query, row.target

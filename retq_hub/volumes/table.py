"""The tables of a run over volumes: a row for each volume, and a row for each slice."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retq_hub.volumes.tally import Tally

__all__ = [
    "Origin",
    "SliceRow",
    "VolumeKey",
    "VolumeRow",
    "key_of",
    "slice_rows",
    "volume_rows",
]

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
        table: The file with what is said of each slice, likewise.
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
    table: str


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


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What all rows of a volume say alike; see `VolumeRow`."""

    volume: str
    volume_sha256: str
    weights_digest: str
    slices: int
    width: int
    height: int
    table: str


def volume_rows(
    origin: Origin, query: str, tally: Tally, masks: Sequence[str | None]
) -> list[VolumeRow]:
    """Give a row for each target of a query.

    Args:
        origin: What all rows of the volume say alike.
        query: The query's name.
        tally: What it says of the slices.
        masks: The file of each target's masks, if it has one.
    """
    manifest = tally.manifest
    rows = []
    for number, (target, highest) in enumerate(zip(manifest.targets, tally.highest, strict=True)):
        extent = tally.extent(number)
        peaks = extent.areas if extent and extent.share else np.array(highest)
        rows.append(
            VolumeRow(
                **vars(origin),
                query=query,
                target=target.name,
                version=manifest.version,
                digest=manifest.digest,
                slices_marked=tally.n_said[number],
                share=round(extent.share, 8) if extent else None,
                volume_mm3=_rounded(extent.volume_mm3) if extent else None,
                en_face_mm2=_rounded(extent.en_face_mm2) if extent else None,
                max_probability=round(max(highest), 6),
                peak_slice=int(peaks.argmax()),
                threshold=dict(enumerate(manifest.head.thresholds)).get(number),
                mask=masks[number],
            )
        )
    return rows


def slice_rows(origin: Origin, query: str, tally: Tally) -> list[SliceRow]:
    """Give a row for each slice and target of a query; the arguments are those of `volume_rows`."""
    rows = []
    for number, (target, highest) in enumerate(
        zip(tally.manifest.targets, tally.highest, strict=True)
    ):
        extent = tally.extent(number)
        areas = extent.areas.tolist() if extent else [None] * len(highest)
        rows += [
            SliceRow(
                volume=origin.volume,
                query=query,
                target=target.name,
                slice=index,
                area=None if area is None else round(area, 6),
                max_probability=round(probability, 6),
            )
            for index, (area, probability) in enumerate(zip(areas, highest, strict=True))
        ]
    return rows


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)

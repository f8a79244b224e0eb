"""The picture of an artifact, ``overlay.jpg``: its bytes, and what it says about itself.

A comment in the JPEG names what it was drawn from, so that a picture of other vectors is recognised
without drawing it again. What stands in a picture comes from anywhere: it is checked when read.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from retq_hub.digest import json_digest
from retq_hub.errors import Finding
from retq_hub.manifest import QueryManifest, to_json

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "PICTURE",
    "SIDE_PX",
    "Picture",
    "about",
    "encode",
    "picture_findings",
    "read_picture",
    "subject",
]

PICTURE = "overlay.jpg"

SIDE_PX = 768
"""Longer side of the photograph in a picture, at most."""

_MAX_BYTES = 2**20
_MAGIC = b"\xff\xd8\xff"
_GOAL_BYTES = 80_000
_TRIES = ((1.0, 82), (1.0, 72), (0.75, 72), (0.5, 72), (0.3, 60))
"""Scales and qualities, until a picture is small enough; the last one is taken as it is."""

_COMMENT, _START_OF_SCAN = 0xFE, 0xDA


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What a picture says about itself; one that retq did not draw says nothing.

    Attributes:
        subject: Digest of what it was drawn from, see `subject`.
        example: Whether the photograph is the example that ships with retq-hub.
        area: Share of the photograph that is marked, of any target; None: nothing is marked there.
        target: Name of the most probable target of the whole photograph; None: of masks only.
        probability: Its.
    """

    subject: str | None = None
    example: bool = False
    area: float | None = None
    target: str | None = None
    probability: float | None = None


@dataclass(frozen=True, kw_only=True)
class _Comment:
    """The comment in the JPEG."""

    spec: Literal["retq-overlay/1"]
    subject: str
    example: bool
    area: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    target: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    probability: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None

    def picture(self) -> Picture:
        return Picture(
            subject=self.subject,
            example=self.example,
            area=self.area,
            target=self.target,
            probability=self.probability,
        )


def subject(manifest: QueryManifest) -> str:
    """Give the digest of all that decides what a query says: weights, basis, vectors, head."""
    members = {
        "backbone": manifest.backbone.weights_digest,
        "basis": to_json(manifest.basis),
        "files": to_json(manifest.files),
        "head": to_json(manifest.head),
    }
    if manifest.pooling is not None:
        members["pooling"] = to_json(manifest.pooling)
    return json_digest(members)


def encode(
    image: "Image.Image",
    *,
    drawn_from: str,
    example: bool,
    area: float | None = None,
    told: tuple[str, float] | None = None,
) -> bytes:
    """Give the JPEG of a picture, at most 80 kB unless it is all noise; always the same bytes.

    Args:
        image: Mode RGB.
        drawn_from: The digest that `subject` gives.
        example: Whether the photograph is the example that ships with retq-hub.
        area: Share of the photograph that is marked, where something may be.
        told: Name and probability of the most probable target of the whole photograph.
    """
    target, probability = told or (None, None)
    said = _Comment(
        spec="retq-overlay/1",
        subject=drawn_from,
        example=example,
        area=None if area is None else round(area, 6),
        target=target,
        probability=None if probability is None else round(probability, 6),
    )
    comment = msgspec.json.encode(to_json(said))
    blob = b""
    for scale, quality in _TRIES:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        buffer = io.BytesIO()
        scaled = image if scale == 1 else image.resize(size)
        scaled.save(buffer, "JPEG", quality=quality, optimize=True, comment=comment)
        blob = buffer.getvalue()
        if len(blob) <= _GOAL_BYTES:
            break
    return blob


def picture_findings(folder: Path) -> list[Finding]:
    """Say what is wrong with the picture in an artifact's folder; there need not be one."""
    path = folder / PICTURE
    if not path.is_file():
        return []
    if path.stat().st_size > _MAX_BYTES:
        return [Finding(where=PICTURE, what="is larger than 1 MiB, a picture is not")]
    with path.open("rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            return [Finding(where=PICTURE, what="is no JPEG")]
    return []


def read_picture(folder: Path) -> bytes | None:
    """Read the picture in an artifact's folder; None if there is none that can be used."""
    path = folder / PICTURE
    return path.read_bytes() if path.is_file() and not picture_findings(folder) else None


def about(blob: bytes) -> Picture:
    """Read what a picture says about itself."""
    try:
        return msgspec.json.decode(_comment(blob), type=_Comment).picture()
    except (msgspec.DecodeError, RecursionError):
        return Picture()


def _comment(blob: bytes) -> bytes:
    """Give the first comment of a JPEG; read here, for no pixel of a stranger's need be decoded."""
    place = 2 if blob.startswith(_MAGIC) else len(blob)
    while place + 4 <= len(blob) and blob[place] == 0xFF and blob[place + 1] != _START_OF_SCAN:
        length = int.from_bytes(blob[place + 2 : place + 4], "big")
        if length < 2:
            break
        if blob[place + 1] == _COMMENT:
            return blob[place + 4 : place + 2 + length]
        place += 2 + length
    return b""

"""Draws the picture of an artifact: a photograph with what its query marks, or says of it."""

from pathlib import Path

from retq_hub.backbone import Backbone
from retq_hub.embedded import EXAMPLE_IMAGE
from retq_hub.grading import grading
from retq_hub.images import decode
from retq_hub.overlay import graded, targets
from retq_hub.picture import SIDE_PX, encode, subject
from retq_hub.pipeline import Pipeline
from retq_hub.query import Query
from retq_hub.result import Classification

__all__ = ["draw"]


def draw(folder: Path, backbone: Backbone, *, image: Path | None = None) -> bytes:
    """Draw the picture of an artifact.

    Args:
        folder: The artifact.
        backbone: The backbone that it was made for.
        image: A photograph; the example that ships with retq-hub if not given.

    Returns:
        A JPEG, always the same for the same query, photograph and versions of the libraries.

    Raises:
        BackboneMismatch: The query was made for another backbone.
        ImageError: The photograph cannot be used.
        IntegrityError: The artifact is not intact.
    """
    query = Query.from_pretrained(folder)
    name = query.manifest.name
    photograph = decode(image or EXAMPLE_IMAGE)
    pipeline = Pipeline(backbone=backbone, queries={name: query}, embed=False)
    found = pipeline(photograph)[name]
    drawn_from, example = subject(query.manifest), image is None
    if isinstance(found, Classification):
        highest = grading(found).highest
        return encode(
            graded(photograph, found, max_side_px=SIDE_PX),
            drawn_from=drawn_from,
            example=example,
            told=(highest.target.name, highest.probability),
        )
    size = min(SIDE_PX, *photograph.size)
    return encode(
        targets(photograph, found, max_side_px=SIDE_PX),
        drawn_from=drawn_from,
        example=example,
        area=float(found.mask_at(size, size).any(axis=0).mean()),
    )

"""What is written of one image: masks, probabilities, attention, pictures, and its rows.

All files of an image begin with its stem; those of a query go on with its name.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retq_hub.backbone import Backbone
from retq_hub.engines.engine import label
from retq_hub.grading import Share, grading
from retq_hub.manifest import QueryManifest
from retq_hub.marking import Marking, Marks
from retq_hub.maskpng import mask_png
from retq_hub.overlay import attention_at, graded, overlay
from retq_hub.result import Classification, Reading, Result, Segmentation
from retq_hub.storage import whole_file
from retq_hub.summary import Key, Row
from retq_hub.threads import spread

__all__ = ["Job", "Options", "Origin", "wanted", "write", "written"]

_SAVING: dict[str, dict[str, Any]] = {
    ".png": {"compress_level": 3},
    ".jpg": {"quality": 92, "subsampling": 0},
}


@dataclass(frozen=True, kw_only=True)
class Job:
    """An image to work on.

    Attributes:
        image: Its path.
        stem: What its files begin with, relative to the output folder.
        url: Where it lies if that is not on this machine; the path then stands for it.
    """

    image: Path
    stem: str
    url: str | None = None

    @property
    def location(self) -> str:
        """The image as it was given."""
        return self.url or str(self.image)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to write.

    Attributes:
        masks: Whether to write masks, and where queries looked; without it there are rows alone.
        probability: ``npy``: float32 of the image's size; ``png``: 16 bits, 65535 is certain.
        overlays: Whether to draw each image with its masks and gradings.
        force: Do again what is done.
    """

    masks: bool = True
    probability: Literal["npy", "png"] | None = None
    overlays: bool = True
    force: bool = False


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where what is said of an image comes from.

    Attributes:
        image_sha256: The image's file.
        weights_digest: The backbone's weights.
        preprocessing_digest: What it saw of the image.
        engine: What ran it, and the precision.
    """

    image_sha256: str
    weights_digest: str
    preprocessing_digest: str
    engine: str

    @classmethod
    def of(cls, backbone: Backbone, image_sha256: str) -> "Origin":
        """Give the origin of what a backbone says of an image's file."""
        return cls(
            image_sha256=image_sha256,
            weights_digest=backbone.weights_digest,
            preprocessing_digest=backbone.spec.preprocessing_digest,
            engine=label(backbone.engine),
        )


def write(
    result: Result,
    job: Job,
    origin: Origin,
    output: Path,
    options: Options,
    *,
    image: Image.Image | None = None,
) -> list[Row]:
    """Write the files of one image and give its rows; the overlay comes last.

    Queries are spread over threads; each one's surface is let go once its files are written.

    Args:
        result: What the queries say of it.
        job: The image.
        origin: Where the result comes from.
        output: The folder.
        options: What to write.
        image: The photograph, RGB; needed where overlays are drawn.

    Raises:
        StorageError: The folder cannot be written.
    """
    assert image is not None or not options.overlays, "overlays are drawn on the photograph"
    marks = result.marks()

    def one(name: str) -> list[Row]:
        found, own = result[name], marks.pop(name, None)
        stem, attention, masks = f"{job.stem}_{name}", None, []
        if options.masks:
            attention = _write_attention(image, found, output, stem)
            masks = _write_masks(found, own, output, stem, options)
        manifest = found.manifest
        return [
            Row(
                **asdict(origin),
                **members,
                image=job.location,
                query=name,
                target=manifest.targets[number].name,
                version=manifest.version,
                digest=manifest.digest,
                width=found.size[0],
                height=found.size[1],
                mask=masks[number] if masks else None,
                attention=attention,
                overlay=f"{job.stem}_overlay.jpg" if options.overlays else None,
            )
            for number, members in enumerate(_said(found, own))
        ]

    rows = [row for rows in spread(one, result) for row in rows]
    if image is not None:
        _save(overlay(image, result), output / f"{job.stem}_overlay.jpg")
    return rows


def wanted(job: Job, rows: Iterable[Row], options: Options) -> set[str]:
    """Give the files that an image has once it is done, relative to the output folder.

    Args:
        job: The image.
        rows: All its rows.
        options: What is to be written.
    """
    files = {f"{job.stem}_overlay.jpg"} if options.overlays else set()
    for row in rows if options.masks else ():
        files.update(one for one in (row.mask, row.attention) if one is not None)
        if row.mask and options.probability:
            files.add(f"{row.mask.removesuffix('_mask.png')}_probability.{options.probability}")
        if row.attention and options.overlays:
            files.add(f"{row.attention.removesuffix('.png')}.jpg")
    return files


def lacks(row: Row, manifest: QueryManifest, options: Options) -> bool:
    """Whether a row names no files, as a run without masks leaves it, where there should be some.

    Args:
        row: One that a query gave.
        manifest: The query's.
        options: What is to be written.
    """
    looked = manifest.pooling is not None and manifest.pooling.weighting is not None
    unmarked = row.area is not None and row.mask is None
    return options.masks and (unmarked or (looked and row.attention is None))


def written(
    job: Job,
    rows: Mapping[Key, Row],
    manifests: Mapping[str, QueryManifest],
    output: Path,
    options: Options,
    *,
    made_so: Callable[[Row], bool],
) -> list[Row] | None:
    """Give all that an earlier run has said of an image by these very queries.

    Args:
        job: The image.
        rows: Of earlier runs.
        manifests: Of the queries, by name.
        output: The folder.
        options: What is to be written; its files must be there.
        made_so: Whether a row comes from the same as it would now.

    Returns:
        A row for each query and target; None where one or a file of theirs is lacking.
    """
    found: list[Row] = []
    for name, manifest in manifests.items():
        for target in manifest.targets:
            row = rows.get((job.location, name, target.name))
            if row is None or row.digest != manifest.digest:
                return None
            if not made_so(row) or lacks(row, manifest, options):
                return None
            found.append(row)
    files = wanted(job, found, options)
    return found if all((output / file).is_file() for file in files) else None


def _write_masks(
    found: Reading,
    marks: Marks | None,
    output: Path,
    stem: str,
    options: Options,
) -> list[str]:
    """Write the masks of a query that has them, and give the files' names."""
    if marks is None or not isinstance(found, Segmentation):
        return []
    masks = marks.runs(*found.size)
    maps = found.probability_at(*found.size) if options.probability else None
    names = []
    for number, target in enumerate(found.manifest.targets):
        own = stem if len(masks) == 1 else f"{stem}_{target.name}"
        with whole_file(output / f"{own}_mask.png") as temporary:
            temporary.write_bytes(mask_png(masks[number], *found.size))
        if maps is not None:
            _save_probability(maps[number], output / f"{own}_probability", options)
        names.append(f"{own}_mask.png")
    return names


def _write_attention(
    image: Image.Image | None, found: Reading, output: Path, stem: str
) -> str | None:
    """Write where a query looked, 16 bits, 65535 where most; on the photograph too, if given."""
    if not isinstance(found, Classification) or found.weights is None:
        return None
    name = f"{stem}_attention.png"
    _save_png(_sixteen_bits(attention_at(found, *found.size)), output / name)
    if image is not None:
        _save(graded(image, found), output / f"{stem}_attention.jpg")
    return name


def _said(found: Reading, marks: Marks | None) -> Iterator[dict[str, Any]]:
    """Give the members of each target's row that say something of the image."""
    told, head = grading(found), found.manifest.head
    markings = marks.described(found.size) if marks else []
    for number in range(len(found.manifest.targets)):
        share = told.shares[number] if told else None
        own = _marked(markings[number], head.thresholds[number]) if markings else _unmarked(share)
        yield own | {
            "probability": round(share.probability, 6) if share else None,
            "predicted": share.said if share else None,
        }


def _marked(marking: Marking, threshold: float) -> dict[str, Any]:
    x, y = marking.centroid or (None, None)
    return {
        "area": round(marking.area, 6),
        "centroid_x": None if x is None else round(x, 1),
        "centroid_y": None if y is None else round(y, 1),
        "max_probability": round(marking.highest, 6),
        "threshold": threshold,
    }


def _unmarked(share: Share | None) -> dict[str, Any]:
    nothing = dict.fromkeys(("area", "centroid_x", "centroid_y", "max_probability"))
    return {**nothing, "threshold": share.threshold if share else None}


def _save_probability(probability: NDArray[np.float32], stem: Path, options: Options) -> None:
    if options.probability == "png":
        _save_png(_sixteen_bits(probability), stem.with_name(stem.name + ".png"))
        return
    with (
        whole_file(stem.with_name(stem.name + ".npy")) as temporary,
        temporary.open("wb") as stream,
    ):
        np.save(stream, probability)


def _sixteen_bits(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    return np.rint(values * 65535).astype(np.uint16)


def _save_png(pixels: NDArray[Any], path: Path) -> None:
    _save(Image.fromarray(pixels), path)


def _save(image: Image.Image, path: Path) -> None:
    with whole_file(path) as temporary:
        buffer = io.BytesIO()
        image.save(buffer, "PNG" if path.suffix == ".png" else "JPEG", **_SAVING[path.suffix])
        temporary.write_bytes(buffer.getbuffer())

"""Images into a store: each is decoded and passes through the backbone once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from retq_hub.backbone import Backbone
from retq_hub.digest import bytes_digest
from retq_hub.engines.engine import label
from retq_hub.errors import ImageError, IntegrityError
from retq_hub.images import read
from retq_hub.outputs import Job
from retq_hub.photograph import Photograph
from retq_hub.plans import TokenSet
from retq_hub.preparation import Needs, Scene, prepare
from retq_hub.progress import Progress, Silent
from retq_hub.store.contents import CHANNELS, EMBEDDING, Contents, Held, guide_name, tokens_name
from retq_hub.store.shard import Entry
from retq_hub.store.writer import Writer

__all__ = ["Embedded", "embed", "holding"]


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """What a run did.

    Attributes:
        contents: What the store holds of each image.
        done: So many images were added now.
        skipped: So many were there before.
        failed: The reason for each that could not be used.
    """

    contents: Contents
    done: int
    skipped: int
    failed: dict[str, ImageError]


def holding(backbone: Backbone, needs: Needs) -> Contents:
    """Say what a store holds that serves some needs; the embedding is always there.

    Args:
        backbone: What makes it.
        needs: Of the queries that shall be applied to it.

    Raises:
        UsageError: The backbone cannot run at such a size.
    """
    for key in needs.plan:
        key.grid(backbone.spec.tokens.patch_px)
    return Contents(
        backbone=backbone.spec,
        weights_digest=backbone.weights_digest,
        fingerprint=backbone.fingerprint,
        engine=label(backbone.engine),
        passes=tuple(Held(key=key, layers=layers) for key, layers in needs.plan.items()),
        channels=needs.channels,
        guides=needs.guides,
    )


def embed(
    backbone: Backbone,
    jobs: Sequence[Job],
    folder: str | Path,
    needs: Needs,
    *,
    progress: Progress | None = None,
) -> Embedded:
    """Put images into a store; what is there is skipped, and a killed run is carried on.

    Args:
        backbone: What they pass through.
        jobs: The images, see `retq_hub.segment.find_images`.
        folder: The store's; made if it is not there.
        needs: What is held beside the embedding.
        progress: Where to report.

    Raises:
        UsageError: The folder holds something else, or another process writes to it, or the
            backbone has no such layer.
        IntegrityError: The backbone gives something else than numbers, or the store is damaged.
        StorageError: The folder cannot be written.
    """
    progress = progress or Silent()
    needs = replace(needs, embed=True)
    contents = holding(backbone, needs)
    failed: dict[str, ImageError] = {}
    skipped = 0
    with Writer(Path(folder), contents) as writer:
        for job in progress.steps(jobs, what="running the backbone", total=len(jobs)):
            try:
                skipped += not _add(backbone, job, needs, writer)
            except ImageError as error:
                failed[str(job.image)] = error
    done = len(jobs) - skipped - len(failed)
    return Embedded(contents=contents, done=done, skipped=skipped, failed=failed)


def _add(backbone: Backbone, job: Job, needs: Needs, writer: Writer) -> bool:
    """Add an image unless it is there, and say whether it was not."""
    content, name = read(job.image), str(job.image)
    digest = bytes_digest(content)
    if (name, digest) in writer:
        return False
    decoding = backbone.spec.preprocessing.decoding
    image = Photograph.from_bytes(content, name, decoding=decoding)
    prepared = prepare(image, needs, backbone.spec)
    ((tokens, embedding),) = backbone.run([prepared], needs)
    assert embedding is not None, "it was asked for"
    width, height = prepared.scene.size
    rows = _rows(tokens, embedding, prepared.scene)
    _check(rows, job, backbone)
    entry = Entry(image=name, sha256=digest, width=width, height=height, stem=job.stem)
    writer.add(entry, rows)
    return True


def _rows(tokens: TokenSet, embedding: Tensor, scene: Scene) -> dict[str, Tensor]:
    """Give the tensors of an image by name, as a store holds them."""
    found = {EMBEDDING: embedding.float()}
    found |= {tokens_name(key, layer): one.half() for (key, layer), one in tokens.items()}
    if scene.channels is not None:
        found[CHANNELS] = torch.from_numpy(scene.channels).half()
    for side, guide in scene.guides.items():
        found[guide_name(side)] = (torch.from_numpy(guide) * 255).round().to(torch.uint8)
    return found


def _check(rows: Mapping[str, Tensor], job: Job, backbone: Backbone) -> None:
    for name, row in rows.items():
        if row.is_floating_point() and not bool(row.isfinite().all()):
            raise IntegrityError(
                f"{backbone.spec.id} gives {name} of {job.image} that are no numbers (NaN, or "
                "beyond 65504)",
                hint="verify the backbone with `retq backbones verify`",
            )

"""The backbone run on the probe image again: does a query give what it gave when it was made?

Each basis has a probe of its own size, as when the golden test was recorded.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from retq_hub import goldens, pooling
from retq_hub.artifact import Golden
from retq_hub.backbone import Backbone
from retq_hub.basis import Basis
from retq_hub.channels import pixel_channels
from retq_hub.errors import Finding
from retq_hub.kinds import CLASSIFICATION
from retq_hub.manifest import QueryManifest
from retq_hub.pipeline import Pipeline
from retq_hub.plans import assemble, plan
from retq_hub.probe import probe_image
from retq_hub.query import Query
from retq_hub.result import AREA_PX

__all__ = ["ATTENTION_TOLERANCE", "LOGIT_TOLERANCE", "MASK_TOLERANCE_PPM", "replay"]

LOGIT_TOLERANCE = 0.05
"""Largest deviation of a replayed logit or score; another processor's float32 stays far below."""

MASK_TOLERANCE_PPM = 1000
"""Largest share of pixels, in parts per million, in which a replayed mask may differ."""

ATTENTION_TOLERANCE = 0.01
"""Largest share of an attention map that may lie elsewhere when replayed."""


def replay(query: Query, golden: Golden, backbone: Backbone) -> tuple[list[Finding], str]:
    """Compare what a query gives on the probe with what was recorded.

    Args:
        query: The query.
        golden: What its artifact recorded.
        backbone: The backbone that it was made for.

    Returns:
        What deviates too much, and a line that says by how much all of it deviates.

    Raises:
        BackboneMismatch: The backbone cannot serve it.
    """
    pipeline = Pipeline(backbone=backbone, queries={query.manifest.name: query}, embed=False)
    if query.manifest.is_kind(CLASSIFICATION):
        return _graded(query, golden, backbone)
    return _mapped(pipeline, query.manifest, golden)


def _mapped(
    pipeline: Pipeline, manifest: QueryManifest, golden: Golden
) -> tuple[list[Finding], str]:
    assert golden.logits is not None, "a map has golden logits"
    replayed = pipeline(_probe(manifest.basis)).segmentations[manifest.name]
    recorded = replace(replayed, logits=golden.logits)
    worst = _worst(replayed.logits, golden.logits)
    masks = [one.mask_at(AREA_PX, AREA_PX) for one in (replayed, recorded)]
    ppm = float((masks[0] != masks[1]).mean()) * 1e6
    found = _beyond("logit", worst)
    if ppm > MASK_TOLERANCE_PPM:
        what = f"{ppm:.0f} of a million mask pixels differ, at most {MASK_TOLERANCE_PPM} may"
        found.append(Finding(where="replay", what=what))
    said = f"largest deviation of a logit {worst:.2g}, {ppm:.0f} of a million mask pixels differ"
    return found, said


def _graded(query: Query, golden: Golden, backbone: Backbone) -> tuple[list[Finding], str]:
    assert golden.scores is not None, "a classification has golden scores"
    again = _again(query, backbone)
    assert again.scores is not None, "and gives them again"
    worst = _worst(again.scores, golden.scores)
    found, said = _beyond("score", worst), f"largest deviation of a score {worst:.2g}"
    how = query.manifest.pooling
    if again.logits is not None and golden.logits is not None and how and how.weighting:
        apart = _apart(again.logits, golden.logits, how.weighting)
        said += f", {apart:.2%} of the attention lies elsewhere"
        if apart > ATTENTION_TOLERANCE:
            what = f"{apart:.2%} of the attention lies elsewhere, at most "
            what += f"{ATTENTION_TOLERANCE:.0%} may"
            found.append(Finding(where="replay", what=what))
    return found, said


def _apart(again: NDArray[np.float32], recorded: NDArray[np.float32], weighting: str) -> float:
    """Give the share of the attention that lies elsewhere; all of it on another grid."""
    if again.shape != recorded.shape:
        return 1.0
    maps = [pooling.weights(torch.from_numpy(one), weighting) for one in (again, recorded)]
    return float((maps[0] - maps[1]).abs().sum(dim=(1, 2)).max()) / 2


def _again(query: Query, backbone: Backbone) -> Golden:
    """Give what a classification gives on the probe now."""
    manifest = query.manifest
    how, classifier = manifest.pooling, (query.vector, query.bias)
    assert how is not None, "a classification pools"
    if query.attention is None or how.weighting is None:
        return goldens.of_scores(_embedding(query, backbone), *classifier)
    blocks = [_blocks(basis, backbone) for basis in manifest.bases]
    return goldens.of_attention(
        blocks[-1],
        query.attention,
        blocks[0],
        classifier,
        weighting=how.weighting,
        whole=bool(how.whole),
    )


def _embedding(query: Query, backbone: Backbone) -> Tensor:
    """Give the probe's embedding as the vectors are multiplied with it."""
    image = Image.fromarray(probe_image(backbone.spec.preprocessing.size_px))
    embedding = backbone.tokens(image, {}, embed=True)[1]
    assert embedding is not None, "it was asked for"
    similarity = query.manifest.head.similarity
    if similarity is None:
        return embedding
    shared = torch.nn.functional.normalize(backbone.shared(embedding), dim=-1)
    return similarity.scale * shared


def _blocks(basis: Basis, backbone: Backbone) -> list[Tensor]:
    image = _probe(basis)
    blocks = assemble(backbone.tokens(image, plan([basis]))[0], basis)
    return [*blocks, torch.from_numpy(pixel_channels(image))] if basis.pixels else blocks


def _probe(basis: Basis) -> Image.Image:
    return Image.fromarray(probe_image(max(one.side_px for one in basis.passes)))


def _worst(again: NDArray[np.float32], recorded: NDArray[np.float32]) -> float:
    """Give the largest deviation; of another grid than the recorded one it has no limit."""
    if again.shape != recorded.shape:
        return float("inf")
    return float(np.abs(again - recorded).max())


def _beyond(word: str, worst: float) -> list[Finding]:
    if worst <= LOGIT_TOLERANCE:
        return []
    what = f"a {word} deviates by {worst:.3g}, at most {LOGIT_TOLERANCE} is allowed"
    return [Finding(where="replay", what=what)]

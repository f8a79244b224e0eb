"""Carry a query to another backbone: fit it there to what it says of images without labels.

Nothing is known of the images but what the query says of them, so nothing can be said of how well
the new one does, only of how far it agrees; metrics are empty until somebody measures them.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from retq_hub import delivery, goldens
from retq_hub.agreement import agreement
from retq_hub.artifact import Artifact, Golden
from retq_hub.backbone import Backbone
from retq_hub.basis import Basis, Pass
from retq_hub.card import UNKNOWN
from retq_hub.dataset import Sample
from retq_hub.errors import DatasetError, UsageError
from retq_hub.exact import solve_exactly
from retq_hub.features import TokenCache
from retq_hub.kinds import SEGMENTATION
from retq_hub.losses import CrossEntropy, SoftmaxEntropy
from retq_hub.manifest import Head, Licence, QueryManifest, Training
from retq_hub.notation import written
from retq_hub.predictions import Predictions, predict, unlabelled
from retq_hub.progress import Progress, Silent
from retq_hub.query import Query
from retq_hub.recipe import Method, Recipe, checked_bases
from retq_hub.solution import Solution
from retq_hub.spec import BackboneSpec
from retq_hub.training import Trained, described, finish

__all__ = ["carried", "port"]

_FEWEST = 10
_SHOWN = 3
"""A target must be marked on so many images: to be set aside, held out and learned from."""

_L2_WEIGHTS = (1e-5, 1e-4, 1e-3)
"""Labels without noise need less of it than masks."""

_LIMITS = (
    "Carried over from {source}: learned from what that says of {n} images without labels, not "
    "from masks. It repeats the source's mistakes and adds its own. A map of {grid} x {grid} "
    "cells, upsampled. Of the source: {limits}"
)


def port(
    query: str | Path | Query,
    to: str | Backbone,
    images: Path,
    output: Path,
    *,
    name: str,
    version: str = "1.0.0",
    summary: str | None = None,
    bases: Sequence[str] = (),
    l2: float | None = None,
    seed: int = 0,
    source: Backbone | None = None,
    licence: Licence | None = None,
    authors: Sequence[str] = (),
    progress: Progress | None = None,
) -> Trained:
    """Fit a query to its own predictions, on another backbone or another basis of the same.

    A fifth of the images is set aside; on these it is compared with the source once it is done.
    Basis, L2 weight and head are chosen by cross-validation over the others.

    Args:
        query: A segmentation query: its name, its folder, or itself.
        to: The backbone that it is carried to: its id, its spec's file, or itself.
        images: A folder of images without labels, at least 10.
        output: The artifact's folder.
        name: The new query's name.
        version: Its version.
        summary: A line on what it marks; made from the source if not given.
        bases: Bases to choose from, see `retq_hub.notation`; if there are none, the source's own
            with blocks of the same depth, a little lower and a little higher.
        l2: Weight of the L2 term; searched if not given.
        seed: Deals the images into folds.
        source: The backbone that the query was made for; found by its id if not given.
        licence: The new query's licence; the source's if not given.
        authors: Who made it; the source's if not given.
        progress: Where to report.

    Returns:
        The new query; its manifest says how far it agrees.

    Raises:
        NotFoundError: There is no such query or backbone.
        UsageError: It is no segmentation query, or a basis makes no sense for the backbone.
        BackboneMismatch: The source's backbone is not the one that it was made for.
        DatasetError: Too few images, images that cannot be used, or a target is marked on too few.
        ManifestError: Name, version or summary are not as the schema wants them.
        IntegrityError: A backbone gives something else than numbers.
        StorageError: Cache or output cannot be written.
    """
    progress = progress or Silent()
    query = query if isinstance(query, Query) else Query.from_pretrained(query, progress=progress)
    old = query.manifest
    _check_kind(old)
    summary = summary or f"Marks {_labels(old)}; carried over from {old.name} {old.version}."
    delivery.check(output, name=name, version=version, summary=summary)
    samples = unlabelled(images)
    _check_enough(samples, images)
    to = to if isinstance(to, Backbone) else Backbone.asleep(to, progress=progress)
    source = source or Backbone.asleep(old.backbone.id, progress=progress)
    progress.note(source.check(old.backbone))
    recipe = _recipe(old, bases or _candidates(old.basis, source.spec, to.spec), l2, seed)
    checked_bases(recipe, to.spec)
    caches = (TokenCache(backbone=source), TokenCache(backbone=to))
    said = predict(query, samples, cache=caches[0], seed=seed, progress=progress)
    _check_shown(said)
    aside = said.part(said.parts[0])
    learned = said.part(sorted(number for part in said.parts[1:] for number in part))
    solution = solve_exactly(learned, caches[1], to, recipe, progress)
    golden = goldens.of_map(caches[1].probe(solution.basis), solution.vector, solution.bias)
    use = learned.use(name=images.resolve().name, licence=UNKNOWN, progress=progress)
    manifest = replace(
        old,
        name=name,
        version=version,
        summary=summary,
        backbone=to.ref,
        basis=solution.basis,
        head=_head(solution, old),
        training=_training(recipe, solution),
        data=(*old.data, use),
        metrics=(),
        derived=(query.derived("ported from"),),
        licence=licence or old.licence,
        authors=tuple(authors) or old.authors,
        limits=_limits(old, len(learned.samples), golden),
        files={},
    )
    made = Query(
        Artifact(
            manifest=manifest,
            vector=solution.vector.numpy(),
            bias=solution.bias.numpy(),
            golden=golden,
        ),
        card="",
    )
    found = agreement((query, made), caches, aside.samples, progress=progress)
    return finish(
        output,
        manifest=replace(manifest, agreement=found),
        solution=solution,
        golden=golden,
        backbone=to,
        progress=progress,
    )


def carried(basis: Basis, source: BackboneSpec, to: BackboneSpec, *, shift: int = 0) -> Basis:
    """Give the basis of another backbone that is most like a basis.

    Tilings, views and pixel channels stay; sizes become the other's own, and blocks those of the
    same relative depth.

    Args:
        basis: What is read of the one.
        source: The one.
        to: The other.
        shift: So many blocks of the other deeper.
    """
    size, patch, depth = to.preprocessing.size_px, to.tokens.patch_px, to.tokens.layers
    layers: dict[tuple[int, int], dict[int, None]] = {}
    for one in basis.passes:
        overlap = round((one.overlap_px or 0) * size / one.size_px / patch) * patch
        found = layers.setdefault((one.tiles, overlap if one.tiles > 1 else 0), {})
        for layer in one.layers:
            place = round((layer + 1) * depth / source.tokens.layers) - 1 + shift
            found[min(max(place, 0), depth - 1)] = None
    passes = tuple(
        Pass(size_px=size, tiles=tiles, layers=tuple(blocks), overlap_px=overlap or None)
        for (tiles, overlap), blocks in layers.items()
    )
    return replace(basis, passes=passes)


def _check_kind(manifest: QueryManifest) -> None:
    if not manifest.is_kind(SEGMENTATION):
        raise UsageError(
            f"{manifest.name} is of kind {manifest.kind}: only what marks pixels is carried over",
            hint="compile its texts for the other backbone, or train it there on labels",
        )


def _check_enough(samples: Sequence[Sample], images: Path) -> None:
    if len(samples) < _FEWEST:
        raise DatasetError(
            f"{images} has {len(samples)} different images, at least {_FEWEST} are needed",
            hint="a fifth is set aside to measure how far both queries agree",
        )


def _check_shown(said: Predictions) -> None:
    """Refuse images on which there is nothing to learn from."""
    manifest, n = said.query.manifest, len(said.samples)
    for target, count in zip(manifest.targets, said.shown.sum(0).tolist(), strict=True):
        if count < _SHOWN:
            raise DatasetError(
                f"{manifest.name} marks {target.label} on {count or 'none'} of the {n} images, at "
                f"least {_SHOWN} are needed",
                hint="give more images that show it, of the kind that the query was trained on",
            )


def _candidates(basis: Basis, source: BackboneSpec, to: BackboneSpec) -> list[str]:
    """Give the source's basis on the other backbone, and the same a little lower and higher."""
    step = max(1, round(to.tokens.layers / 6))
    bases = [carried(basis, source, to, shift=shift) for shift in (0, -step, step)]
    texts = (written(replace(one, views=None), size_px=to.preprocessing.size_px) for one in bases)
    return list(dict.fromkeys(texts))


def _recipe(old: QueryManifest, bases: Sequence[str], l2: float | None, seed: int) -> Recipe:
    """Leave to cross-validation what the source's head and basis have."""
    head = old.head
    return Recipe(
        bases=tuple(bases),
        l2=l2,
        l2_weights=_L2_WEIGHTS,
        loss=SoftmaxEntropy() if head.activation == "softmax" else CrossEntropy(),
        calibration=cast(Method, head.calibration.method) if head.calibration else "none",
        sharpen=head.guided is not None,
        flips=old.basis.views is not None,
        seed=seed,
    )


def _training(recipe: Recipe, solution: Solution) -> Training:
    found = described(recipe, solution)
    return replace(found, recipe="ported", loss=f"{found.loss}; to the source's probabilities")


def _head(solution: Solution, old: QueryManifest) -> Head:
    choice = f"{solution.head.threshold_choice}; masks: those of {old.name} {old.version}"
    return replace(solution.head, threshold_choice=choice)


def _limits(old: QueryManifest, n_images: int, golden: Golden) -> str:
    assert golden.logits is not None, "a map has golden logits"
    return _LIMITS.format(
        source=f"{old.name} {old.version} for {old.backbone.id}",
        n=n_images,
        grid=golden.logits.shape[-1],
        limits=old.limits,
    )


def _labels(manifest: QueryManifest) -> str:
    return ", ".join(target.label for target in manifest.targets)

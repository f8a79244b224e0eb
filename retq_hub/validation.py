"""Check an artifact or a lock: that it is intact, and that it behaves as when it was made."""

from dataclasses import dataclass, replace
from pathlib import Path

from retq_hub import artifact, composition, registry, syncing
from retq_hub.composition import Composition
from retq_hub.errors import BackboneMismatch, Finding, NetworkError, NotFoundError, RetqError
from retq_hub.progress import Progress

__all__ = ["LOGIT_TOLERANCE", "MASK_TOLERANCE_PPM", "Verdict", "validate", "validate_pipeline"]

LOGIT_TOLERANCE = 0.05
"""Largest deviation of a replayed logit; another processor's float32 stays far below it."""

MASK_TOLERANCE_PPM = 1000
"""Largest share of pixels, in parts per million, in which a replayed mask may differ."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a validation found.

    Attributes:
        folder: The artifact.
        intact: All its files are there, unaltered and consistent.
        reproduces: The backbone gives the recorded logits; None if that was not tried.
        findings: All that is wrong.
        notes: What else is worth knowing.
    """

    folder: Path
    intact: bool
    reproduces: bool | None
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


def validate(folder: Path, *, replay: bool = False, progress: Progress | None = None) -> Verdict:
    """Check an artifact.

    Args:
        folder: The artifact.
        replay: Also run the backbone on the probe image and compare what the query gives with what
            it gave when it was made.
        progress: Where to report a download of the backbone.

    Raises:
        NotFoundError: The folder holds no artifact.
        NetworkError: The backbone cannot be had.
    """
    found = artifact.findings(folder)
    if found or not replay:
        notes = () if found else tuple(_backbone_notes(folder))
        return Verdict(
            folder=folder, intact=not found, reproduces=None, findings=tuple(found), notes=notes
        )
    deviations, remarks = _replay(folder, progress)
    return Verdict(
        folder=folder,
        intact=True,
        reproduces=not deviations,
        findings=tuple(deviations),
        notes=tuple(remarks),
    )


def validate_pipeline(
    found: Composition, *, replay: bool = False, progress: Progress | None = None
) -> Verdict:
    """Check a lock: that it and its card are whole, and that every member is what is pinned.

    Args:
        found: The lock; members that are not here are fetched.
        replay: Also check that each member behaves as when it was made.
        progress: Where to report a download of the backbone.

    Raises:
        NetworkError: A member or the backbone cannot be had.
    """
    shared = found.lock.name is not None
    wrong = list(composition.findings(found.base)) if shared else []
    notes: list[str] = []
    try:
        syncing.pinned_spec(found.lock.backbone)
    except (BackboneMismatch, NotFoundError) as error:
        wrong.append(Finding(where="backbone", what=error.found))
    intact, tried = not wrong, False
    for query in found.lock.queries:
        try:
            folder = syncing.find(query, found.base, progress=progress).folder
        except NetworkError:
            raise
        except RetqError as error:
            intact = False
            wrong.append(Finding(where=query.name, what=error.found))
            continue
        verdict = validate(folder, replay=replay, progress=progress)
        tried = tried or verdict.reproduces is not None
        wrong += [replace(one, where=f"{query.name}/{one.where}") for one in verdict.findings]
        notes += [f"{query.name}: {note}" for note in verdict.notes]
    return Verdict(
        folder=found.base,
        intact=intact,
        reproduces=not wrong if tried else None,
        findings=tuple(wrong),
        notes=tuple(notes),
    )


def _backbone_notes(folder: Path) -> list[str]:
    ref = artifact.read_manifest(folder).backbone
    try:
        spec = registry.backbone_spec(ref.id)
    except NotFoundError as error:
        return [error.found]
    if spec.preprocessing_digest != ref.preprocessing_digest:
        return [f"it was made with another preprocessing than {ref.id} has here"]
    return []


def _replay(folder: Path, progress: Progress | None) -> tuple[list[Finding], list[str]]:
    import numpy as np
    from PIL import Image

    from retq_hub.backbone import Backbone
    from retq_hub.pipeline import Pipeline
    from retq_hub.probe import probe_image
    from retq_hub.query import Query
    from retq_hub.result import AREA_PX

    query = Query.from_pretrained(folder)
    manifest, golden = query.manifest, artifact.read(folder).golden
    backbone = Backbone.from_pretrained(manifest.backbone.id, progress=progress)
    try:
        note = backbone.check(manifest.backbone)
    except RetqError as error:
        return [Finding(where="backbone", what=error.found)], []
    assert golden.logits is not None, "a map has golden logits"
    image = Image.fromarray(probe_image(max(one.side_px for one in manifest.basis.passes)))
    pipeline = Pipeline(backbone=backbone, queries={manifest.name: query}, embed=False)
    replayed = pipeline(image).segmentations[manifest.name]
    recorded = replace(replayed, logits=golden.logits)
    worst = float(np.abs(replayed.logits - golden.logits).max())
    masks = [one.mask_at(AREA_PX, AREA_PX) for one in (replayed, recorded)]
    ppm = float((masks[0] != masks[1]).mean()) * 1e6
    found = []
    if worst > LOGIT_TOLERANCE:
        what = f"a logit deviates by {worst:.3g}, at most {LOGIT_TOLERANCE} is allowed"
        found.append(Finding(where="replay", what=what))
    if ppm > MASK_TOLERANCE_PPM:
        what = f"{ppm:.0f} of a million mask pixels differ, at most {MASK_TOLERANCE_PPM} may"
        found.append(Finding(where="replay", what=what))
    notes = [f"largest deviation of a logit {worst:.2g}, {ppm:.0f} of a million mask pixels differ"]
    return found, [*notes, note] if note else notes

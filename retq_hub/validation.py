"""Check an artifact or a lock: that it is intact, and that it behaves as when it was made."""

from dataclasses import dataclass, replace
from pathlib import Path

from retq_hub import artifact, compatibility, composition, registry, syncing
from retq_hub.composition import Composition
from retq_hub.errors import BackboneMismatch, Finding, NetworkError, NotFoundError, RetqError
from retq_hub.progress import Progress

__all__ = ["Verdict", "validate", "validate_pipeline"]


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
    if not compatibility.is_fed_alike(ref, spec):
        return [f"it was made with another preprocessing than {ref.id} has here"]
    return []


def _replay(folder: Path, progress: Progress | None) -> tuple[list[Finding], list[str]]:
    from retq_hub.backbone import Backbone
    from retq_hub.query import Query
    from retq_hub.replay import replay

    query = Query.from_pretrained(folder)
    ref = query.manifest.backbone
    backbone = Backbone.from_pretrained(ref.id, progress=progress)
    try:
        note = backbone.check(ref)
    except RetqError as error:
        return [Finding(where="backbone", what=error.found)], []
    try:
        found, said = replay(query, query.golden, backbone)
    except BackboneMismatch as error:
        return [Finding(where="backbone", what=error.found)], []
    return found, [said, note] if note else [said]

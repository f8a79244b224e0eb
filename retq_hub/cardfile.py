"""The model card in an artifact's folder: whether it is up to date, and making it anew.

Nothing that people wrote is lost: notes, members of the head and tags of their own go into the new
card, and a card that was changed elsewhere is laid aside first. No torch, no network.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from retq_hub import artifact, registry
from retq_hub.card import render
from retq_hub.errors import BadInputError, Finding, storage_errors
from retq_hub.handwriting import Handwriting, read
from retq_hub.manifest import QueryManifest
from retq_hub.picture import PICTURE, Picture, about, read_picture, subject
from retq_hub.spec import BackboneSpec
from retq_hub.storage import whole_file, write_text

__all__ = [
    "Renewal",
    "compose",
    "findings",
    "handwriting",
    "is_stale",
    "lay_aside",
    "renew",
    "rewrite",
    "text",
]

_MAX_CARD_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """What making a card anew did.

    Attributes:
        changed: Whether the card is another than before.
        aside: Where the card lies now that was changed by hand outside of its notes, if it was.
    """

    changed: bool
    aside: Path | None


def compose(
    folder: Path, manifest: QueryManifest, backbone: BackboneSpec, *, repo: str | None = None
) -> str:
    """Give the card that belongs into a folder, with what people wrote into the one that is there.

    Args:
        folder: The artifact's folder; it need not exist yet.
        manifest: The artifact's manifest, as it is or shall be.
        backbone: The backbone that it was made for.
        repo: Where the query can be pulled from; what the present card says if not given, or its
            name where a registry lists it.

    Raises:
        BadInputError: The card that is there is no text.
    """
    kept = handwriting(folder)
    if repo is None and kept.repo is None and registry.is_published(folder):
        repo = manifest.name
    return render(
        manifest,
        backbone,
        repo=repo or kept.repo,
        picture=_picture(folder, manifest),
        kept=kept,
    )


def rewrite(folder: Path, manifest: QueryManifest) -> QueryManifest:
    """Give an artifact another manifest, and the card that goes with it; its tensors stay.

    Args:
        folder: The artifact.
        manifest: Its manifest as it shall be.

    Returns:
        The manifest as it was written.

    Raises:
        NotFoundError: The folder holds no artifact, or names an unknown backbone.
        IntegrityError: The artifact is not intact.
        StorageError: The place cannot be written.
    """
    found = artifact.read(folder)
    text = compose(folder, manifest, registry.backbone_spec(manifest.backbone.id))
    lay_aside(folder)
    return artifact.write(
        folder,
        manifest=manifest,
        vector=found.vector,
        bias=found.bias,
        golden=found.golden,
        attention=found.attention,
        card=text,
    )


def findings(folder: Path, *, repo: str | None = None) -> list[Finding]:
    """Say what is not up to date with an artifact's card and picture; empty if all is.

    Raises:
        NotFoundError: The folder holds no artifact, or names an unknown backbone.
        ManifestError: The manifest breaks its schema.
    """
    manifest = artifact.read_manifest(folder)
    found = []
    spec = registry.backbone_spec(manifest.backbone.id)
    if text(folder) != compose(folder, manifest, spec, repo=repo):
        kept = handwriting(folder)
        what = "differs from what `retq card` makes of the manifest"
        what += ", and was changed outside of its notes" if kept.elsewhere else ""
        found.append(Finding(where=artifact.CARD, what=what))
    if is_stale(folder, manifest):
        found.append(Finding(where=PICTURE, what="was drawn from other vectors, or another head"))
    return found


def renew(
    folder: Path, *, backbone: BackboneSpec | None = None, repo: str | None = None
) -> Renewal:
    """Make the card of an artifact anew.

    Args:
        folder: The artifact.
        backbone: The backbone that it was made for; looked up by its id if not given.
        repo: Where it can be pulled from; what the present card says if not given.

    Raises:
        NotFoundError: The folder holds no artifact, or names an unknown backbone.
        ManifestError: The manifest breaks its schema.
        BadInputError: The card that is there is no text.
        StorageError: The folder cannot be written.
    """
    manifest = artifact.read_manifest(folder)
    spec = backbone or registry.backbone_spec(manifest.backbone.id)
    card = compose(folder, manifest, spec, repo=repo)
    if text(folder) == card:
        return Renewal(changed=False, aside=None)
    aside = lay_aside(folder)
    write_text(folder / artifact.CARD, card)
    return Renewal(changed=True, aside=aside)


def lay_aside(folder: Path) -> Path | None:
    """Copy a card that was changed outside of its notes to ``README.old.md`` or a free name.

    Returns:
        The copy's place; None if there was nothing that a new card would lose.
    """
    if not handwriting(folder).elsewhere:
        return None
    number, goal = 1, folder / "README.old.md"
    while goal.exists():
        number += 1
        goal = folder / f"README.old-{number}.md"
    with whole_file(goal) as temporary:
        shutil.copyfile(folder / artifact.CARD, temporary)
    return goal


def handwriting(folder: Path) -> Handwriting:
    """Read what people wrote into the card of a folder; nothing where there is none.

    Raises:
        BadInputError: The card is no text, or too long for one.
    """
    return read(text(folder))


def is_stale(folder: Path, manifest: QueryManifest) -> bool:
    """Whether the picture says of itself that it was drawn from something else."""
    blob = read_picture(folder)
    drawn_from = None if blob is None else about(blob).subject
    return drawn_from is not None and drawn_from != subject(manifest)


def _picture(folder: Path, manifest: QueryManifest) -> Picture | None:
    """Say what the picture shows that the card may show: none of other vectors."""
    blob = read_picture(folder)
    return None if blob is None or is_stale(folder, manifest) else about(blob)


def text(folder: Path) -> str:
    """Read the card of a folder; empty where there is none.

    Raises:
        BadInputError: It is no text, or too long for a card.
    """
    path = folder / artifact.CARD
    if not path.is_file():
        return ""
    with storage_errors(path):
        if path.stat().st_size > _MAX_CARD_BYTES:
            raise BadInputError(f"{path} is larger than 1 MiB, a card is not", hint="shorten it")
        try:
            return path.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadInputError(f"{path} is no UTF-8 text", hint="save it as UTF-8") from error

"""What people see of an artifact, made anew: its picture and its model card."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retq_hub import artifact, cardfile, registry
from retq_hub.errors import BackboneMismatch, NotFoundError, storage_errors
from retq_hub.manifest import QueryManifest
from retq_hub.picture import PICTURE, about, read_picture
from retq_hub.progress import Progress
from retq_hub.storage import whole_file

if TYPE_CHECKING:
    from retq_hub.backbone import Backbone

__all__ = ["Presented", "present"]


@dataclass(frozen=True, kw_only=True)
class Presented:
    """What was done.

    Attributes:
        folder: The artifact.
        manifest: Its manifest.
        card: What became of the card.
        picture: What became of the picture, in words.
    """

    folder: Path
    manifest: QueryManifest
    card: cardfile.Renewal
    picture: str


def present(
    folders: Sequence[Path],
    *,
    repo: str | None = None,
    image: Path | None = None,
    backbone: "Backbone | None" = None,
    progress: Progress | None = None,
) -> list[Presented]:
    """Draw the pictures of artifacts and make their cards anew.

    A picture is drawn where the backbone's weights are at hand; nothing is fetched for it. One that
    somebody else made, or of a photograph other than the example, stays as long as it fits.

    Args:
        folders: The artifacts.
        repo: Where the query can be pulled from: its Hub repository, ``ns/name``; what the present
            card says if not given.
        image: A photograph for the picture; the example that ships with retq-hub if not given.
        backbone: One that is at hand already; others are loaded by their ids.
        progress: Where to report.

    Raises:
        NotFoundError: A folder holds no artifact, or the weights for ``image`` are not here.
        ManifestError: A manifest breaks its schema.
        ImageError: The photograph cannot be used.
        IntegrityError: An artifact is not intact.
        StorageError: A folder cannot be written.
    """
    backbones = {backbone.spec.id: backbone} if backbone else {}
    done = []
    for folder in folders:
        manifest = artifact.read_manifest(folder)
        said = "" if image else _kept(folder, manifest)
        said = said or _drawn(folder, manifest, image, backbones, progress)
        spec = backbone.spec if backbone and backbone.spec.id == manifest.backbone.id else None
        renewal = cardfile.renew(folder, backbone=spec, repo=repo)
        done.append(Presented(folder=folder, manifest=manifest, card=renewal, picture=said))
    return done


def _kept(folder: Path, manifest: QueryManifest) -> str:
    """Say why the picture that is there stays; nothing if it does not."""
    blob = read_picture(folder)
    if blob is None or cardfile.is_stale(folder, manifest) or about(blob).example:
        return ""
    return "kept: it is not of the example photograph"


def _drawn(
    folder: Path,
    manifest: QueryManifest,
    image: Path | None,
    backbones: "dict[str, Backbone]",
    progress: Progress | None,
) -> str:
    """Draw the picture, and say so, or why it cannot be; one of other vectors is removed then."""
    try:
        backbone = _backbone(manifest, image, backbones, progress)
        blob = _portrait(folder, backbone, image)
    except (BackboneMismatch, NotFoundError) as error:
        if image is not None:
            raise
        if cardfile.is_stale(folder, manifest):
            with storage_errors(folder):
                (folder / PICTURE).unlink()
            return f"removed, for it was of other vectors; not drawn: {error.found}"
        return f"not drawn: {error.found}"
    if blob == read_picture(folder):
        return "up to date"
    with whole_file(folder / PICTURE) as temporary:
        temporary.write_bytes(blob)
    return "drawn"


def _backbone(
    manifest: QueryManifest,
    image: Path | None,
    backbones: "dict[str, Backbone]",
    progress: Progress | None,
) -> "Backbone":
    """Give the backbone if it is at hand, and if there is a photograph for it."""
    from retq_hub.backbone import Backbone

    name = manifest.backbone.id
    spec = backbones[name].spec if name in backbones else registry.backbone_spec(name)
    if image is None and spec.modality not in ("colour-fundus", "natural"):
        raise NotFoundError(f"there is no example photograph for {spec.modality}")
    if name not in backbones:
        if not registry.has_weights(spec):
            raise NotFoundError(
                f"the weights of {name} are not here", hint=f"`retq backbones fetch {name}`"
            )
        backbones[name] = Backbone.asleep(name, progress=progress)
    return backbones[name]


def _portrait(folder: Path, backbone: "Backbone", image: Path | None) -> bytes:
    from retq_hub.portrait import draw

    backbone.check(artifact.read_manifest(folder).backbone)
    return draw(folder, backbone, image=image)

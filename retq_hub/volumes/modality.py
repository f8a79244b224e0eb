"""Whether queries were made for the kind of image that they are applied to: notes, no refusals."""

from collections.abc import Mapping

from retq_hub.manifest import QueryManifest
from retq_hub.spec import BackboneSpec

__all__ = ["OCT", "notes"]

OCT = "oct"

_ANY = ("natural", "biomedical", "retina")
"""What backbones are made for that were trained on more than one kind of retinal image, or none."""

_PHOTOGRAPHS = ("idrid", "hvdropdb")
"""How the ids of published data sets begin that hold colour photographs."""


def notes(spec: BackboneSpec, queries: Mapping[str, QueryManifest]) -> list[str]:
    """Say which queries were not made for OCT.

    Args:
        spec: Their backbone.
        queries: Their manifests by name.

    Returns:
        A line each; none where nothing speaks against them.
    """
    if spec.modality not in (OCT, *_ANY):
        return [
            f"{spec.id} was made for {spec.modality.replace('-', ' ')} images: "
            "what its queries say of OCT may mean nothing"
        ]
    return [
        f"{name} was trained on colour photographs ({ids}): what it says of OCT may mean nothing"
        for name, manifest in queries.items()
        if (ids := _photographs(manifest))
    ]


def _photographs(manifest: QueryManifest) -> str:
    ids = [one.id for one in manifest.data]
    return ", ".join(one for one in ids if one.startswith(_PHOTOGRAPHS))

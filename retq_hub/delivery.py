"""What is the same however a query was made: checks before the work, and the artifact after it."""

from importlib.metadata import version as version_of
from pathlib import Path

from torch import Tensor

import retq_hub
from retq_hub import artifact, card, cardfile, schema
from retq_hub.artifact import Attention, Golden
from retq_hub.backbone import Backbone
from retq_hub.manifest import QueryManifest
from retq_hub.presentation import present
from retq_hub.progress import Progress
from retq_hub.storage import check_writable

__all__ = ["check", "deliver", "versions"]


def check(output: Path, *, name: str, version: str, summary: str) -> None:
    """Refuse, before the work, what could not be written after it.

    Raises:
        UsageError: ``output`` holds something else than an artifact, or one with figures.
        ManifestError: Name, version or summary are not as the schema wants them.
        BadInputError: The card that ``output`` has already is no text.
        StorageError: The place cannot be written.
    """
    identity = {"name": name, "version": version, "summary": summary}
    schema.check_members(identity, schema.QUERY, subject="the query to be made")
    artifact.check_retrainable(output)
    check_writable(output.resolve().parent)
    cardfile.handwriting(output)


def versions() -> dict[str, str]:
    """Give the versions of the software that a manifest names."""
    return {
        "retq-hub": retq_hub.__version__,
        "timm": version_of("timm"),
        "torch": version_of("torch"),
    }


def deliver(
    output: Path,
    *,
    manifest: QueryManifest,
    vector: Tensor,
    bias: Tensor,
    golden: Golden,
    backbone: Backbone,
    progress: Progress,
    attention: tuple[Tensor, Tensor] | None = None,
) -> QueryManifest:
    """Write an artifact with its card and picture.

    Args:
        output: Its folder; what people wrote into a card that is there stays.
        manifest: Its manifest; ``files`` are filled in.
        vector: See `retq_hub.artifact.Artifact`.
        bias: See there.
        golden: See `retq_hub.goldens`.
        backbone: The backbone that it was made for.
        progress: Where to say what licences allow together.
        attention: (A, D) vectors and (A,) biases of attention, where it has them.

    Returns:
        The manifest as it was written.

    Raises:
        ManifestError: The manifest breaks its schema.
        StorageError: The place cannot be written.
    """
    progress.note(_licences(manifest, backbone))
    text = cardfile.compose(output, manifest, backbone.spec)
    cardfile.lay_aside(output)
    written = artifact.write(
        output,
        manifest=manifest,
        vector=vector.numpy(),
        bias=bias.numpy(),
        golden=golden,
        card=text,
        attention=attention and Attention(vector=attention[0].numpy(), bias=attention[1].numpy()),
    )
    present([output], backbone=backbone, progress=progress)
    return written


def _licences(manifest: QueryManifest, backbone: Backbone) -> str:
    """Name the licences where they differ, and what they allow together."""
    every = [manifest.licence, backbone.spec.licence, *(one.licence for one in manifest.data)]
    if len({one.id for one in every}) == 1:
        return ""
    data = ", ".join(dict.fromkeys(one.licence.id for one in manifest.data))
    return (
        f"licences: query {manifest.licence.id}, backbone {backbone.spec.licence.id}"
        f"{f', data {data}' if data else ''}\n"
        f"  together: {card.combination(every).partition(' (')[0]}"
    )

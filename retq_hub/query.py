"""A query in memory: its vectors, its manifest, where it came from."""

import tempfile
from pathlib import Path

import torch
from torch import Tensor

from retq_hub import artifact, publication, registry
from retq_hub.artifact import Artifact, Golden
from retq_hub.errors import UsageError
from retq_hub.grids import logit_map
from retq_hub.kinds import SEGMENTATION, Derived
from retq_hub.manifest import QueryManifest
from retq_hub.picture import read_picture
from retq_hub.progress import Progress
from retq_hub.publication import Pushed

__all__ = ["Query"]


class Query:
    """A query vector (or several) with all that is known of it.

    Args:
        found: The artifact it was read from.
        card: The model card's text.
        picture: The JPEG beside it; None: there is none.

    Attributes:
        manifest: The content of its ``retq.json``.
        vector: (C, D) float32; see `retq_hub.artifact.Artifact` for those that classify.
        bias: (C,) float32.
        attention: (A, D) vectors and (A,) biases that weight an image's positions; None: it has
            none.
        golden: What it gives on the probe image.
    """

    def __init__(self, found: Artifact, *, card: str, picture: bytes | None = None) -> None:
        self._artifact = found
        self._card = card
        self._picture = picture
        self.manifest: QueryManifest = found.manifest
        self.golden: Golden = found.golden
        self.vector: Tensor = torch.from_numpy(found.vector.copy())
        self.bias: Tensor = torch.from_numpy(found.bias.copy())
        self.attention: tuple[Tensor, Tensor] | None = None
        if found.attention is not None:
            weights = found.attention
            self.attention = (
                torch.from_numpy(weights.vector.copy()),
                torch.from_numpy(weights.bias.copy()),
            )

    @classmethod
    def from_pretrained(cls, name: str | Path, *, progress: Progress | None = None) -> "Query":
        """Load a query and verify it.

        Args:
            name: ``idrid-disc``, ``idrid-disc@1.0.0``, an artifact's folder, or a repository on the
                Hub: ``someone/drusen``, ``someone/drusen@v1.0.0``.
            progress: Where to say that a version is yanked; a Python warning if not given.

        Raises:
            NotFoundError: There is no such query; the message says which names are near.
            IntegrityError: The artifact is not intact.
            ManifestError: Its manifest breaks the schema.
            NetworkError: The Hub did not deliver, or refused.
        """
        folder = name if isinstance(name, Path) else registry.locate(name, progress=progress)
        found = artifact.read(folder)
        card = folder / artifact.CARD
        return cls(
            found,
            card=card.read_text(encoding="utf-8") if card.is_file() else "",
            picture=read_picture(folder),
        )

    def __call__(self, *blocks: Tensor) -> Tensor:
        """Apply the query.

        Args:
            blocks: (B, N, D) tokens of each pass of its basis.

        Returns:
            (B, C, G, G) float32 logits on the finest of the passes' grids.

        Raises:
            UsageError: It is no segmentation query: its answer takes more than dot products.
        """
        if not self.manifest.is_kind(SEGMENTATION):
            raise UsageError(
                f"{self.manifest.name} is of kind {self.manifest.kind}: tokens alone give no map",
                hint="use it in a Pipeline",
            )
        return logit_map(blocks, self.vector, self.bias)

    def __repr__(self) -> str:
        manifest = self.manifest
        return f"<Query {manifest.name} {manifest.version} for {manifest.backbone.id}>"

    def derived(self, how: str) -> Derived:
        """Say in another query's manifest how it was made from this one."""
        manifest = self.manifest
        return Derived(
            how=how, name=manifest.name, version=manifest.version, digest=manifest.digest
        )

    def save(self, folder: str | Path) -> Path:
        """Write the artifact to a folder, whole or not at all.

        Raises:
            StorageError: The place cannot be written.
        """
        artifact.write(
            Path(folder),
            manifest=self.manifest,
            vector=self._artifact.vector,
            bias=self._artifact.bias,
            golden=self.golden,
            card=self._card,
            picture=self._picture,
            attention=self._artifact.attention,
        )
        return Path(folder)

    def push_to_hub(
        self,
        repo: str,
        *,
        private: bool = False,
        pr: bool = False,
        message: str | None = None,
        dry_run: bool = False,
    ) -> Pushed:
        """Publish the query on a Hub, as `retq_hub.publication.push` does.

        Args:
            repo: ``namespace/name``; made if it is not there.
            private: Make it a private repository, if it has to be made.
            pr: Open a pull request, for a repository of somebody else's.
            message: What is said of the commit.
            dry_run: Say what would be done; nothing is written.

        Raises:
            CheckFailed: The query is not fit to be published.
            UsageError: The version is published already, or the repository holds something else.
            NetworkError: No login, somebody else pushed meanwhile, or the Hub did not deliver.
        """
        with tempfile.TemporaryDirectory() as scratch:
            folder = self.save(Path(scratch) / self.manifest.name)
            return publication.push(
                folder, repo, private=private, pr=pr, message=message, dry_run=dry_run
            )

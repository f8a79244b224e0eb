"""What is sent to a Hub and what lies there: a query, or a composed pipeline. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from retq_hub import artifact, assembly, cardfile, composition, lock, registry, remote
from retq_hub.difference import differences as query_differences
from retq_hub.errors import CheckFailed, Finding, UsageError
from retq_hub.lock import Lock
from retq_hub.manifest import QueryManifest
from retq_hub.repository import OPTIONAL_FILES, REQUIRED_FILES

__all__ = ["Content", "Parcel", "at", "differences", "key_of", "pack"]

Content = QueryManifest | Lock
"""What a repository holds, as its own file says: ``retq.json`` or ``retq.lock``."""

_PIPELINE_FILES = (lock.FILE, artifact.CARD, "CHANGELOG.md")


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """Something that is fit to be published.

    Attributes:
        content: What it is.
        files: What is sent, by name, with a card that says where it lies.
    """

    content: Content
    files: dict[str, bytes]

    @property
    def name(self) -> str:
        """The query's or the pipeline's name."""
        return str(self.content.name)

    @property
    def version(self) -> str:
        """Its version."""
        return str(self.content.version)

    @property
    def kind(self) -> str:
        """What it is, in a word or two."""
        return "query" if isinstance(self.content, QueryManifest) else "composed pipeline"

    @property
    def key(self) -> str:
        """The file that makes it what it is."""
        return artifact.MANIFEST if isinstance(self.content, QueryManifest) else lock.FILE


def pack(folder: Path, repo: str) -> Parcel:
    """Read what is sent, checked throughout.

    Args:
        folder: An artifact, or a composed pipeline (also its ``retq.lock``).
        repo: Where it is sent: ``namespace/name``.

    Raises:
        CheckFailed: It is not fit to be published; lists all that is wrong.
        UsageError: A lock without a folder of its own.
        NotFoundError: The folder holds neither; the backbone has no description.
    """
    if folder.is_file():
        if folder.name != lock.FILE:
            raise UsageError(
                f"{folder} is a file: what is published is a folder",
                hint="`retq lock --name` makes the folder of a pipeline",
            )
        folder = folder.parent
    if composition.path_of(f"{folder.absolute()}") is not None:
        return _pipeline(folder, repo)
    return _query(folder, repo)


def at(repo: str, commit: str, key: str) -> Content:
    """Read what a repository holds at a commit.

    Args:
        repo: ``namespace/name``.
        commit: All 40 digits.
        key: ``retq.json`` or ``retq.lock``.
    """
    folder = remote.fetch(repo, commit, [key])
    return lock.read(folder / key) if key == lock.FILE else artifact.read_manifest(folder)


def key_of(files: Sequence[str]) -> str | None:
    """Give the file that says what a repository holds; None if it holds neither."""
    return next((one for one in (artifact.MANIFEST, lock.FILE) if one in files), None)


def differences(old: Content, new: Content) -> list[str]:
    """Say what differs, a line each; nothing for two of different kinds."""
    if isinstance(old, QueryManifest) and isinstance(new, QueryManifest):
        return query_differences(old, new)
    if isinstance(old, Lock) and isinstance(new, Lock):
        return lock.differences(old, new)
    return []


def _query(folder: Path, repo: str) -> Parcel:
    names = (*REQUIRED_FILES, *OPTIONAL_FILES)
    _refuse(folder, [*artifact.findings(folder), *_odd(folder, names)])
    manifest = artifact.read_manifest(folder)
    spec = registry.backbone_spec(manifest.backbone.id)
    card = cardfile.compose(folder, manifest, spec, repo=repo)
    return Parcel(content=manifest, files=_bytes(folder, names, card))


def _pipeline(folder: Path, repo: str) -> Parcel:
    _refuse(folder, [*composition.findings(folder), *_odd(folder, _PIPELINE_FILES)])
    found = composition.locate(folder)
    _refuse(folder, composition.local_members(found.lock))
    card = assembly.card(found, repo=repo)
    return Parcel(content=found.lock, files=_bytes(folder, _PIPELINE_FILES, card))


def _refuse(folder: Path, findings: list[Finding]) -> None:
    if findings:
        raise CheckFailed(str(folder), findings, hint="nothing was sent")


def _bytes(folder: Path, names: Sequence[str], card: str) -> dict[str, bytes]:
    files = {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}
    return {**files, artifact.CARD: card.encode()}


def _odd(folder: Path, names: Sequence[str]) -> list[Finding]:
    """Find what may not leave this machine: links to elsewhere, and what is no query's size."""
    found = []
    for name in names:
        path = folder / name
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            found.append(Finding(where=name, what="is a link that leads out of the folder"))
        elif path.is_file() and path.stat().st_size > artifact.MAX_FILE_BYTES:
            found.append(Finding(where=name, what="is larger than 256 MiB"))
    return found

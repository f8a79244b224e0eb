"""The verdict on a commit's artifact: what `retq validate` would find in it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from retq_hub import artifact, composition, lock
from retq_hub.artifact import CARD, GOLDEN, MANIFEST, PICTURE, QUERY
from retq_hub.errors import Finding, ManifestError
from retq_hub.index import floats_of
from retq_hub.lock import FILE
from retq_hub.manifest import QueryManifest
from retq_hub.server.trees import Tree

__all__ = [
    "MAX_MANIFEST",
    "Verdict",
    "decode",
    "encode",
    "holds_artifact",
    "holds_lock",
    "judge",
    "lock_findings",
]

_FILES = (MANIFEST, QUERY, GOLDEN, CARD, PICTURE)

MAX_MANIFEST = 4 * 2**20
"""A larger manifest is not read."""

_MOST = 100


def holds_artifact(tree: Tree) -> bool:
    """Whether the commit claims to be an artifact: it has a manifest."""
    return MANIFEST in tree


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the check of a commit's artifact gave.

    Attributes:
        findings: What is wrong; empty if the artifact is intact.
        manifest: Its manifest, if that much is right.
        floats: Number of floats in its vectors; 0 if they cannot be read.
    """

    findings: list[Finding]
    manifest: QueryManifest | None = None
    floats: int = 0


def judge(tree: Tree, locate: Callable[[str], Path], folder: Path) -> Verdict:
    """Check the artifact of a commit.

    Args:
        tree: The commit's files, one of them a manifest.
        locate: Gives the place of the content of the file at a path.
        folder: An empty folder for the check.
    """
    if tree[MANIFEST].size > MAX_MANIFEST:
        return Verdict(findings=[Finding(where=MANIFEST, what="is larger than 4 MiB")])
    for name in _FILES:
        if name in tree:
            (folder / name).symlink_to(locate(name).absolute())
    found = artifact.findings(folder)
    if not found:
        whole = artifact.read(folder)
        return Verdict(findings=[], manifest=whole.manifest, floats=floats_of(whole))
    plain = _plain(found, folder)
    try:
        return Verdict(findings=plain, manifest=artifact.read_manifest(folder))
    except ManifestError:
        return Verdict(findings=plain)


def holds_lock(tree: Tree) -> bool:
    """Whether the commit claims to be a composed pipeline: it has a lock, and is no artifact."""
    return FILE in tree and not holds_artifact(tree)


def lock_findings(tree: Tree, locate: Callable[[str], Path], folder: Path) -> list[Finding]:
    """Check the composed pipeline of a commit; its members are not looked at.

    Args:
        tree: The commit's files, one of them a lock.
        locate: Gives the place of the content of the file at a path.
        folder: An empty folder for the check.
    """
    for name in (FILE, CARD):
        if name in tree:
            (folder / name).symlink_to(locate(name).absolute())
    found = composition.findings(folder)
    return _plain(found or composition.local_members(lock.read(folder / FILE)), folder)


def _plain(found: list[Finding], folder: Path) -> list[Finding]:
    """Leave out where the check took place, what is no text, and what nobody would read."""
    place = f"{folder}{os.sep}"
    plain = [
        Finding(where=_text(one.where), what=_text(one.what.replace(place, "")))
        for one in found[:_MOST]
    ]
    if len(found) > _MOST:
        plain.append(Finding(where="", what=f"and {len(found) - _MOST} more"))
    return plain


def _text(found: str) -> str:
    return found.encode("utf-8", errors="replace").decode()


def encode(found: list[Finding]) -> str:
    """Give findings as they are kept."""
    return msgspec.json.encode([[one.where, one.what] for one in found]).decode()


def decode(text: str) -> list[Finding]:
    """Read what `encode` gave."""
    pairs = msgspec.json.decode(text, type=list[tuple[str, str]])
    return [Finding(where=where, what=what) for where, what in pairs]

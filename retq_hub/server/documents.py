"""The JSON documents in which the protocol describes repositories."""

from collections.abc import Collection
from typing import Any

from retq_hub.server.commits import Commit
from retq_hub.server.descriptions import Description
from retq_hub.server.repos import Repo
from retq_hub.server.trees import Entry, Tree

__all__ = ["entry_document", "repo_document", "select"]

_ALWAYS = ("_id", "id", "modelId")


def repo_document(
    repo: Repo, commit: Commit, description: Description, tree: Tree, *, sizes: bool = False
) -> dict[str, Any]:
    """Describe a repository at a commit.

    Args:
        repo: The repository.
        commit: The commit.
        description: What is known of the commit.
        tree: The commit's files.
        sizes: Also say how large each file is and which id it has.
    """
    card = description.card
    document = {
        "_id": f"{repo.key:024x}",
        "id": str(repo.id),
        "author": repo.id.namespace,
        "sha": commit.oid,
        "createdAt": repo.created,
        "lastModified": commit.created,
        "private": repo.private,
        "gated": repo.gated or False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": description.tags,
        "cardData": card,
        "siblings": [_sibling(path, entry, sizes=sizes) for path, entry in tree.items()],
        "usedStorage": sum(entry.size for entry in tree.values()),
    }
    if repo.id.kind == "models":
        document |= {
            "modelId": str(repo.id),
            "library_name": card.get("library_name"),
            "pipeline_tag": card.get("pipeline_tag"),
            "model-index": card.get("model-index"),
        }
    if counts := description.parameters:
        document["safetensors"] = {"parameters": counts, "total": sum(counts.values())}
    return document


def _sibling(path: str, entry: Entry, *, sizes: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"rfilename": path}
    if sizes:
        found |= {"size": entry.size, "blobId": entry.oid}
        if entry.lfs:
            large = {"size": entry.size, "sha256": entry.sha256}
            found["lfs"] = {**large, "pointerSize": len(entry.pointer)}
    return found


def entry_document(found: dict[str, Any], last: Commit | None) -> dict[str, Any]:
    """Add to the description of a file or folder the commit that is asked for with it."""
    if last is None:
        return found
    return {**found, "lastCommit": {"id": last.oid, "title": last.title, "date": last.created}}


def select(document: dict[str, Any], wanted: Collection[str]) -> dict[str, Any]:
    """Give only the members that ``expand`` names."""
    return {name: value for name, value in document.items() if name in wanted or name in _ALWAYS}

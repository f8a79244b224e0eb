"""What people write into a model card: kept when the card is made anew, and told from the rest.

In the card's text that is what stands between two markers, in its head the members and tags that
are not made from the manifest. A seal in the last line says what retq wrote, so that a change
anywhere else is noticed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from retq_hub import metadata
from retq_hub.digest import json_digest

__all__ = ["Handwriting", "read", "sealed", "section"]

_START, _END = "<!-- retq: notes -->", "<!-- retq: end of notes -->"
_INVITATION = (
    "<!-- Write here what others should know: what the query was tried on, where it fails. What "
    "stands between these two markers is kept when `retq card` makes the card anew. -->"
)
_SEAL = re.compile(r"\n<!-- retq: card of (\S+), seal ([0-9a-f]{16}) -->\s*\Z")
_HEAD = re.compile(r"\s*---[ \t]*\n(.*?\n)---[ \t]*(?:\n|\Z)", re.DOTALL)
_OWN_MEMBERS = frozenset(
    (
        *("base_model", "base_model_relation", "datasets", "library_name", "license"),
        *("license_link", "license_name", "model-index", "pipeline_tag", "tags"),
    )
)


@dataclass(frozen=True, kw_only=True)
class Handwriting:
    """What a card holds that is not made from the manifest.

    Attributes:
        notes: The text between the markers; empty if there is none.
        members: Members of the head that retq does not write, such as ``new_version``.
        tags: Tags that it does not write.
        repo: Where the card says that the query can be pulled from; None: nowhere.
        elsewhere: Whether something else in the card is not as retq wrote it, too.
    """

    notes: str = ""
    members: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    repo: str | None = None
    elsewhere: bool = False


def section(notes: str) -> str:
    """Give the part of a card that is written by hand, with its markers; an invitation if empty."""
    return f"{_START}\n{notes or _INVITATION}\n{_END}"


def sealed(head: Mapping[str, Any], text: str, *, kept: Handwriting, repo: str | None) -> str:
    """Put a card together and seal it.

    Args:
        head: The members that are made from the manifest.
        text: The Markdown below, with a `section`.
        kept: What is written by hand; its members and tags are added to the head.
        repo: Where the query can be pulled from.
    """
    seal = _seal(head, text, repo or "-")
    whole = {**head, **{name: one for name, one in kept.members.items() if name not in head}}
    whole["tags"] = list(dict.fromkeys([*head["tags"], *kept.tags]))
    mark = f"<!-- retq: card of {repo or '-'}, seal {seal} -->"
    return f"---\n{metadata.to_yaml(whole)}---\n\n{text}\n\n{mark}\n"


def read(card: str) -> Handwriting:
    """Tell what people wrote in a card from what retq wrote; an empty card has neither."""
    card = card.removeprefix("\ufeff").replace("\r\n", "\n")
    if not card.strip():
        return Handwriting()
    found = _HEAD.match(card)
    head = metadata.from_yaml(found[1]) if found else {}
    text = card[found.end() :] if found else card
    mark = _SEAL.search(text)
    body = text[: mark.start()].strip() if mark else text
    repo = mark[1] if mark and (metadata.is_repo_id(mark[1])) else None
    tags = _tags(head or {})
    own = {name: one for name, one in (head or {}).items() if name in _OWN_MEMBERS}
    if "tags" in own:
        own["tags"] = [tag for tag in tags if metadata.is_own_tag(tag)]
    untouched = mark is not None and mark[2] == _seal(own, body, mark[1])
    return Handwriting(
        notes=_notes(body),
        members={name: one for name, one in (head or {}).items() if name not in _OWN_MEMBERS},
        tags=tuple(tag for tag in tags if not metadata.is_own_tag(tag)),
        repo=repo,
        elsewhere=not untouched,
    )


def _tags(head: Mapping[str, Any]) -> list[str]:
    tags = head.get("tags")
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []


def _notes(text: str) -> str:
    """Give what stands between the first marker and the last one, without the invitation."""
    start, end = text.find(_START), text.rfind(_END)
    if start < 0 or end < start:
        return ""
    notes = text[start + len(_START) : end].strip()
    return "" if notes == _INVITATION else notes


def _seal(head: Mapping[str, Any], text: str, repo: str) -> str:
    """Hash what retq wrote; a head that is no JSON, such as one with a date, is not its own."""
    start, end = text.find(_START), text.rfind(_END)
    bare = text[:start] + text[end:] if 0 <= start < end else text
    try:
        return json_digest({"head": dict(head), "repo": repo, "text": bare.strip()})[:16]
    except (TypeError, ValueError, RecursionError):
        return ""

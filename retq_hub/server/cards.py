"""The YAML head of a README: read without running anything, checked, turned into tags."""

import re
from collections.abc import Iterator
from typing import Any

from retq_hub import frontmatter
from retq_hub.frontmatter import BadCard

__all__ = ["CARD", "BadCard", "head", "read", "tags", "warnings"]

CARD = "README.md"

_HEAD = re.compile(
    r"\A\ufeff?---[ \t]*\r?\n(.*?)(?:\r?\n)?^---[ \t]*\r?$", re.DOTALL | re.MULTILINE
)
_WORDS = ("license", "library_name", "pipeline_tag", "base_model_relation", "license_name")
_WORD_LISTS = ("tags", "datasets", "base_model", "language", "metrics")


def head(text: str) -> str:
    """Give the YAML between the two lines of dashes that a README begins with; else nothing."""
    found = _HEAD.match(text)
    return found[1] if found else ""


def read(text: str) -> dict[str, Any]:
    """Read and check the head of a README.

    Args:
        text: The README.

    Returns:
        A JSON object; empty if the README has no head.

    Raises:
        BadCard: It is no YAML mapping, too large, or a member has the wrong type.
    """
    plain = frontmatter.mapping(head(text))
    if found := list(_wrong(plain)):
        raise BadCard("; ".join(found))
    return plain


def _wrong(card: dict[str, Any]) -> Iterator[str]:
    for name in _WORDS:
        if not isinstance(card.get(name, ""), str):
            yield f'"{name}" must be a string'
    for name in _WORD_LISTS:
        value = card.get(name)
        many = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(one, str) for one in many):
            yield f'"{name}" must be a string or a list of strings'
    index = card.get("model-index")
    if index is not None and not (
        isinstance(index, list) and all(isinstance(one, dict) for one in index)
    ):
        yield '"model-index" must be a list of mappings'


def warnings(card: dict[str, Any]) -> list[str]:
    """Say what a usable head lacks."""
    return [] if card else ["empty or missing yaml metadata in repo card"]


def tags(card: dict[str, Any]) -> list[str]:
    """Give what a repository can be filtered by, in the order of the card, each once."""
    found = [card.get("library_name"), card.get("pipeline_tag"), *_many(card, "tags")]
    found += [f"dataset:{one}" for one in _many(card, "datasets")]
    for one in _many(card, "base_model"):
        found.append(f"base_model:{one}")
        if relation := card.get("base_model_relation"):
            found.append(f"base_model:{relation}:{one}")
    found += _many(card, "language")
    found += [f"license:{card['license']}"] if card.get("license") else []
    return list(dict.fromkeys(one for one in found if one))


def _many(card: dict[str, Any], name: str) -> list[str]:
    value = card.get(name)
    return [value] if isinstance(value, str) else list(value or [])

"""The YAML head of a README: read without running anything, checked, turned into tags."""

import math
import re
from collections.abc import Iterator
from datetime import date
from typing import Any

import yaml

__all__ = ["CARD", "BadCard", "head", "read", "tags", "warnings"]

CARD = "README.md"

_HEAD = re.compile(
    r"\A\ufeff?---[ \t]*\r?\n(.*?)(?:\r?\n)?^---[ \t]*\r?$", re.DOTALL | re.MULTILINE
)
_MAX_HEAD = 64 * 1024
_MAX_VALUES = 10_000
_MAX_DEPTH = 40
_MAX_INTEGER = 2**63

_WORDS = ("license", "library_name", "pipeline_tag", "base_model_relation", "license_name")
_WORD_LISTS = ("tags", "datasets", "base_model", "language", "metrics")


class BadCard(ValueError):
    """A head that cannot be used; one line says why."""


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
    source = head(text)
    if len(source) > _MAX_HEAD:
        raise BadCard(f"the head is larger than {_MAX_HEAD // 1024} KiB")
    if _bracket_depth(source) > _MAX_DEPTH:
        raise BadCard("the head's brackets are too deep")
    try:
        document = yaml.safe_load(source)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = " ".join(str(error).split())
        raise BadCard(f"the head is no YAML: {line[:200]}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise BadCard("the head must be a mapping, such as `license: apache-2.0`")
    plain: dict[str, Any] = _Plain().value(document, 0)
    if found := list(_wrong(plain)):
        raise BadCard("; ".join(found))
    return plain


def _bracket_depth(source: str) -> int:
    """Count how deep brackets stand in one another; the time that YAML takes grows with it."""
    depth = deepest = 0
    for bracket in re.findall(r"[\[\]{}]", source):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


class _Plain:
    """Turns what YAML gives into JSON; counts, so that aliases cannot make it explode."""

    def __init__(self) -> None:
        self._count = 0

    def value(self, found: object, depth: int) -> Any:  # noqa: ANN401 - any JSON value
        self._count += 1
        if self._count > _MAX_VALUES or depth > _MAX_DEPTH:
            raise BadCard(f"the head holds more than {_MAX_VALUES} values, or too deep ones")
        if isinstance(found, dict):
            return {self._key(key): self.value(one, depth + 1) for key, one in found.items()}
        if isinstance(found, list | tuple | set):
            return [self.value(one, depth + 1) for one in found]
        return self._scalar(found)

    def _key(self, key: object) -> str:
        plain = self._scalar(key)
        return plain if isinstance(plain, str) else str(plain)

    def _scalar(self, found: object) -> str | int | float | bool | None:
        if isinstance(found, date):
            return found.isoformat()
        if isinstance(found, str):
            return found.encode("utf-8", errors="replace").decode()
        if isinstance(found, float) and not math.isfinite(found):
            return None
        if isinstance(found, int) and abs(found) >= _MAX_INTEGER:
            raise BadCard("the head holds an integer beyond 64 bits")
        if found is None or isinstance(found, bool | int | float):
            return found
        raise BadCard(f"the head holds a value of type {type(found).__name__}")


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

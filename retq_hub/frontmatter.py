"""YAML that strangers wrote at the head of a README: read within bounds, and nothing is run."""

import math
import re
from datetime import date
from typing import Any

import yaml

__all__ = ["BadCard", "mapping"]

_MAX_HEAD = 64 * 1024
_MAX_VALUES = 10_000
_MAX_DEPTH = 40
_MAX_INTEGER = 2**63

_YAML_ERRORS = (
    yaml.YAMLError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
"""What PyYAML raises on values that are not what their tag says, besides its own errors."""


class BadCard(ValueError):
    """A head that cannot be used; one line says why."""


def mapping(source: str) -> dict[str, Any]:
    """Read the head of a README, the text between its two lines of dashes.

    Returns:
        A JSON object; empty if there is nothing.

    Raises:
        BadCard: It is no YAML mapping, or too large, too deep or too long to read.
    """
    if len(source) > _MAX_HEAD:
        raise BadCard(f"the head is larger than {_MAX_HEAD // 1024} KiB")
    if _bracket_depth(source) > _MAX_DEPTH:
        raise BadCard("the head's brackets are too deep")
    try:
        document = yaml.load(source, Loader=_Loader)
    except _YAML_ERRORS as error:
        line = " ".join(str(error).split())
        raise BadCard(f"the head is no YAML: {line[:200]}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise BadCard("the head must be a mapping, such as `license: apache-2.0`")
    plain: dict[str, Any] = _Plain().value(document, 0)
    return plain


class _Loader(yaml.SafeLoader):
    """Takes no merge keys: a few lines of them grow to gigabytes."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise BadCard('the head has a merge key "<<", which is not taken')


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

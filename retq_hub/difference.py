"""How one version of a query differs from another, as far as their manifests say: lines to read."""

from collections.abc import Iterator, Mapping
from typing import Any

from retq_hub.manifest import QueryManifest, to_json

__all__ = ["differences"]

_SHOWN = 28
"""Longer values are cut, so that a line has a chance to fit 80 columns."""

_ELSEWHERE = frozenset({"files", "graded", "metrics"})
"""Files have a table of their own, metrics lines of their own."""


def differences(old: QueryManifest, new: QueryManifest) -> list[str]:
    """Say what differs, a line each: first what was measured, then the rest.

    Args:
        old: What is published.
        new: What takes its place.

    Returns:
        Lines like ``metrics dice 0.9357 -> 0.9511 (+0.0154)`` and ``threshold 0.4 -> 0.5``.
    """
    return [*_metrics(old, new), *_members(old, new)]


def _metrics(old: QueryManifest, new: QueryManifest) -> Iterator[str]:
    before, after = _measured(old), _measured(new)
    several = len(before | after) > 1
    for where in dict.fromkeys((*before, *after)):
        place = f" ({' '.join(where)})" if several else ""
        if where not in after:
            yield f"metrics{place} removed"
        elif where not in before:
            yield f"metrics{place} added: {_figures(after[where])}"
        else:
            yield from _moved(before[where], after[where], place)


def _measured(manifest: QueryManifest) -> dict[tuple[str, ...], dict[str, float]]:
    """Give all figures by what was measured where: of a target's masks, or of whole images."""
    found: dict[tuple[str, ...], dict[str, float]] = {}
    for one in manifest.metrics:
        means = {name: value.mean for name, value in one.values.items()}
        found[one.dataset, one.split, one.target] = means
    for whole in manifest.graded or ():
        values = {name: value.value for name, value in whole.values.items()}
        found[whole.dataset, whole.split] = values
    return found


def _figures(values: Mapping[str, float]) -> str:
    shown = ("quadratic_kappa", "auroc", "dice")
    return ", ".join(f"{name} {values[name]:.4f}" for name in shown if name in values)


def _moved(old: Mapping[str, float], new: Mapping[str, float], place: str) -> Iterator[str]:
    for name, value in new.items():
        if name not in old:
            yield f"metrics{place} {name} added: {value:.4f}"
        elif (was := old[name]) != value:
            yield f"metrics{place} {name} {was:.4f} -> {value:.4f} ({value - was:+.4f})"


def _members(old: QueryManifest, new: QueryManifest) -> Iterator[str]:
    before, after = (_flat(_own(one)) for one in (old, new))
    for path in dict.fromkeys((*before, *after)):
        if path not in after:
            yield f"{path} removed"
        elif path not in before:
            yield f"{path} added: {_short(after[path])}"
        elif before[path] != after[path]:
            was, now = _apart(before[path], after[path])
            yield f"{path} {was} -> {now}"


def _own(manifest: QueryManifest) -> dict[str, Any]:
    return {key: value for key, value in to_json(manifest).items() if key not in _ELSEWHERE}


def _flat(value: Any, path: str = "") -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    """Lay a document out by paths; lists of plain values and of trials stay whole."""
    parts: dict[str, Any] = {}
    if isinstance(value, dict):
        parts = value
    elif isinstance(value, list) and value and isinstance(value[0], dict) and len(value) < 8:
        parts = {str(number): one for number, one in enumerate(value)}
    else:
        return {path: value}
    found: dict[str, Any] = {}
    for key, one in parts.items():
        found |= _flat(one, f"{path}/{key}" if path else key)
    return found


def _apart(old: Any, new: Any) -> tuple[str, str]:  # noqa: ANN401 - any JSON values
    """Shorten two values so that what differs is seen: long texts begin where they part."""
    if isinstance(old, str) and isinstance(new, str) and max(len(old), len(new)) > _SHOWN:
        pairs = enumerate(zip(old, new, strict=False))
        same = next((place for place, (a, b) in pairs if a != b), min(len(old), len(new)))
        start = old.rfind(" ", 0, same) + 1
        if start > 0:
            return _short(f"...{old[start:]}"), _short(f"...{new[start:]}")
    return _short(old), _short(new)


def _short(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(value, list) and len(value) > 3:
        return f"{len(value)} entries"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."

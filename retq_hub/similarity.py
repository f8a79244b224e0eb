"""Which queries have nearly the same vector: cosines between all vectors that read the same tokens.

Only what was made for the same weights and reads the same basis can be compared. Versions of one
query are not compared with each other: that they are alike is no news.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retq_hub.record import Near

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["THRESHOLD", "Vectors", "near"]

THRESHOLD = 0.999
"""From this cosine on two vectors mark the same: their maps differ by less than noise."""

_BLOCK = 1024
_MOST = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Vectors:
    """The vectors of one query.

    Attributes:
        key: ``name@version``.
        name: The query's; what has the same is not compared.
        group: What must be equal for vectors to be comparable: weights and basis.
        vector: (C, D) float32.
    """

    key: str
    name: str
    group: str
    vector: "Floats"


def near(
    queries: Sequence[Vectors], *, threshold: float = THRESHOLD
) -> dict[str, tuple[Near, ...]]:
    """Find for each query those with nearly the same vector, whatever their targets are called.

    Args:
        queries: In any order.
        threshold: The least cosine.

    Returns:
        By ``name@version`` the nearest, at most five, the nearest first; queries without are not
        in it.
    """
    groups: dict[tuple[str, int], list[Vectors]] = {}
    for one in queries:
        groups.setdefault((one.group, one.vector.shape[1]), []).append(one)
    found: dict[str, tuple[Near, ...]] = {}
    for alike in groups.values():
        if len({one.name for one in alike}) > 1:
            found |= _within(sorted(alike, key=lambda one: one.key), threshold)
    return found


def _within(queries: list[Vectors], threshold: float) -> dict[str, tuple[Near, ...]]:
    best: dict[str, dict[str, float]] = {}
    for one, other, cosine in _pairs(queries, threshold):
        others = best.setdefault(one.key, {})
        others[other.key] = max(cosine, others.get(other.key, -1.0))
    return {
        key: tuple(
            Near(name=name, cosine=round(cosine, 6))
            for name, cosine in sorted(others.items(), key=lambda item: (-item[1], item[0]))[:_MOST]
        )
        for key, others in best.items()
    }


def _pairs(queries: list[Vectors], threshold: float) -> Iterator[tuple[Vectors, Vectors, float]]:
    """Give all pairs of queries with a cosine at or above the threshold, block by block."""
    import numpy as np

    rows = np.concatenate([one.vector for one in queries]).astype(np.float32)
    owner = np.repeat(np.arange(len(queries)), [len(one.vector) for one in queries])
    names = {name: number for number, name in enumerate(sorted({one.name for one in queries}))}
    name = np.array([names[one.name] for one in queries])[owner]
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    for start in range(0, len(rows), _BLOCK):
        cosines = rows[start : start + _BLOCK] @ rows.T
        cosines[name[start : start + _BLOCK, None] == name] = -1
        for row in np.flatnonzero((cosines >= threshold).any(axis=1)):
            columns = np.flatnonzero(cosines[row] >= threshold)
            columns = columns[np.argsort(-cosines[row, columns], kind="stable")][: 8 * _MOST]
            for column in columns:
                yield (
                    queries[owner[start + row]],
                    queries[owner[column]],
                    min(1.0, float(cosines[row, column])),
                )

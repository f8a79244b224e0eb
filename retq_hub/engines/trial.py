"""How long engines take on this machine: they take turns over the passes that are wanted."""

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import TypeVar

from retq_hub.engines.engine import Engine
from retq_hub.engines.graph import blank
from retq_hub.plans import Plan
from retq_hub.spec import BackboneSpec
from retq_hub.tiling import PassKey

__all__ = ["measure"]

K = TypeVar("K")

_SECONDS = 4.0
_ROUNDS = 7
_FEWEST = 2


def measure(engines: Mapping[K, Engine], spec: BackboneSpec, passes: Plan) -> dict[K, float]:
    """Measure the milliseconds that engines take for an image.

    Of each pass one square is run, and counted as often as the pass has tiles. Each engine runs
    once before it counts; then they take turns, for a few seconds.

    Args:
        engines: The engines.
        spec: Of the backbone that they run.
        passes: What is run of each image.

    Returns:
        The medians, by the keys of ``engines``.
    """
    work = [_Work(spec, key, layers) for key, layers in passes.items()]

    def image(engine: Engine) -> float:
        return sum(one.milliseconds(engine) for one in work)

    for engine in engines.values():
        image(engine)
    found: dict[K, list[float]] = {name: [] for name in engines}
    began = time.perf_counter()
    for number in range(_ROUNDS):
        if number >= _FEWEST and time.perf_counter() - began > _SECONDS:
            break
        for name, engine in engines.items():
            found[name].append(image(engine))
    return {name: statistics.median(some) for name, some in found.items()}


class _Work:
    """A pass over one square."""

    def __init__(self, spec: BackboneSpec, key: PassKey, layers: Sequence[int]) -> None:
        self._key, self._layers = key, layers
        self._squares = blank(spec, key.size_px)

    def milliseconds(self, engine: Engine) -> float:
        """Give the time of all tiles of the pass."""
        began = time.perf_counter()
        engine(self._squares, self._layers, norm=self._key.norm, embed=not self._layers)
        return 1000 * (time.perf_counter() - began) * self._key.tiles**2

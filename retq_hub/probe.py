"""The probe image and the fingerprint: how two sets of weights are compared by what they compute.

The probe is drawn with integers only, so that every machine draws the same bytes; it looks enough
like a fundus photograph (disc, fovea, arcades, spots) to make the usual queries answer. Comparing
fingerprints takes no numpy, whose import would be most of the time of `retq list`.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from retq_hub.errors import IntegrityError
from retq_hub.manifest import Fingerprint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["METHOD", "TOLERANCE", "deviation", "fingerprint", "probe_image"]

METHOD = "retq-fingerprint-1"

TOLERANCE = 0.05
"""Largest relative deviation at which two fingerprints count as the same weights.

The default backbone run in bfloat16 deviates by 0.012 from itself in float32; other weights of the
same architecture deviate by about 1.
"""

_NUMBERS = 64
_UNIT = 1024


def probe_image(size_px: int) -> "NDArray[np.uint8]":
    """Draw the probe.

    Args:
        size_px: Side S of the square.

    Returns:
        (S, S, 3) uint8, RGB, 0-255.
    """
    import numpy as np

    steps = (2 * np.arange(size_px, dtype=np.int64) + 1) * _UNIT // (2 * size_px)
    y, x = np.meshgrid(steps, steps, indexing="ij")
    from_centre = (x - 512) ** 2 + (y - 512) ** 2
    red = 205 - from_centre * 70 // (490 * 490)
    green = 110 - from_centre * 50 // (490 * 490)
    blue = 55 - from_centre * 25 // (490 * 490)
    canvas = np.stack([red, green, blue], axis=-1)

    fovea = (x - 560) ** 2 + (y - 520) ** 2
    canvas[fovea < 75**2] -= np.array([45, 30, 12])
    for bend in (300, 620):
        arcade = np.abs((y - 512) ** 2 - bend * np.maximum(x - 260, 0)) < 9000
        canvas[arcade & (x > 230)] -= np.array([70, 55, 25])
    for column, row, radius in ((640, 330, 14), (700, 640, 20), (470, 700, 9), (520, 300, 7)):
        canvas[(x - column) ** 2 + (y - row) ** 2 < radius**2] = (110, 25, 20)
    for column, row, radius in ((610, 430, 12), (650, 470, 8), (580, 600, 16), (720, 520, 10)):
        canvas[(x - column) ** 2 + (y - row) ** 2 < radius**2] = (250, 230, 130)
    disc = (x - 270) ** 2 + (y - 500) ** 2
    canvas[disc < 78**2] = (250, 200, 120)
    canvas[disc < 34**2] = (255, 235, 180)
    canvas[from_centre > 490**2] = 0
    return canvas.clip(0, 255).astype(np.uint8)


def fingerprint(layers: "Sequence[NDArray[np.float32]]") -> Fingerprint:
    """Project the probe's tokens to 64 numbers.

    Number k is the sum over layer, token and channel of ``a[k, l] b[k, n] c[k, d] token[l, n, d]``
    over the root of their count, where a, b, c are signs: the bits of SHAKE-256, least significant
    first, over ``retq-fingerprint-1/<axis>``, 1 for plus.

    Args:
        layers: One (N, D) array for each of the backbone's layers, final norm applied.

    Returns:
        The fingerprint.
    """
    import numpy as np

    tokens = np.stack(layers).astype(np.float64)
    L, N, D = tokens.shape
    a, b, c = (_signs(axis, count) for axis, count in (("layer", L), ("token", N), ("width", D)))
    values = np.einsum("kl,kn,kd,lnd->k", a, b, c, tokens, optimize=True) / np.sqrt(L * N * D)
    return Fingerprint(method=METHOD, values=tuple(round(float(value), 6) for value in values))


def deviation(one: Fingerprint, other: Fingerprint) -> float:
    """Give the relative distance of two fingerprints: |one - other| / |one|.

    Raises:
        IntegrityError: They were made by different methods.
    """
    if one.method != other.method:
        raise IntegrityError(f"fingerprints by {one.method} and {other.method} do not compare")
    return math.dist(one.values, other.values) / max(math.hypot(*one.values), 1e-12)


def _signs(axis: str, count: int) -> "NDArray[np.float64]":
    """Give (64, count) signs that are the same everywhere."""
    import numpy as np

    bits = _NUMBERS * count
    stream = hashlib.shake_256(f"{METHOD}/{axis}".encode()).digest((bits + 7) // 8)
    raw = np.unpackbits(np.frombuffer(stream, dtype=np.uint8), bitorder="little")[:bits]
    return raw.reshape(_NUMBERS, count).astype(np.float64) * 2 - 1

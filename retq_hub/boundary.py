"""How far the outline of a prediction is from that of a mask. Arrays in, numbers out.

Where neither marks anything there is no outline, and nothing is defined. Where only one does, no
distance is defined, and no part of the outline lies within the tolerance.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt

__all__ = ["TOLERANCE_PX", "hd95_nsd"]

TOLERANCE_PX = 2.0
"""Two outlines so near to each other are the same to NSD, in pixels of the 392 px square."""

_REFERENCE_PX = 392


def hd95_nsd(prediction: NDArray[np.bool_], mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Give Hausdorff distance (95th percentile) and normalised surface Dice.

    An outline is made of the marked pixels that have an unmarked one, or the picture's edge, above,
    below, left or right. HD95 is the larger of the two directed 95th percentiles. NSD is the share
    of both outlines within the tolerance of the other, `TOLERANCE_PX` scaled to the size.

    Args:
        prediction: (S, S).
        mask: (S, S).

    Returns:
        HD95 in pixels of the given size, at least 0, nan where one of the two marks nothing; NSD in
        [0, 1], nan where neither does.

    Source: Nikolov et al., Clinically applicable segmentation of head and neck anatomy, J Med
    Internet Res 2021 (surface Dice); Maier-Hein, Reinke et al., Metrics reloaded, Nature Methods
    2024 (both, and the rules for empty masks).
    """
    ours, theirs = _outline(prediction), _outline(mask)
    if not ours.any() or not theirs.any():
        return float("nan"), 0.0 if ours.any() or theirs.any() else float("nan")
    there = distance_transform_edt(~theirs)[ours]
    back = distance_transform_edt(~ours)[theirs]
    tolerance = TOLERANCE_PX * mask.shape[-1] / _REFERENCE_PX
    near = np.count_nonzero(there <= tolerance) + np.count_nonzero(back <= tolerance)
    hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    return float(hd95), near / (there.size + back.size)


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return mask & ~binary_erosion(mask)

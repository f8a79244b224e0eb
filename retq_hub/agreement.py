"""How far two queries say the same of some images: no masks, only each other."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from retq_hub.dataset import Sample
from retq_hub.digest import json_digest
from retq_hub.evaluation import EVALUATION_PX
from retq_hub.features import TokenCache
from retq_hub.heads import margins
from retq_hub.kinds import Agreement, Estimate
from retq_hub.metrics import dice_iou, mean_interval
from retq_hub.predictions import pixel_maps
from retq_hub.progress import Progress
from retq_hub.query import Query

__all__ = ["agreement", "compared"]


def agreement(
    queries: tuple[Query, Query],
    caches: tuple[TokenCache, TokenCache],
    samples: Sequence[Sample],
    *,
    progress: Progress,
) -> tuple[Agreement, ...]:
    """Compare what two queries with the same targets say of some images.

    Args:
        queries: The query that is compared with, and the one that is compared.
        caches: Tokens of the backbone of each.
        samples: The images.
        progress: Where to report.

    Returns:
        The figures of each target, at 392 x 392 pixels.

    Raises:
        ImageError: An image cannot be used.
        StorageError: A cache cannot be written.
    """
    rows = []
    for sample in progress.steps(samples, what="comparing", total=len(samples)):
        source, port = (
            margins(query.manifest.head, pixel_maps(query, cache, sample))
            for query, cache in zip(queries, caches, strict=True)
        )
        rows.append(compared(source, port))
    figures = np.array(rows)
    return tuple(
        Agreement(
            target=target.name,
            split_digest=json_digest(sorted([one.image_digest] for one in samples)),
            n_images=len(samples),
            n_marked=int(figures[:, number, 0].sum()),
            size_px=EVALUATION_PX,
            values={
                name: _estimate(column[~np.isnan(column)])
                for name, column in zip(_FIGURES, figures[:, number, 1:].T, strict=True)
                if not np.isnan(column).all()
            },
        )
        for number, target in enumerate(queries[0].manifest.targets)
    )


def compared(source: Tensor, port: Tensor) -> NDArray[np.float64]:
    """Compare two queries' maps of one image.

    Args:
        source: (C, H, W) float32 logits above the threshold: positive is marked.
        port: Likewise.

    Returns:
        (C, 3): whether the source marks anything, the Dice of the two masks (1 where both are
        empty), Pearson's correlation of the logits (nan where one of them is the same all over).
    """
    rows = []
    for one, other in zip(source.double().numpy(), port.double().numpy(), strict=True):
        dice, _ = dice_iou(one > 0, other > 0)
        rows.append((float((one > 0).any()), dice, _correlation(one, other)))
    return np.array(rows)


_FIGURES = ("dice", "correlation")


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    one, other = one - one.mean(), other - other.mean()
    scale = np.sqrt((one**2).sum() * (other**2).sum())
    return float((one * other).sum() / scale) if scale > 0 else float("nan")


def _estimate(values: NDArray[np.float64]) -> Estimate:
    return Estimate(value=round(float(values.mean()), 6), ci95=mean_interval(values, seed=0))

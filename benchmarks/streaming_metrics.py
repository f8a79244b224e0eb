"""AUROC and AUPRC over all pixels of a split: scikit-learn against counting image by image.

Run it as ``python benchmarks/streaming_metrics.py [--pixels 4 16] [--json]``; millions of pixels.
Logits are drawn from two normal distributions, 3 % positive, in images of 392 x 392 pixels. Each
time is the best of a few runs in this one process, for both areas together.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from retq_hub.metrics import auprc_auroc
from retq_hub.pixels import PixelCounts

Image = tuple[NDArray[np.float32], NDArray[np.bool_]]
SIDE = 392


def images(n_pixels: int) -> list[Image]:
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(max(1, round(n_pixels / SIDE**2))):
        mask = rng.random((SIDE, SIDE)) < 0.03
        logits = rng.normal(-5, 2, (SIDE, SIDE)) + 4 * mask
        drawn.append((logits.astype(np.float32), mask))
    return drawn


def sklearn_areas(drawn: list[Image]) -> tuple[float, float]:
    scores, labels = (
        np.concatenate([part.ravel() for part in parts]) for parts in zip(*drawn, strict=True)
    )
    return average_precision_score(labels, scores), roc_auc_score(labels, scores)


def streamed_areas(drawn: list[Image]) -> tuple[float, float]:
    counts = PixelCounts()
    for logits, mask in drawn:
        counts.add(logits, mask)
    return counts.areas


def sorted_areas(drawn: list[Image]) -> tuple[float, float]:
    scores, labels = (
        np.concatenate([part.ravel() for part in parts]) for parts in zip(*drawn, strict=True)
    )
    return auprc_auroc(scores, labels)


def timed(run: Callable[[list[Image]], Any], drawn: list[Image], times: int) -> tuple[float, Any]:
    best, result = float("inf"), None
    for _ in range(times):
        began = time.perf_counter()
        result = run(drawn)
        best = min(best, time.perf_counter() - began)
    return best, result


def rows(millions: list[float]) -> Iterator[dict[str, float]]:
    for size in millions:
        drawn = images(round(size * 1e6))
        slow_s, expected = timed(sklearn_areas, drawn, 1)
        sort_s, _ = timed(sorted_areas, drawn, 1)
        fast_s, found = timed(streamed_areas, drawn, 3)
        yield {
            "pixels": len(drawn) * SIDE**2,
            "sklearn_s": slow_s,
            "sorted_s": sort_s,
            "streamed_s": fast_s,
            "ratio": slow_s / fast_s,
            "largest_difference": float(np.abs(np.subtract(found, expected)).max()),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pixels", type=float, nargs="+", default=[0.5, 4.15, 20.0])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.json:
        print(json.dumps(list(rows(given.pixels)), indent=2))
        return
    print("    pixels  sklearn s  sorted s  streamed s  ratio  largest difference")
    for row in rows(given.pixels):
        print(
            f"{row['pixels']:>10}  {row['sklearn_s']:>9.3f}  {row['sorted_s']:>8.3f}  "
            f"{row['streamed_s']:>10.3f}  {row['ratio']:>5.0f}  {row['largest_difference']:.1e}"
        )


if __name__ == "__main__":
    main()

"""AUROC and AUPRC over all pixels of a split: scikit-learn against counting image by image.

Run it as ``python benchmarks/streaming_metrics.py [--pixels 4 16] [--quick] [--json]``; millions of
pixels. Logits are drawn from two normal distributions, 3 % positive, in images of 392 x 392 pixels;
the times are for both areas together.
"""

import argparse

import numpy as np
from ab import Report, compare, main
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


def measure(options: argparse.Namespace) -> Report:
    report = Report(
        "AUROC and AUPRC over all pixels",
        what="Both areas over millions of pixels: scikit-learn, sorting all pixels at once, and "
        "counting image by image, which is what `retq evaluate` does.",
        how="Random logits of 3 % positive pixels, in images of 392 x 392; taking turns.",
    )
    for size in options.pixels[:1] if options.quick else options.pixels:
        drawn = images(round(size * 1e6))
        found = compare(
            {
                "scikit-learn": lambda drawn=drawn: sklearn_areas(drawn),
                "sorted": lambda drawn=drawn: sorted_areas(drawn),
                "counted": lambda drawn=drawn: streamed_areas(drawn),
            },
            repeat=3,
        )
        report.add_times(found, caption=f"{len(drawn) * SIDE**2 / 1e6:.1f} million pixels:")
        apart = np.abs(np.subtract(streamed_areas(drawn), sklearn_areas(drawn))).max()
        report.notes.append(
            f"{len(drawn) * SIDE**2 / 1e6:.1f} million pixels: counted areas are {apart:.0e} from "
            "scikit-learn's."
        )
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pixels", type=float, nargs="+", default=[0.5, 4.15, 20.0])
    main(measure, parser)

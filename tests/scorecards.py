"""An evaluation with known numbers, for what is made of it."""

from pathlib import Path

import numpy as np
from PIL import Image
from support_core import manifest

from retq_hub import registry
from retq_hub.comparison import Comparison, Difference
from retq_hub.figures import Evaluation, Example
from retq_hub.lesions import detect, froc
from retq_hub.manifest import Interval
from retq_hub.metrics import FIGURES, ImageMetrics
from retq_hub.pixels import PixelCounts

SIDE = 64


def against() -> Comparison:
    """Another query that is mostly a little worse."""
    one = Difference(n_images=3, mean=0.05, ci95=(-0.01, 0.11), wins=2, ties=0, losses=1)
    return Comparison(query="other@2.0.0", threshold=0.5, differences={"dice": one, "hd95": one})


def evaluation(
    *,
    groups: tuple[str, str, str] = ("", "", ""),
    names: tuple[str, str, str] = ("eye0", "eye1", "eye2"),
    folder: Path | None = None,
    **changes: object,
) -> Evaluation:
    """Three images of a disc; of the last HD95 is not defined."""
    y, x = np.mgrid[:SIDE, :SIDE]
    logits = (8 - np.hypot(y - 30, x - 34) * 0.8).astype(np.float32)
    mask = np.hypot(y - 32, x - 32) < 10
    counts = PixelCounts()
    counts.add(logits, mask)
    images = tuple(
        ImageMetrics(
            id=name,
            n_positive=int(mask.sum()),
            values=dict.fromkeys(FIGURES, 0.5)
            | {"dice": 0.25 * number, "hd95": float("nan") if number == 2 else 3.0},
            group=group,
        )
        for number, (name, group) in enumerate(zip(names, groups, strict=True))
    )
    interval = Interval(mean=0.75, min=0.5, max=1.0, ci95=(0.7, 0.8))
    metrics = dict.fromkeys(FIGURES, interval)
    metrics["hd95"] = Interval(mean=3.0, min=2.0, max=9.0, ci95=(2.5, 4.0))
    examples = tuple(
        Example(kind=kind, metrics=one, image=folder / "eye.png", logits=logits, mask=mask)
        for kind, one in zip(("worst", "median", "best"), images, strict=True)
        if folder
    )
    if folder:
        Image.new("RGB", (1000, 500), (150, 60, 40)).save(folder / "eye.png")
    made = manifest()
    backbone = registry.backbone_spec("dinov2-small-saliency")
    given: dict[str, object] = {
        "manifest": manifest(
            backbone=type(made.backbone)(
                id=backbone.id,
                weights_digest="a" * 64,
                preprocessing_digest="b" * 64,
                fingerprint=made.backbone.fingerprint,
            )
        ),
        "dataset": "eyes",
        "target": "disc-0",
        "split": "test",
        "split_digest": "c" * 64,
        "n_trained_on": 0,
        "threshold": 0.5,
        "size_px": SIDE,
        "metrics": metrics,
        "images": images,
        "groups": dict.fromkeys(dict.fromkeys(groups), metrics) if any(groups) else {},
        "pooled": counts.summary(),
        "lesions": froc([detect(logits, mask, 0.5)]),
        "examples": examples[::-1],
    }
    return Evaluation(**given | changes)

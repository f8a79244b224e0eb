"""The paper's recipe as a way to train a query: last layer, no bias, threshold 0.5.

Source: RETQuerySeg, sections 2.1 and 2.3.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from retq_hub.augment import OVERSIZE
from retq_hub.backbone import Backbone
from retq_hub.basis import Basis, Pass
from retq_hub.geometry import frame, onto_square, square
from retq_hub.images import decode
from retq_hub.losses import CrossEntropy
from retq_hub.manifest import Head
from retq_hub.paper import FrozenEncoder, PaperRecipe, fit_paper
from retq_hub.progress import Progress
from retq_hub.recipe import Recipe
from retq_hub.solution import Solution
from retq_hub.spec import Preprocessing
from retq_hub.storage import cache_dir
from retq_hub.trainingset import TrainingSet

__all__ = ["on_squares", "solve_as_in_paper"]


def solve_as_in_paper(
    data: TrainingSet, backbone: Backbone, recipe: Recipe, progress: Progress
) -> Solution:
    """Train as the paper does.

    Args:
        data: The images and masks.
        backbone: The backbone; its last layer is read.
        recipe: Seed and epochs.
        progress: Where to report.

    Raises:
        StorageError: The run cannot be saved.
    """
    spec = backbone.spec
    # The recipe's views of an image have 8 bits.
    preprocessing, layer = replace(spec.preprocessing, unrounded=None), spec.tokens.layers - 1
    side = OVERSIZE * preprocessing.size_px
    images, masks = on_squares(data, preprocessing, side, progress)
    encoder = FrozenEncoder(
        embed=lambda pixels: backbone.batch_tokens(pixels, layer),
        width=spec.tokens.width,
        preprocessing=preprocessing,
        digest=f"{backbone.weights_digest}/{layer}/norm",
    )
    done = fit_paper(
        images,
        masks,
        encoder,
        recipe=PaperRecipe(stop_after=recipe.epochs, seed=recipe.seed),
        folder=cache_dir() / "runs",
        progress=progress,
    )
    targets = len(done.vector)
    return Solution(
        basis=Basis(
            passes=(Pass(size_px=preprocessing.size_px, tiles=1, layers=(layer,)),), norm=True
        ),
        head=Head(
            activation="sigmoid",
            thresholds=(0.5,) * targets,
            threshold_choice="not chosen: 0.5, as in the paper",
        ),
        vector=done.vector,
        bias=torch.zeros(targets),
        curve=done.curve,
        loss=f"{CrossEntropy().text} after bilinear upsampling, augmented images",
        l2=0.0,
        selection=f"nothing; AdamW, {recipe.epochs} of 150 epochs",
        trials=(),
        backbone_passes=done.passes,
    )


def on_squares(
    data: TrainingSet, preprocessing: Preprocessing, side_px: int, progress: Progress
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Give images and masks as a backbone would see them on a larger square.

    Args:
        data: The images and masks.
        preprocessing: What becomes of the aspect; it rounds values.
        side_px: R.
        progress: Where to report.

    Returns:
        (n, R, R, 3) uint8, RGB, 0-255; and (n, C, R, R) bool.
    """
    images, places = [], []
    for one in progress.steps(data.samples, what="reading images", total=len(data.samples)):
        image = decode(one.image)
        images.append(square(image, preprocessing, side_px))
        places.append(frame(image.size, preprocessing, side_px))
    masks = [
        [
            onto_square(mask, place)
            for mask, place in zip(one.masks(side_px, progress=progress), places, strict=True)
        ]
        for one in data.sets
    ]
    return np.stack(images).astype(np.uint8, copy=False), np.stack(masks, axis=1)

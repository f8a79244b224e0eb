"""The paper's recipe as a way to train a query: last layer, no bias, threshold 0.5.

Source: RETQuerySeg, sections 2.1 and 2.3.
"""

import numpy as np
import torch

from retq_hub.augment import OVERSIZE
from retq_hub.backbone import LazyBackbone
from retq_hub.basis import Basis, Pass
from retq_hub.images import decode, square
from retq_hub.losses import CrossEntropy
from retq_hub.manifest import Head
from retq_hub.paper import FrozenEncoder, PaperRecipe, fit_paper
from retq_hub.progress import Progress
from retq_hub.recipe import Recipe
from retq_hub.solution import Solution
from retq_hub.storage import cache_dir
from retq_hub.trainingset import TrainingSet

__all__ = ["solve_as_in_paper"]


def solve_as_in_paper(
    data: TrainingSet, backbone: LazyBackbone, recipe: Recipe, progress: Progress
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
    preprocessing, layer = spec.preprocessing, spec.tokens.layers - 1
    side = OVERSIZE * preprocessing.size_px
    reading = progress.steps(data.samples, what="reading images", total=len(data.samples))
    images = np.stack([square(decode(one.image), preprocessing, side) for one in reading])
    masks = np.stack([one.masks(side, progress=progress) for one in data.sets], axis=1)
    encoder = FrozenEncoder(
        embed=lambda pixels: backbone().batch_tokens(pixels, layer),
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

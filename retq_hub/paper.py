"""The paper's own recipe: descend on augmented images, the frozen backbone run anew every time.

It is here to be compared with: `fit` reaches the optimum of the same loss on cached tokens. What
the paper leaves open is decided, and said, where it is used: `Augmentation`'s ranges, `Schedule`'s
steps, and that the last, smaller batch of an epoch counts. What is random depends on seed, epoch
and image number alone, so that a run that was killed ends with the same bytes as one that was not.

Axis letters: n images, B batch, C targets, N tokens, D width, R pixels a side of the squares that
come in, S of those that the backbone sees.

Source: RETQuerySeg, sections 2.1 and 2.3.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from retq_hub import savepoint
from retq_hub.augment import Augmentation
from retq_hub.curve import Curve, CurveRow
from retq_hub.descent import Descent
from retq_hub.digest import bytes_digest, json_digest
from retq_hub.errors import UsageError
from retq_hub.images import normalise
from retq_hub.progress import Progress, Silent
from retq_hub.savepoint import Savepoint
from retq_hub.schedule import Schedule
from retq_hub.spec import Preprocessing

__all__ = ["FrozenEncoder", "PaperFit", "PaperRecipe", "fit_paper"]

_MILESTONE_EPOCHS = 10


@dataclass(frozen=True, kw_only=True)
class PaperRecipe:
    """The figures of the paper.

    Attributes:
        schedule: The learning rate, and how many epochs it is made for.
        augmentation: How images are changed.
        batch: Images a step.
        weight_decay: AdamW's.
        stop_after: End after so many epochs of the schedule; after all if None.
        seed: Shuffles the images and draws their views, at least 0.
    """

    schedule: Schedule = field(default_factory=Schedule)
    augmentation: Augmentation = field(default_factory=Augmentation)
    batch: int = 16
    weight_decay: float = 1e-8
    stop_after: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.last_epoch <= self.schedule.epochs:
            raise UsageError(
                f"a schedule of {self.schedule.epochs} epochs cannot stop after {self.last_epoch}",
                hint=f"name a number from 1 to {self.schedule.epochs}",
            )

    @property
    def last_epoch(self) -> int:
        """The number of the last epoch that is run."""
        return self.schedule.epochs if self.stop_after is None else self.stop_after


@dataclass(frozen=True, kw_only=True)
class FrozenEncoder:
    """What turns images into tokens.

    Attributes:
        embed: Gives (B, N, D) float32 tokens for (B, 3, S, S) float32 pixels, normalised.
        width: D.
        preprocessing: How pixels are made ready, and S.
        digest: What ``embed`` is: digest of weights, layers and norm.
    """

    embed: Callable[[Tensor], Tensor]
    width: int
    preprocessing: Preprocessing
    digest: str


@dataclass(frozen=True, kw_only=True)
class PaperFit:
    """The outcome of the paper's recipe.

    Attributes:
        vector: (C, D) float32, on raw tokens; there is no bias.
        curve: By epoch: mean loss over images and targets while training, and learning rate.
        passes: Images that went through the backbone, those before a kill included.
    """

    vector: Tensor
    curve: Curve
    passes: int


def fit_paper(
    images: NDArray[np.uint8],
    masks: NDArray[np.bool_],
    encoder: FrozenEncoder,
    *,
    recipe: PaperRecipe | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> PaperFit:
    """Fit queries as the paper does: zeros, no bias, AdamW, augmented images.

    The targets do not influence each other: each gets the vector that it would get alone.

    Args:
        images: (n, R, R, 3) uint8, RGB, 0-255; R is best `OVERSIZE` times S.
        masks: (n, C, R, R) bool.
        encoder: The frozen backbone.
        recipe: The figures; the paper's if not given.
        folder: Where the run is saved after every epoch, and found again; not saved if None.
        progress: Where to report.

    Raises:
        StorageError: The run cannot be saved.
    """
    progress = progress or Silent()
    recipe = recipe or PaperRecipe()
    run = _Run(images, masks, encoder, recipe)
    digest = _digest(images, masks, encoder, recipe) if folder else ""
    path = folder / f"{digest}.safetensors" if folder else None
    if path and (found := savepoint.load(path, run=digest, progress=progress)):
        run.descent.restore(found.tensors)
        run.rows += found.rows
    done, last = len(run.rows), recipe.last_epoch
    progress.note(
        f"the paper's recipe: epochs {done + 1}-{last} of {recipe.schedule.epochs}, "
        f"{(last - done) * len(images)} images through the backbone"
        if done < last
        else f"the paper's recipe: all {last} epochs were run before"
    )
    batches = list(_batches(len(images), recipe, done + 1))
    for batch in progress.steps(batches, what="training", total=len(batches)):
        loss = run.step(batch)
        ended = batch.ends and batch.epoch in (1, last)
        progress.measure(
            f"epoch {batch.epoch}/{last}, loss {loss:.4f}",
            milestone=ended or (batch.ends and batch.epoch % _MILESTONE_EPOCHS == 0),
        )
        if batch.ends and path:
            now = Savepoint(tensors=run.descent.state(), rows=tuple(run.rows))
            savepoint.store(path, now, run=digest)
    curve = Curve(step="epoch", gauge="learning rate", rows=tuple(run.rows))
    return PaperFit(vector=run.descent.vector, curve=curve, passes=last * len(images))


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """One step: which images, in which epoch, at which learning rate."""

    epoch: int
    images: tuple[int, ...]
    rate: float
    begins: bool
    ends: bool


def _batches(n: int, recipe: PaperRecipe, first_epoch: int) -> Iterator[_Batch]:
    """Deal the images of each epoch into batches, shuffled."""
    starts = range(0, n, recipe.batch)
    for epoch in range(first_epoch, recipe.last_epoch + 1):
        # Images are numbered below n, so that no view is drawn from the order's numbers.
        order = np.random.default_rng([recipe.seed, epoch, n]).permutation(n).tolist()
        for number, start in enumerate(starts, start=1):
            yield _Batch(
                epoch=epoch,
                images=tuple(order[start : start + recipe.batch]),
                rate=recipe.schedule.rate(epoch - 1 + number / len(starts)),
                begins=number == 1,
                ends=number == len(starts),
            )


class _Run:
    """A run on its way: augmented batches in, queries and curve out."""

    def __init__(
        self,
        images: NDArray[np.uint8],
        masks: NDArray[np.bool_],
        encoder: FrozenEncoder,
        recipe: PaperRecipe,
    ) -> None:
        self._images = images
        self._masks = masks
        self._encoder = encoder
        self._recipe = recipe
        self._began, self._losses, self._seen = 0.0, 0.0, 0
        self.rows: list[CurveRow] = []
        self.descent = Descent(
            targets=masks.shape[1], width=encoder.width, weight_decay=recipe.weight_decay
        )

    def step(self, batch: _Batch) -> float:
        """Go one step; give the mean loss of the epoch so far."""
        if batch.begins:
            self._began, self._losses, self._seen = time.perf_counter(), 0.0, 0
        pixels, masks = self._load(batch)
        # Copied, because autograd refuses tensors that were made in inference mode.
        tokens = self._encoder.embed(pixels).clone()
        self._losses += self.descent.step(tokens, masks, rate=batch.rate) * len(batch.images)
        self._seen += len(batch.images)
        loss = self._losses / self._seen
        if batch.ends:
            seconds = time.perf_counter() - self._began
            row = CurveRow(step=batch.epoch, loss=loss, gauge=batch.rate, seconds=seconds)
            self.rows.append(row)
        return loss

    def _load(self, batch: _Batch) -> tuple[Tensor, Tensor]:
        """Give augmented pixels (B, 3, S, S), normalised, and masks (B, C, S, S), both float32."""
        preprocessing, recipe = self._encoder.preprocessing, self._recipe
        pixels, masks = [], []
        for number in batch.images:
            view = recipe.augmentation.draw(seed=recipe.seed, epoch=batch.epoch, number=number)
            image = view.image(self._images[number], preprocessing)
            pixels.append(normalise(image, preprocessing))
            masks.append(view.masks(self._masks[number], preprocessing.size_px))
        return torch.from_numpy(np.stack(pixels)), torch.from_numpy(np.stack(masks)).float()


def _digest(
    images: NDArray[np.uint8], masks: NDArray[np.bool_], encoder: FrozenEncoder, recipe: PaperRecipe
) -> str:
    """Give the digest of all that decides what a run ends with."""
    return json_digest(
        {
            "images": [bytes_digest(image.tobytes()) for image in images],
            "masks": [bytes_digest(mask.tobytes()) for mask in masks],
            "encoder": encoder.digest,
            "preprocessing": asdict(encoder.preprocessing),
            "recipe": asdict(recipe) | {"stop_after": recipe.last_epoch},
            "torch": torch.__version__,
        }
    )

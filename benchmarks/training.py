"""How long a fit takes on cached tokens: the exact solution beside AdamW with the paper's schedule.

    python benchmarks/training.py [--quick] [--json]

Both learn to mark IDRiD's discs from the same tokens, block 7 of the 54 training images, and lower
the same loss: cross-entropy after bilinear upsampling to 392 x 392. The tokens are computed first,
and stay in the cache; that is not counted. `benchmarks/paper_table.py` compares the recipes from
the photographs on, with what they reach on the test split.
"""

import argparse
import math

import torch
from ab import Comparison, Report, compare, data_folder, main

from retq_hub import notation
from retq_hub.backbone import Backbone
from retq_hub.basis import Basis
from retq_hub.datasets import open_dataset
from retq_hub.descent import Descent
from retq_hub.features import CachedTokens, TokenCache
from retq_hub.fit import Objective, moments
from retq_hub.losses import CrossEntropy
from retq_hub.newton import Fit, minimise
from retq_hub.progress import Silent
from retq_hub.recipe import PAPER_EPOCHS
from retq_hub.schedule import Schedule
from retq_hub.threads import one_thread
from retq_hub.trainingset import TrainingSet

BASIS = "7"
L2 = 1e-4
BATCH = 16
WEIGHT_DECAY = 1e-8


class Exact:
    """The exact recipe's last step: moments of the tokens, then Newton's method to the optimum."""

    def __init__(self, tokens: CachedTokens, masks: torch.Tensor) -> None:
        self._tokens, self._masks = tokens, masks
        self.fit: Fit | None = None
        self.objective: Objective | None = None

    def __call__(self) -> None:
        """Fit."""
        with one_thread():
            self.objective = Objective(
                tokens=self._tokens,
                masks=self._masks,
                loss=CrossEntropy(),
                l2=L2,
                scale=moments(self._tokens),
            )
            self.fit = minimise(self.objective, range(len(self._tokens)))

    @property
    def loss(self) -> float:
        """The mean loss over pixels, without the L2 term."""
        assert self.fit is not None
        assert self.objective is not None
        return self.fit.loss - self.objective.penalty(self.fit.theta)


class Stepwise:
    """AdamW by the paper's schedule, some epochs a call, over and over the same tokens."""

    def __init__(self, tokens: CachedTokens, masks: torch.Tensor, epochs: int) -> None:
        self._tokens = torch.stack([tokens[number][0].float() for number in range(len(tokens))])
        self._masks = masks.float()
        self._epochs, self._schedule = epochs, Schedule()
        self._generator = torch.Generator().manual_seed(0)
        self.restart()

    def restart(self) -> None:
        """Begin anew at zero."""
        width = self._tokens.shape[-1]
        self._descent = Descent(targets=1, width=width, weight_decay=WEIGHT_DECAY)
        self.done, self.loss = 0, math.inf

    def __call__(self) -> None:
        """Run some epochs more."""
        if self.done + self._epochs > PAPER_EPOCHS:
            self.restart()
        for epoch in range(self.done, self.done + self._epochs):
            order = torch.randperm(len(self._tokens), generator=self._generator)
            batches = order.split(BATCH)
            losses = [
                self._descent.step(
                    self._tokens[batch],
                    self._masks[batch],
                    rate=self._schedule.rate(epoch + (number + 1) / len(batches)),
                )
                for number, batch in enumerate(batches)
            ]
            self.loss = sum(losses) / len(losses)
        self.done += self._epochs


def measure(options: argparse.Namespace) -> Report:
    tokens, masks = cached()
    repeat, epochs = (2, 3) if options.quick else (5, PAPER_EPOCHS // 5)
    exact, stepwise = Exact(tokens, masks), Stepwise(tokens, masks, epochs)
    stepwise()
    stepwise.restart()
    runs = {"exact": exact, "AdamW": stepwise}
    found = compare(runs, repeat=repeat, warmup=0)
    scale = PAPER_EPOCHS / epochs
    whole = Comparison(
        {
            "exact": found.samples["exact"],
            "AdamW, 150 epochs": [scale * one for one in found.samples["AdamW"]],
        }
    )
    return reported(whole, exact, stepwise, len(masks))


def reported(found: Comparison, exact: Exact, stepwise: Stepwise, images: int) -> Report:
    assert exact.fit is not None
    report = Report(
        "Training on cached tokens",
        what=f"A fit of 384 numbers and a bias to the discs of {images} images at 392 x 392: "
        "Newton's method to the optimum, in one thread, beside AdamW with the paper's schedule "
        f"(batches of {BATCH}, {PAPER_EPOCHS} epochs) on the same tokens, in all threads.",
        how=f"{len(found.samples['exact'])} rounds, taking turns. AdamW runs a part of its epochs "
        "in each round; its times are scaled to all of them. The paper's own recipe runs the "
        "backbone over augmented images in each epoch, which costs far more: see "
        "[results.md](results.md).",
    )
    report.add_times(found, against="AdamW, 150 epochs")
    report.add_table(
        ("", "steps", "mean loss over pixels", "could still fall by"),
        [
            ("exact", len(exact.fit.steps), f"{exact.loss:.6f}", f"{exact.fit.decrement:.1g}"),
            (f"AdamW after {stepwise.done} epochs", "", f"{stepwise.loss:.6f}", "not known"),
        ],
        caption="What they reach (without the L2 term):",
    )
    return report


def cached() -> tuple[CachedTokens, torch.Tensor]:
    """Give tokens and masks of the training split."""
    backbone, progress = Backbone.asleep(), Silent()
    dataset = open_dataset("idrid", data_folder() / "IDRiD", target="disc", split="train")
    data = TrainingSet([dataset], seed=0, progress=progress)
    basis: Basis = notation.parse(BASIS, size_px=backbone.spec.preprocessing.size_px)
    cache = TokenCache(backbone=backbone)
    cache.fill(data.samples, basis, progress=progress)
    return CachedTokens(cache, data.samples, [basis]), data.masks


if __name__ == "__main__":
    main(measure)

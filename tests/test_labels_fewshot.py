"""The three methods: against upstream's numbers, against naive references, and what they gain."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from upstream import tensor

from retq_hub.labels.fewshot import METHODS, clap, lp_plus_plus, ss_text, text_pull

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parent / "golden/few-shot/logits.json").read_text()
)
SCALE = float(GOLDEN["scale"])
C, P = 3, 12


def given(name: str, labels: Tensor) -> Tensor:
    """Make the golden recipe's images: what all share, their class, and what is their own."""
    centres, common = tensor("few-shot/centres", (C, P)), tensor("few-shot/common", (P,))
    own = tensor(name, (len(labels), P))
    return F.normalize((5 * common + centres[labels] + own).double(), dim=-1)


LABELS = torch.repeat_interleave(torch.arange(C), torch.tensor(GOLDEN["counts"]))
IMAGES = given("few-shot/images", LABELS)
OTHERS = given("few-shot/others", torch.tensor([0, 1, 2, 0, 1, 2]))
TEXT = F.normalize(
    (tensor("few-shot/centres", (C, P)) + tensor("few-shot/texts", (C, P))).double(), dim=-1
)


@pytest.mark.parametrize("method", METHODS)
def test_logits_are_those_of_upstreams_code(method: str):
    found = METHODS[method](IMAGES, LABELS, TEXT, SCALE)
    logits = SCALE * OTHERS @ found.vector.T + found.bias
    expected = torch.tensor(GOLDEN["methods"][method]["logits"], dtype=torch.float64)
    torch.testing.assert_close(logits, expected, atol=2e-4, rtol=0)


def test_the_pull_is_the_minimiser_of_its_objective():
    counts = torch.bincount(LABELS).double()

    def objective(weights: Tensor) -> Tensor:
        logits = SCALE * (IMAGES * weights[LABELS]).sum(1).mean()
        return -logits + ((weights - TEXT).square().sum(1) / counts).sum() / 2

    found = text_pull(IMAGES, LABELS, TEXT, SCALE)
    slope = torch.autograd.functional.jacobian(objective, found)
    torch.testing.assert_close(slope, torch.zeros_like(slope), atol=1e-12, rtol=0)


def test_a_class_without_images_keeps_its_text():
    some = LABELS != 1
    pulled = text_pull(IMAGES[some], LABELS[some], TEXT, SCALE)
    torch.testing.assert_close(pulled[1], TEXT[1])
    assert bool(ss_text(IMAGES[some], LABELS[some], TEXT, SCALE).vector.isfinite().all())


def test_the_more_images_the_less_a_class_is_held_to_its_text():
    def share(count: int) -> float:
        labels = torch.tensor([0] * count + [1] * 8)
        images = F.normalize(torch.cat([IMAGES[:1].expand(count, -1), IMAGES[5:6].expand(8, -1)]))
        found = F.normalize(text_pull(images, labels, TEXT[:2], SCALE), dim=-1)
        return float(found[0] @ TEXT[0])

    assert share(1) > share(2) > share(8)


def naive_lp(steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """LP++ by autograd: vectors, biases and weights of the text after some steps."""
    shown = F.one_hot(LABELS, C).double()
    cosines = IMAGES @ TEXT.T
    alpha = 250 * torch.stack([cosines[shown[:, c] > 0, c].mean() for c in range(C)]).mean()
    parts = [shown.T @ IMAGES, torch.zeros(C, dtype=torch.float64), alpha.expand(C).clone()]
    parts = [one.requires_grad_() for one in parts]
    top = float(torch.linalg.eigvalsh(IMAGES.T @ IMAGES).max())
    plain = torch.optim.SGD(parts[:2], lr=4 * len(LABELS) / top, momentum=0.9)
    rate = len(LABELS) / (4 * float((cosines**2).sum(0).max()))
    total = torch.zeros(C, dtype=torch.float64)
    for step in range(1, steps + 1):
        logits = IMAGES @ (parts[0] + parts[2][:, None] * TEXT).T + parts[1]
        plain.zero_grad()
        parts[2].grad = None
        F.cross_entropy(logits, LABELS).backward()
        plain.step()
        total += parts[2].grad
        if step % 10 == 0:
            with torch.no_grad():
                parts[2] -= rate * total
    return parts[0].detach(), parts[1].detach(), parts[2].detach()


@pytest.mark.parametrize("steps", [1, 25, 300])
def test_lp_goes_down_autograds_slope(steps: int):
    found = lp_plus_plus(IMAGES, LABELS, TEXT, SCALE, steps=steps)
    vector, bias, alpha = naive_lp(steps)
    torch.testing.assert_close(found.vector * SCALE, vector + alpha[:, None] * TEXT)
    torch.testing.assert_close(found.bias, bias)
    assert f"{float(alpha.min()):.3g} to {float(alpha.max()):.3g}" in found.chosen


def test_clap_begins_at_the_text():
    torch.testing.assert_close(clap(IMAGES, LABELS, TEXT, SCALE, steps=0).vector, TEXT)


def test_clap_holds_classes_that_the_text_tells_apart_and_moves_the_others():
    right = clap(TEXT, torch.arange(C), TEXT, 100.0)
    wrong = clap(TEXT, torch.tensor([0, 2, 1]), TEXT, 100.0)
    moved = [1 - (one.vector * TEXT).sum(1) for one in (right, wrong)]
    assert float(moved[0].max()) < 0.01
    assert float(moved[1][1:].min()) > 0.05


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_the_images_does_not_count(method: str):
    order = torch.tensor([7, 2, 5, 0, 6, 1, 4, 3])
    here = METHODS[method](IMAGES, LABELS, TEXT, SCALE)
    there = METHODS[method](IMAGES[order], LABELS[order], TEXT, SCALE)
    torch.testing.assert_close(here.vector, there.vector)
    torch.testing.assert_close(here.bias, there.bias)


def task(seed: int, shots: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Make images that need adaptation: texts know what differs, but not how bright a class is.

    Images have one thing in common and texts another, as in every such space; a text's cosine
    with what the images share is off by as much as its class differs from the others.
    """
    classes, width = 5, 64
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> Tensor:
        return torch.from_numpy(rng.normal(size=shape)) / width**0.5

    common = F.normalize(draw(width), dim=0)
    of_texts = F.normalize(0.25 * common + F.normalize(draw(width), dim=0), dim=0)
    centres = 0.5 * draw(classes, width)
    off = 0.2 * torch.from_numpy(rng.normal(size=(classes, 1)))
    text = F.normalize(of_texts + centres + 0.3 * draw(classes, width) + off * common, dim=-1)

    def images(count: int) -> tuple[Tensor, Tensor]:
        labels = torch.arange(classes).repeat_interleave(count)
        own = 1.2 * draw(len(labels), width)
        return F.normalize(common + centres[labels] + own, dim=-1), labels

    return *images(shots), text, *images(80)


@pytest.mark.parametrize("shots", [1, 8])
def test_adaptation_gains_over_texts_alone_and_over_images_alone(shots: int):
    right: dict[str, list[float]] = {}
    for seed in range(3):
        features, labels, text, others, truth = task(seed, shots)
        probe = LogisticRegression(C=0.316, class_weight="balanced").fit(features, labels)
        scores = {"texts": others @ text.T}
        scores["images"] = torch.from_numpy(probe.decision_function(others))
        for method, run in METHODS.items():
            found = run(features, labels, text, 14.3)
            scores[method] = 14.3 * others @ found.vector.T + found.bias
        for name, logits in scores.items():
            right.setdefault(name, []).append(float((logits.argmax(1) == truth).double().mean()))
    means = {name: float(np.mean(found)) for name, found in right.items()}
    for method in METHODS:
        assert means[method] > max(means["texts"], means["images"]), means

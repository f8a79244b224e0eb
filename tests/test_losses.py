import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from retq_hub.losses import CrossEntropy, Loss, SoftDice, SoftmaxEntropy

LOSSES: dict[str, Loss] = {
    "entropy": CrossEntropy(),
    "entropy, weighted": CrossEntropy(positive_weight=3.5),
    "softmax": SoftmaxEntropy(),
    "softmax, weighted": SoftmaxEntropy(positive_weight=0.25),
    "dice": SoftDice(),
    "dice alone": SoftDice(entropy=0.0),
}


def given(*, targets: int = 3, exclusive: bool = True, scale: float = 2.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(targets, 6, 6, generator=generator)
    label = torch.randint(0, targets + 1, (6, 6), generator=generator)
    masks = torch.stack([(label == number + 1).float() for number in range(targets)])
    if not exclusive:
        masks = torch.rand(targets, 6, 6, generator=generator)
    return logits, masks


def value(name: str, logits: Tensor, masks: Tensor) -> Tensor:
    """The losses as their definitions are read, in float64 and open to autograd."""
    loss = LOSSES[name]
    z, y = logits.double(), masks.double()
    if isinstance(loss, SoftmaxEntropy):
        both = torch.cat([torch.zeros_like(z[:1]), z])
        background = 1 - y.sum(0, keepdim=True)
        entropy = -(torch.cat([background, y]) * both.log_softmax(0)).sum(0)
        return (entropy * torch.where(y.sum(0) > 0, loss.positive_weight, 1.0)).mean()
    if isinstance(loss, CrossEntropy):
        weight = torch.tensor(loss.positive_weight, dtype=torch.float64)
        entropies = F.binary_cross_entropy_with_logits(z, y, pos_weight=weight, reduction="none")
        return entropies.mean((1, 2)).sum()
    p = z.sigmoid()
    dice = [(2 * (q * m).sum() + 1) / (q.sum() + m.sum() + 1) for q, m in zip(p, y, strict=True)]
    entropies = F.binary_cross_entropy_with_logits(z, y, reduction="none").mean((1, 2))
    return sum(1 - one for one in dice) + loss.entropy * entropies.sum()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("scale", [0.0, 2.0, 12.0])
def test_value_and_slope_are_autograds_of_the_definition(name: str, scale: float):
    logits, masks = given(scale=scale)
    z = logits.double().requires_grad_()
    expected = value(name, z, masks)
    (slope,) = torch.autograd.grad(expected, z)
    found, residual = LOSSES[name].slope(logits.clone(), masks.clone())
    assert found == pytest.approx(expected.item(), rel=1e-5, abs=1e-6)
    assert (residual.shape, residual.dtype) == (logits.shape, torch.float32)
    torch.testing.assert_close(residual, slope.float(), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", ["entropy", "entropy, weighted", "dice", "dice alone"])
def test_soft_labels_are_understood(name: str):
    logits, masks = given(exclusive=False)
    z = logits.double().requires_grad_()
    expected = value(name, z, masks)
    (slope,) = torch.autograd.grad(expected, z)
    found, residual = LOSSES[name].slope(logits, masks)
    assert found == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(residual, slope.float(), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_given_is_left_as_it_is(name: str):
    logits, masks = given()
    before = logits.clone(), masks.clone()
    LOSSES[name].slope(logits, masks)
    LOSSES[name].weight(logits, masks)
    assert torch.equal(logits, before[0])
    assert torch.equal(masks, before[1])


@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.convex])
def test_the_weight_of_a_convex_loss_is_its_second_derivative(name: str):
    logits, masks = given()
    z = logits.double().requires_grad_()
    (slope,) = torch.autograd.grad(value(name, z, masks), z, create_graph=True)
    second = torch.stack(
        [torch.autograd.grad(one, z, retain_graph=True)[0].ravel()[number]
         for number, one in enumerate(slope.ravel())]
    ).view_as(z)  # fmt: skip
    found = LOSSES[name].weight(logits, masks)
    torch.testing.assert_close(found, second.float(), atol=1e-7, rtol=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_no_weight_is_negative_or_beyond_all_bounds(name: str):
    for scale in (0.0, 3.0, 1000.0):
        logits, masks = given(scale=scale)
        loss, residual = LOSSES[name].slope(logits, masks)
        weight = LOSSES[name].weight(logits, masks)
        assert (weight >= 0).all()
        assert torch.isfinite(weight).all() and torch.isfinite(residual).all()
        assert loss == loss and loss < float("inf")


def test_softmax_entropy_is_torchs_cross_entropy():
    logits, masks = given()
    label = torch.where(masks.sum(0) > 0, masks.argmax(0) + 1, 0)
    scores = torch.cat([torch.zeros(1, 6, 6), logits])[None]
    expected = F.cross_entropy(scores, label[None])
    assert SoftmaxEntropy().slope(logits, masks)[0] == pytest.approx(expected.item(), rel=1e-6)


def test_softmax_of_one_target_is_binary_entropy():
    logits, masks = given(targets=1)
    one, other = SoftmaxEntropy(), CrossEntropy()
    assert one.slope(logits, masks)[0] == pytest.approx(other.slope(logits, masks)[0], rel=1e-6)
    torch.testing.assert_close(one.slope(logits, masks)[1], other.slope(logits, masks)[1])
    torch.testing.assert_close(one.weight(logits, masks), other.weight(logits, masks))


def test_the_dice_of_a_right_and_of_a_wrong_map():
    masks = torch.zeros(1, 6, 6)
    masks[:, :3] = 1
    sure = 40 * (2 * masks - 1)
    assert SoftDice(entropy=0.0).slope(sure, masks)[0] == pytest.approx(0, abs=1e-6)
    assert SoftDice(entropy=0.0).slope(-sure, masks)[0] > 0.9


@pytest.mark.parametrize("name", LOSSES)
def test_each_says_what_it_is(name: str):
    loss = LOSSES[name]
    assert ("not convex" in loss.text) is not loss.convex
    assert ("positives x" in loss.text) is ("weighted" in name)

import pytest
from support_core import assert_clear
from tiny import SPEC

from retq_hub.errors import UsageError
from retq_hub.losses import CrossEntropy, SoftDice, SoftmaxEntropy
from retq_hub.manifest import from_json
from retq_hub.notation import written
from retq_hub.recipe import Recipe, checked_bases, loss_named
from retq_hub.spec import BackboneSpec

TINY = from_json(SPEC, BackboneSpec)


def named(recipe: Recipe) -> list[str]:
    return [written(basis, size_px=64) for basis in checked_bases(recipe, TINY)]


def test_without_bases_every_candidate_of_every_tiling_is_looked_at():
    assert named(Recipe()) == ["1x1:0", "1x1:1", "1x1:2"]
    assert named(Recipe(max_tiles=2)) == ["1x1:0", "1x1:1", "1x1:2", "2x2:0", "2x2:1", "2x2:2"]


def test_bases_that_are_named_are_taken_as_they_are():
    bases = ("2,0", "3x3@32/16:1 + 1x1:2")
    assert named(Recipe(bases=bases)) == ["1x1:2,0", "3x3@32/16:1 + 1x1:2"]


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (Recipe(bases=("1x1:3",)), ("1x1:3", "tiny-vit has no layers [3]", "0-2")),
        (Recipe(bases=("1", "2x2:1,7,9")), ("2x2:1,7,9", "[7, 9]")),
        (Recipe(bases=("65x65:1",)), ("pass of 4160 pixels", "at most 4096", "smaller passes")),
        (Recipe(bases=("1x1@60:1",)), ("60 pixels", "patch, 16")),
        (Recipe(bases=("2x2/8:1",)), ("overlap of 8", "patch, 16")),
        (Recipe(bases=("2x2/48:1",)), ("cannot overlap by 48", "smaller passes")),
        (Recipe(bases=("two",)), ("'two' is no pass", "such as")),
        (Recipe(l2=0.0), ("L2 weight of 0 ", "0.001")),
        (Recipe(l2=-1.0), ("L2 weight of -1",)),
        (Recipe(l2=float("nan")), ("L2 weight of nan",)),
        (Recipe(l2=float("inf")), ("L2 weight of inf",)),
        (Recipe(views=("plain", "sideways")), ("sideways", "mirrored")),
        (Recipe(views=()), ("views none", "mirrored")),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_in_one_line(recipe: Recipe, words: tuple[str, ...]):
    with pytest.raises(UsageError) as caught:
        checked_bases(recipe, TINY)
    assert_clear(caught.value, 2, *words)


@pytest.mark.parametrize("recipe", [Recipe(max_layers=0), Recipe(max_tiles=0)], ids=str)
def test_a_search_of_nothing_is_refused(recipe: Recipe):
    with pytest.raises(UsageError, match="leave nothing to read"):
        checked_bases(recipe, TINY)


def test_losses_by_their_names():
    assert loss_named("entropy", positive_weight=1) == CrossEntropy()
    assert loss_named("entropy", positive_weight=3) == CrossEntropy(positive_weight=3)
    assert loss_named("softmax", positive_weight=2) == SoftmaxEntropy(positive_weight=2)
    assert loss_named("dice", positive_weight=1) == SoftDice()


@pytest.mark.parametrize("weight", [0, -1, float("inf"), float("nan")])
def test_a_weight_that_makes_no_sense_is_refused(weight: float):
    with pytest.raises(UsageError) as caught:
        loss_named("entropy", positive_weight=weight)
    assert_clear(caught.value, 2, "for positives is out of range")


def test_a_weight_for_the_dice_loss_is_refused():
    with pytest.raises(UsageError) as caught:
        loss_named("dice", positive_weight=2)
    assert_clear(caught.value, 2, "Dice loss has no weight", "leave it out")

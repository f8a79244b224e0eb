"""The figures that stand for a query."""

from graders import GRADED
from support_core import manifest

from retq_hub.headline import headline


def test_masks_come_before_whole_images_and_nothing_measured_says_nothing():
    both = headline(manifest(graded=(GRADED,)))
    assert (both.dice, both.auroc, both.kappa) == (0.5, 0.5, 0.625)
    assert both.text == "Dice 0.5000"
    assert both.measured_on == "made-up, test"
    whole = headline(manifest(metrics=(), graded=(GRADED,)))
    assert (whole.dice, whole.auroc, whole.kappa) == (None, 0.875, 0.625)
    assert (whole.text, whole.measured_on) == ("kappa 0.6250", "nothing, test")
    assert headline(manifest(metrics=())).text == ""


def test_the_first_figure_that_there_is_stands_for_the_others():
    for without, text in (
        (("quadratic_kappa",), "AUROC 0.8750"),
        (("quadratic_kappa", "auroc"), "balanced accuracy 0.5000"),
    ):
        values = {name: one for name, one in GRADED.values.items() if name not in without}
        one = type(GRADED)(**{**vars(GRADED), "values": values})
        assert headline(manifest(metrics=(), graded=(one,))).text == text

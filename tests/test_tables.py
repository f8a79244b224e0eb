"""Tables of an evaluation's page: the numbers as they are, dashes where there are none."""

from dataclasses import replace

import scorecards

from retq_hub import tables


def test_of_hd95_the_largest_is_the_worst_and_undefined_images_do_not_count():
    html = tables.figures_table(scorecards.evaluation())
    (row,) = [one for one in html.split("<tr>") if "HD95" in one]
    assert row.index(">9.0<") < row.index(">2.0<")
    assert '<td class="number extra">2</td>' in row
    assert "0.7000&ndash;0.8000" in html


def test_groups_have_their_sizes_and_dashes_for_what_is_not_defined():
    found = scorecards.evaluation(groups=("Neo", "<RetCam>", ""))
    figures = dict(found.groups)
    figures["Neo"] = {name: one for name, one in figures["Neo"].items() if name != "auroc"}
    html = tables.groups_table(replace(found, groups=figures))
    assert "&lt;RetCam&gt;" in html
    assert "not named" in html
    assert html.count("&ndash;</td>") == 1
    assert html.count('<td class="number">1</td>') == 3


def test_differences_have_signs():
    html = tables.differences_table(scorecards.against())
    assert "+0.0500" in html
    assert "\u22120.0100 to +0.1100" in html
    assert '<td class="number">2</td>' in html


def test_images_are_sorted_by_dice_and_escaped():
    html = tables.images_table(scorecards.evaluation(names=("low", "<b>", "high")))
    assert html.index("high") < html.index("&lt;b&gt;") < html.index("low")
    assert html.count("&ndash;") == 1

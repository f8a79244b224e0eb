"""Gradings as HTML: the numbers stand beside the bars, and labels stay text."""

from dataclasses import replace

import numpy as np
from support_core import manifest

from retq_hub.grades import bars_table, overview_row, overview_table, sentence
from retq_hub.grading import Grading, grading
from retq_hub.kinds import CLASSIFICATION
from retq_hub.manifest import Head
from retq_hub.result import Classification

HOSTILE = "<script>alert(1)</script>"


def told(activation: str = "softmax", thresholds: tuple[float, ...] = ()) -> Grading:
    head = Head(activation=activation, thresholds=thresholds, threshold_choice="x")
    made = manifest(targets=2, kind=CLASSIFICATION, head=head)
    first, second = made.targets
    made = replace(made, targets=(replace(first, label=HOSTILE), replace(second, label="mild")))
    scores = np.array([-2, 1], np.float32)
    return grading(Classification(scores=scores, size=(8, 6), manifest=made))


def test_labels_come_out_escaped_and_numbers_beside_their_bars():
    html = bars_table(told()) + overview_table(overview_row(HOSTILE, "query-1", told()))
    assert "<script>" not in html
    assert html.count("&lt;script&gt;") == 2
    assert '<td class="number">0.953</td>' in html
    assert 'width="95.3%"' in html
    assert html.count('class="share said"') == 2


def test_a_sentence_says_no_more_than_was_found():
    assert sentence(told()) == "Mild, with a probability of 0.953."
    assert sentence(told("sigmoid", (0.5, 0.5))) == "Above its threshold: mild."
    nothing = sentence(told("sigmoid", (0.9, 0.9)))
    assert nothing == "Nothing is above its threshold. That does not rule it out."


def test_a_threshold_is_a_line_across_its_bar():
    assert bars_table(told("sigmoid", (0.25, 0.5))).count('<line x1="25.0%"') == 1
    assert "<line" not in bars_table(told())

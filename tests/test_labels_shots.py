"""Drawing a few images of each class."""

from dataclasses import replace

import pytest
from labelled import make_labels
from support_core import assert_clear

from retq_hub.errors import UsageError
from retq_hub.labels.labelset import LabelSet
from retq_hub.labels.shots import draw


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> LabelSet:
    return make_labels(tmp_path_factory.mktemp("colours"), 6, 3, 6)


def names(labels: LabelSet) -> set[str]:
    return {one.id for one in labels.samples}


def test_so_many_of_each_class_are_drawn_or_all_that_are_there(labels: LabelSet):
    assert draw(labels, 2, seed=0).counts == (2, 2, 2)
    assert draw(labels, 4, seed=0).counts == (4, 3, 4)


def test_more_shots_keep_those_of_fewer_and_another_seed_draws_others(labels: LabelSet):
    assert names(draw(labels, 1, seed=0)) < names(draw(labels, 3, seed=0))
    drawn = {frozenset(names(draw(labels, 2, seed=seed))) for seed in range(5)}
    assert len(drawn) > 1


def test_content_decides_not_order_or_names(labels: LabelSet):
    turned = replace(labels, samples=labels.samples[::-1])
    assert names(draw(turned, 2, seed=3)) == names(draw(labels, 2, seed=3))
    renamed = replace(labels, samples=tuple(replace(one, id="x") for one in labels.samples))
    assert draw(renamed, 2, seed=3).digest == draw(labels, 2, seed=3).digest


def test_a_file_under_two_names_is_one_shot(labels: LabelSet):
    first = labels.samples[0]
    twice = replace(labels, samples=(replace(first, id="again"), *labels.samples))
    assert draw(twice, 6, seed=0).counts == (6, 3, 6)


def test_what_cannot_be_drawn_is_refused(labels: LabelSet):
    with pytest.raises(UsageError) as none:
        draw(labels, 0, seed=0)
    assert_clear(none.value, 2, "0 images of each class")
    with pytest.raises(UsageError) as several:
        draw(replace(labels, scale="multilabel"), 1, seed=0)
    assert_clear(several.value, 2, "colours", "several labels")

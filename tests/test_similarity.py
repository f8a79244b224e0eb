"""Near duplicates: the block product finds what a loop over all pairs finds."""

import time

import numpy as np
import pytest

from retq_hub.similarity import Vectors, near


def vectors(key: str, rows: object, *, group: str = "g") -> Vectors:
    name = key.partition("@")[0]
    return Vectors(key=key, name=name, group=group, vector=np.asarray(rows, np.float32))


def plainly(queries: list[Vectors], threshold: float) -> dict[str, set[str]]:
    """All pairs, one by one."""
    found: dict[str, set[str]] = {}
    for one in queries:
        for two in queries:
            if one.name == two.name or one.group != two.group:
                continue
            for a in one.vector:
                for b in two.vector:
                    length = float(np.linalg.norm(a) * np.linalg.norm(b))
                    if length and float(a @ b) / length >= threshold:
                        found.setdefault(one.key, set()).add(two.key)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_pairs_are_those_that_a_loop_finds(seed, monkeypatch):
    monkeypatch.setattr("retq_hub.similarity._BLOCK", 7)
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(20, 16))
    queries = [
        vectors(
            f"q{n % 37}@1.{n}.0",
            centres[rng.integers(20, size=1 + n % 3)] + 0.01 * rng.normal(size=(1 + n % 3, 16)),
            group="ab"[n % 2],
        )
        for n in range(40)
    ]
    queries.append(vectors("zero@1.0.0", np.zeros((1, 16)), group="a"))
    found = {key: {one.name for one in each} for key, each in near(queries, threshold=0.99).items()}
    expected = plainly(queries, 0.99)
    assert found.keys() == expected.keys() != set()
    for key, names in found.items():
        assert names <= expected[key]
        assert len(names) == min(5, len(expected[key]))


def test_the_nearest_come_first_and_say_how_near():
    queries = [
        vectors("a@1.0.0", [[1.0, 0.0]]),
        vectors("b@1.0.0", [[1.0, 0.01]]),
        vectors("c@1.0.0", [[0.0, 1.0], [2.0, 0.0]]),
    ]
    assert [(one.name, one.cosine) for one in near(queries)["a@1.0.0"]] == [
        ("c@1.0.0", 1.0),
        ("b@1.0.0", 0.99995),
    ]


def test_versions_of_one_query_are_not_compared_nor_vectors_of_other_widths():
    queries = [
        vectors("a@1.0.0", [[1.0, 0.0]]),
        vectors("a@1.1.0", [[1.0, 0.0]]),
        vectors("b@1.0.0", [[1.0, 0.0, 0.0]]),
    ]
    assert near(queries) == {}


def test_many_copies_of_one_vector_stay_bounded():
    queries = [vectors(f"q{n}@1.0.0", [[1.0, 2.0]]) for n in range(2000)]
    began = time.process_time()
    found = near(queries)
    assert time.process_time() - began < 10
    assert len(found) == 2000
    assert all(len(each) == 5 for each in found.values())

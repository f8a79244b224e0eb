"""Records: the newest version of a name."""

import pytest
from records import record

from retq_hub.record import newest


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        (["1.0.0", "1.1.0"], "1.1.0"),
        (["1.0.0", "1.1.0!"], "1.0.0"),
        (["1.0.0", "2.0.0-rc.1"], "1.0.0"),
        (["1.0.0!", "2.0.0-rc.1"], "2.0.0-rc.1"),
        (["1.0.0-rc.1", "1.0.0-rc.2"], "1.0.0-rc.2"),
        (["1.0.0!"], None),
        ([], None),
    ],
)
def test_the_newest_release_counts_that_is_not_yanked(versions, expected):
    made = [record(version=one.rstrip("!"), yanked=one.endswith("!")) for one in versions]
    found = newest(reversed(made))
    assert (found.version if found else None) == expected


def test_all_that_words_are_looked_for_in_is_in_the_text():
    text = record(summary="MARKS", targets=("Optic Disc",), datasets=("IDRiD",)).text
    assert all(one in text for one in ("some-disc", "marks", "optic disc", "idrid", "cc0-1.0"))

"""Sorted lines: found by key and by what they hold, as a plain loop finds them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retq_hub.lines import Lines

KEYS = st.text("abc-/", min_size=1, max_size=3)


def lines_of(keys: list[str], *, padding: int = 0) -> tuple[Lines, list[bytes]]:
    rows = [f'"{key}" Row {n}{"." * padding}'.encode() for n, key in enumerate(sorted(keys))]
    text = b"head\n" + b"".join(row + b"\n" for row in rows) + b"tail\n"
    return Lines(text, start=5, stop=len(text) - 5, opening=b'"'), rows


@settings(max_examples=200, deadline=None)
@given(keys=st.lists(KEYS, max_size=12), wanted=KEYS)
def test_the_lowest_line_of_a_key_is_the_one_that_a_loop_finds(keys, wanted):
    lines, rows = lines_of(keys)
    found = [lines.line(place, most=10**6) for place in lines.places()]
    assert found == rows
    below = sum(key < wanted for key in keys)
    assert lines.lowest(wanted.encode()) == [*lines.places(), lines.stop][below]


@pytest.mark.parametrize("padding", [0, 200, 70_000])
def test_lines_that_hold_texts_are_found_across_pieces(padding):
    lines, rows = lines_of([f"k{n:04}" for n in range(20 if padding > 1000 else 2000)],
                           padding=padding)  # fmt: skip
    for needles in ([b"row 1"], [b"row 1", b"k0001"], [b"absent"], [], [b'"k0019" row 19']):
        expected = [row for row in rows if all(one in row.lower() for one in needles)]
        assert [lines.line(place, most=10**6) for place in lines.holding(needles)] == expected


def test_a_line_that_begins_in_another_way_has_no_key():
    lines = Lines(b"x\n", start=0, stop=2, opening=b'"')
    assert lines.key(0) == b""

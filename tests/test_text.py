"""Text from outside cannot move the cursor, hide, or run on."""

from retq_hub.text import printable


def test_what_does_not_show_is_replaced():
    assert printable("\x1b[2Jyes\nno\u202e\x9b31m") == "?[2Jyes no??31m"
    assert printable("fundus\u00a0photograph, 5\u00a0µm") == "fundus photograph, 5 µm"


def test_long_texts_are_cut():
    assert printable("x" * 10_000) == "x" * 497 + "..."
    assert len(printable("x" * 10_000, most=None)) == 10_000

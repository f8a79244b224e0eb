import pytest
from hypothesis import given
from hypothesis import strategies as st

from retq_hub.gallery.address import page_numbers, read, write
from retq_hub.gallery.shelf import SORTS, Wanted


def back(address: str) -> Wanted:
    from urllib.parse import parse_qsl, urlsplit

    return read(dict(parse_qsl(urlsplit(address).query)))


texts = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=20)


@given(
    st.builds(
        Wanted,
        words=texts,
        target=texts,
        backbone=texts,
        dataset=texts,
        licence=texts,
        min_dice=st.none() | st.sampled_from([0.05, 0.5, 0.999, 1.0]),
        sort=st.sampled_from(SORTS),
        page=st.integers(1, 100_000),
    )
)
def test_a_search_comes_back_from_its_address(wanted):
    assert back(write(wanted, page=wanted.page)) == wanted


def test_an_address_names_only_what_is_asked_for():
    assert write(Wanted()) == "/"
    assert write(Wanted(target="optic disc")) == "/?target=optic+disc"


def test_a_change_leads_to_the_first_page():
    assert write(Wanted(words="disc", page=7), min_dice=0.5) == "/?words=disc&dice=0.5"


@pytest.mark.parametrize(
    "query",
    [
        {"page": "0"},
        {"page": "-3"},
        {"page": "1e9"},
        {"page": "²"},
        {"dice": "nan"},
        {"dice": "7"},
        {"dice": "much"},
        {"sort": "words; DROP TABLE"},
        {"unknown": "x"},
    ],
)
def test_what_makes_no_sense_is_ignored(query):
    assert read(query) == Wanted()


def test_a_decimal_comma_is_understood():
    assert read({"dice": "0,5"}).min_dice == 0.5


def test_long_words_are_cut():
    assert len(read({"words": "x" * 10_000}).words) == 200


@pytest.mark.parametrize(
    ("page", "pages", "numbers"),
    [
        (1, 1, [1]),
        (1, 417, [1, 2, 0, 417]),
        (4, 417, [1, 2, 3, 4, 5, 0, 417]),
        (200, 417, [1, 0, 199, 200, 201, 0, 417]),
        (417, 417, [1, 0, 416, 417]),
    ],
)
def test_far_pages_are_left_out(page, pages, numbers):
    assert page_numbers(page, pages) == numbers

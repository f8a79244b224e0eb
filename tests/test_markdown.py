"""Whatever text comes, it reads as it was written: no link, heading, table or HTML of it."""

import html
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from retq_hub.markdown import doi_link, inline, link, table

RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])

AWKWARD = st.text(
    st.sampled_from("\\`*_{}[]()<>#+-.!|~:@/=&;'\"$ \t\n\u2028ab19"), max_size=40
) | st.text(st.characters(exclude_categories=("C",)), max_size=40)


def shown(markdown: str) -> str:
    """What a reader sees of a paragraph, which must hold nothing but text."""
    page = RENDERER.render(markdown)
    assert page == "" or (page.startswith("<p>") and page.endswith("</p>\n")), page
    inner = page[3:-5]
    assert "<" not in inner, page
    return html.unescape(inner)


@settings(max_examples=400, deadline=None)
@given(text=AWKWARD)
def test_any_text_reads_as_it_was_written(text: str) -> None:
    assert shown(inline(text)) == " ".join(text.split())


@settings(max_examples=200, deadline=None)
@given(text=AWKWARD)
def test_any_text_stays_in_its_cell(text: str) -> None:
    page = RENDERER.render(table(("a", "b"), [(inline(text), "end")]))
    cells = re.findall(r"<td>(.*?)</td>", page)
    assert [html.unescape(cell) for cell in cells] == [" ".join(text.split()), "end"]


@pytest.mark.parametrize(
    "text",
    ["&lt;b&gt;", "&#60;script&#62;", "$$x$$", "https:x", "~~gone~~", "1. first", "---", "# head"],
)
def test_what_has_a_meaning_in_markdown_loses_it(text: str) -> None:
    assert shown(inline(text)) == text


def test_controls_that_turn_a_line_around_are_dropped() -> None:
    assert inline("a\u202eb\u2066c\x07d") == "abcd"


def test_plain_sentences_stay_plain() -> None:
    text = "Ridge of retinopathy of prematurity (wide field), 2018, doi:10.3390/data3030025."
    assert inline(text) == text


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "//host/x", "http:", None,
     "https://[broken", "vbscript:x", " javascript:x"],
)  # fmt: skip
def test_an_address_that_is_not_of_the_web_is_no_link(url: str | None) -> None:
    assert shown(link(url, "a_b")) == "a_b"


def test_a_link_cannot_be_left() -> None:
    made = link('https://a.example/x) <script> "t" [y](z\\', "te]xt")
    page = RENDERER.render(made)
    assert len(re.findall("<a ", page)) == 1
    assert "<script>" not in page
    assert html.unescape(re.sub("<[^>]*>", "", page)).strip() == "te]xt"


def test_a_doi_is_a_link_if_it_is_one() -> None:
    assert doi_link("10.21227/H25W98") == "[doi:10.21227/H25W98](https://doi.org/10.21227/H25W98)"
    assert doi_link("10.1/x y") == "10.1/x y"
    assert "](" not in doi_link("javascript:x")


def test_a_table_aligns_its_last_columns() -> None:
    assert table(("a", "b"), [("1", "2")], right=1) == "| a | b |\n| --- | --: |\n| 1 | 2 |"

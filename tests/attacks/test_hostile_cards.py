"""Manifests, cards and pictures that try to put something else than text into a model card."""

import html
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from support_core import manifest
from tiny import SPEC

from retq_hub import artifact, cardfile, metadata
from retq_hub.card import render
from retq_hub.errors import RetqError
from retq_hub.handwriting import Handwriting, read
from retq_hub.manifest import Licence, QueryManifest, Trial, from_json
from retq_hub.picture import Picture, about, read_picture
from retq_hub.spec import BackboneSpec

RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
PICTURE = Picture(subject="x", example=True, area=0.5)

PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![x](https://tracker.example/x.png)",
    "<https://tracker.example>",
    "a | b | c",
    "x\\| y",
    "# heading",
    "1. list",
    "```",
    "`code` **bold** _it_ ~~no~~",
    "<!-- retq: notes --> <!-- retq: end of notes -->",
    "<!-- retq: card of evil/one, seal 0123456789abcdef -->",
    "--- license: mit",
    "&lt;script&gt; &#x3c;b&#62;",
    '"): yes, "x',
    "' # no comment",
    "!!python/object:x",
    "*anchor",
    "[x]: https://a.example",
    "$$\\href{javascript:alert(1)}{x}$$",
]
TEXT = st.sampled_from(PAYLOADS) | st.text(
    st.characters(exclude_categories=("C",)), min_size=1, max_size=40
).filter(str.strip)


def hostile(text: str) -> tuple[QueryManifest, BackboneSpec]:
    """A manifest and a backbone that say a text wherever they may say any."""
    plain = manifest()
    licence = Licence(id=text, name=text, url="javascript:alert(1)")
    trial = Trial(basis=text, floats=4, l2=0.1, measure=0.5, thresholds=(0.5,), loss=1.0)
    made = replace(
        plain,
        summary=text,
        targets=tuple(replace(one, label=text) for one in plain.targets),
        head=replace(plain.head, threshold_choice=text),
        training=replace(
            plain.training, recipe=text, loss=text, selection=text, trials=(trial, trial),
            versions={text: text},
        ),
        data=tuple(
            replace(one, id=text, title=text, licence=licence, split=text, doi=text, citation=text)
            for one in plain.data
        ),
        metrics=tuple(
            replace(one, dataset=text, split=text, target=text) for one in plain.metrics
        ),
        licence=licence,
        authors=(text, text),
        citation=text,
        intended_use=text,
        limits=text,
    )  # fmt: skip
    spec = from_json(SPEC, BackboneSpec)
    return made, replace(spec, title=text, hub_id=text, licence=licence, citation=text)


def skeleton(card: str) -> list[str]:
    """All elements of the page in their order, without its text."""
    body = card.split("\n---\n", 1)[1]
    tags = re.findall(r"<[^>]*>", RENDERER.render(body))
    return [re.sub(r' alt="[^"]*"', "", tag) for tag in tags]


@settings(max_examples=120, deadline=None)
@given(text=TEXT)
def test_text_of_a_manifest_changes_no_element_of_the_page(text: str) -> None:
    harmless = render(*hostile("harmless"), picture=PICTURE)
    card = render(*hostile(text), picture=PICTURE)
    assert [one for one in skeleton(card) if "seal" not in one] == [
        one for one in skeleton(harmless) if "seal" not in one
    ]
    shown = html.unescape(re.sub("<[^>]*>", "", RENDERER.render(card.split("\n---\n", 1)[1])))
    assert " ".join(text.split()) in " ".join(shown.split())


@settings(max_examples=120, deadline=None)
@given(text=TEXT)
def test_text_of_a_manifest_stays_a_value_of_the_head(text: str) -> None:
    card = render(*hostile(text), picture=PICTURE)
    head = yaml.safe_load(card.removeprefix("---\n").split("\n---\n", 1)[0])
    assert head.keys() <= set(metadata.document(*hostile("x/y")))
    assert ModelCard(card).data.library_name == "retq"
    (result,) = head["model-index"][0]["results"]
    assert (result["dataset"]["name"], result["dataset"]["split"]) == (text, text)
    assert metadata.is_repo_id(result["dataset"]["type"])
    assert "license_link" not in head


@settings(max_examples=60, deadline=None)
@given(text=TEXT)
def test_text_of_a_manifest_forges_neither_notes_nor_seal(text: str) -> None:
    card = render(*hostile(text), picture=PICTURE, kept=Handwriting(notes="mine"))
    assert read(card) == Handwriting(notes="mine")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    text=st.text(max_size=80)
    | st.lists(
        st.sampled_from(
            ["---\n", "<!-- retq: notes -->\n", "<!-- retq: end of notes -->", "tags: [", "a: 1\n",
             "tags: x\n", "- 1\n", "&a [*a]\n", "day: 2024-01-01\n", "\ufeff", "model-index: {}\n",
             "\n<!-- retq: card of -, seal 0123456789abcdef -->"]
        ), max_size=8,
    ).map("".join)
)  # fmt: skip
def test_any_card_can_be_made_anew(text: str) -> None:
    kept = read(text)
    made = render(manifest(), from_json(SPEC, BackboneSpec), kept=kept)
    again = read(made)
    assert not again.elsewhere
    assert again.notes == kept.notes
    assert set(again.tags) == set(kept.tags)
    ModelCard(made)


def test_a_head_that_grows_without_end_is_written_as_short_as_it_was() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{name}: &{name} [*{last}, *{last}, *{last}, *{last}]\n"
        for last, name in zip("abcdefghij", "bcdefghijk", strict=True)
    )
    kept = read(f"---\n{bomb}---\n")
    assert len(render(manifest(), from_json(SPEC, BackboneSpec), kept=kept)) < 20_000


def test_a_picture_is_not_followed_out_of_its_folder(
    make_query: Callable[..., Path], tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("token")
    folder = make_query(tmp_path / "disc")
    (folder / artifact.PICTURE).symlink_to(secret)
    assert read_picture(folder) is None
    with pytest.raises(RetqError, match="is no JPEG"):
        artifact.copy(folder, tmp_path / "copy")
    assert [str(one) for one in artifact.findings(folder)] == ["overlay.jpg: is no JPEG"]


@settings(max_examples=200, deadline=None)
@given(tail=st.binary(max_size=60))
def test_any_bytes_are_a_picture_that_says_nothing(tail: bytes) -> None:
    assert about(b"\xff\xd8\xff" + tail).example is False


def test_a_card_in_a_folder_is_no_way_out(
    make_query: Callable[..., Path], registry_folder: Path, tmp_path: Path
) -> None:
    folder = make_query(tmp_path / "disc")
    (folder / artifact.CARD).write_text("<!-- retq: card of ../../etc/passwd, seal 0 -->")
    cardfile.renew(folder)
    assert "passwd" not in (folder / artifact.CARD).read_text()

"""What is known of a query, as HTML."""

from dataclasses import replace

from graders import GRADED, derived
from support_core import manifest

from retq_hub import registry
from retq_hub.dossier import figures, identity, made_from
from retq_hub.kinds import CLASSIFICATION, TEXT, Text

BACKBONE = registry.backbone_spec("dinov2-small-saliency")


def test_figures_of_whole_images_stand_beside_those_of_masks():
    html = figures(manifest(graded=(GRADED,)))
    assert "made-up, split test" in html
    assert "nothing, split test,\n20 photographs, each as a whole." in html
    assert "0.6250</td>" in html
    assert "0.5000&ndash;0.7500" in html
    assert "Not measured" in figures(manifest(metrics=()))
    seen = replace(GRADED, split_digest=manifest().data[0].split_digest)
    assert "made from these very photographs" in figures(manifest(metrics=(), graded=(seen,)))
    assert "made from these very photographs" not in html


def test_it_is_said_what_a_query_was_made_from():
    text = Text(
        encoder="an encoder",
        prompts=(("a <b>bold</b> disc", "disc"),),
        template="{}",
        averaging="mean",
        tokenizer="0" * 64,
    )
    html = made_from(manifest(kind=TEXT, data=(), text=text, derived=(derived(),)))
    assert "a &lt;b&gt;bold&lt;/b&gt; disc; disc" in html
    assert "an encoder" in html
    assert "Weighted by" in html
    assert "tiny-disc 1.0.0" in html
    assert "2; the target is drawn in 1" in made_from(manifest())
    assert "2; by target 1" in made_from(manifest(kind=CLASSIFICATION))


def test_a_grader_tells_and_a_query_marks():
    assert "<dt>Marks</dt>" in identity(manifest(), BACKBONE)
    assert "<dt>Tells</dt>" in identity(manifest(kind=CLASSIFICATION), BACKBONE)

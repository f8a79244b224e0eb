from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support_core import assert_clear, fundus
from tiny import Tiny

from retq_hub import algebra, artifact
from retq_hub.backbone import Backbone
from retq_hub.basis import Basis, Pass
from retq_hub.channels import METHOD
from retq_hub.errors import BackboneMismatch, UsageError
from retq_hub.kinds import CLASSIFICATION
from retq_hub.lineage import Identity, keep
from retq_hub.manifest import Calibration, Guided, Head, Licence, Target
from retq_hub.pipeline import Pipeline
from retq_hub.query import Query
from retq_hub.validation import validate

Make = Callable[..., Query]

NAMED = Identity(name="made")
PLATT = Calibration(method="platt", ece=(0.1,), ece_before=(0.2,), scale=(2.0,), offset=(-1.0,))


@pytest.fixture
def make(make_query: Callable[..., Path], registry_folder: Path, tmp_path: Path) -> Make:
    """Makes a random query of a name and a target, for the tiny backbone."""

    def made(name: str, *, target: str = "", **query: object) -> Query:
        seed = sum(map(ord, name))
        folder = make_query(tmp_path / name, name=name, **{"seed": seed, **query})
        found = Query.from_pretrained(folder)
        targets = found.manifest.targets
        if len(targets) == 1:
            targets = (Target(name=target or name, label=target or name),)
        found.manifest = replace(found.manifest, targets=targets)
        return found

    return made


def calibrated(query: Query, calibration: Calibration) -> Query:
    """The same query with a calibration."""
    head = replace(query.manifest.head, calibration=calibration)
    query.manifest = replace(query.manifest, head=head)
    return query


def logits(tiny: Tiny, *queries: Query) -> list[np.ndarray]:
    named = {query.manifest.name: query for query in queries}
    found = Pipeline(backbone=tiny.backbone, queries=named, embed=False)(fundus())
    return [found.segmentations[name].logits for name in named]


def test_cosines_are_those_of_the_vectors(make: Make) -> None:
    a, b = make("a"), make("b", targets=2)
    found = algebra.cosines([a, b])
    assert [one.value for one in found] == sorted((one.value for one in found), reverse=True)
    pairs = {(one.queries, one.targets): one.value for one in found}
    assert len(pairs) == 3
    wanted = torch.nn.functional.cosine_similarity(a.vector[0], b.vector[1], dim=0)
    assert pairs[("a@1.0.0", "b@1.0.0"), ("a", "t1")] == pytest.approx(float(wanted), abs=1e-5)
    golden = np.corrcoef(a.golden.logits[0].ravel(), b.golden.logits[1].ravel())
    (same,) = [one for one in found if one.targets == ("a", "t1")]
    assert same.correlation == pytest.approx(golden[0, 1], abs=1e-5)


def test_merged_targets_answer_as_before(make: Make, tiny: Tiny) -> None:
    a, b = make("a"), make("b")
    both = algebra.merge([a, b], NAMED)
    ours, first, second = logits(tiny, both, a, b)
    np.testing.assert_allclose(ours, np.concatenate([first, second]), atol=1e-5)
    assert [one.name for one in both.manifest.targets] == ["a", "b"]
    assert both.manifest.metrics == ()
    assert [one.name for one in both.manifest.derived or ()] == ["a", "b"]


def test_queries_of_other_layers_are_merged_over_the_union_of_their_bases(
    make: Make, tiny: Tiny
) -> None:
    a, b = make("a", layers=(0, 2)), make("b", layers=(1, 2))
    pixels = Basis(passes=(Pass(size_px=64, tiles=2, layers=(1,)),), norm=True, pixels=METHOD)
    both = algebra.merge([a, b], NAMED)
    assert both.manifest.basis.layers == (0, 2, 1)
    ours, first, second = logits(tiny, both, a, b)
    np.testing.assert_allclose(ours, np.concatenate([first, second]), atol=1e-5)
    c = make("c", basis=pixels)
    wide = algebra.merge([a, c], NAMED)
    ours, second = logits(tiny, wide, c)
    assert wide.manifest.basis.pixels == METHOD
    np.testing.assert_allclose(ours[1:], second, atol=1e-5)


def test_thresholds_and_calibrations_stand_side_by_side(make: Make) -> None:
    a, b = calibrated(make("a"), PLATT), calibrated(make("b"), replace(PLATT, scale=(3.0,)))
    head = algebra.merge([a, b], NAMED).manifest.head
    assert head.thresholds == (0.5, 0.5)
    assert head.calibration is not None
    assert head.calibration.scale == (2.0, 3.0)
    assert head.calibration.shift is None


def test_the_mean_is_that_of_calibrated_logits(make: Make, tiny: Tiny) -> None:
    a, b = calibrated(make("a", target="x"), PLATT), make("b", target="x")
    made = algebra.mean([a, b], NAMED)
    ours, first, second = logits(tiny, made, a, b)
    np.testing.assert_allclose(ours, (2 * first - 1 + second) / 2, atol=1e-5)
    assert made.manifest.head.calibration is None
    assert "not chosen" in made.manifest.head.threshold_choice


def test_differences_are_those_of_logits(make: Make, tiny: Tiny) -> None:
    a, b = make("a", layers=(0,)), make("b", layers=(1,))
    made = algebra.subtract(a, b, NAMED)
    ours, first, second = logits(tiny, made, a, b)
    np.testing.assert_allclose(ours, first - second, atol=1e-5)
    assert made.manifest.targets[0].name == "a-minus-b"
    assert [one.how for one in made.manifest.derived or ()] == ["subtracted from", "subtracted"]
    many = algebra.subtract(make("m", targets=3), b, NAMED)
    assert [one.name for one in many.manifest.targets] == ["t0-minus-b", "t1-minus-b", "t2-minus-b"]


def test_what_is_orthogonalised_is_orthogonal_and_nothing_else_is_lost(make: Make) -> None:
    a, b = make("a"), make("b", targets=2)
    made = algebra.orthogonalise(a, b, NAMED)
    assert float((made.vector @ b.vector.T).abs().max()) < 1e-5
    rest = a.vector - made.vector
    plane = torch.linalg.qr(b.vector.T).Q
    assert float((rest - rest @ plane @ plane.T).norm()) < 1e-5
    assert all(abs(one.value) < 1e-5 for one in algebra.cosines([made, b])[:2])


def test_what_is_made_lives_like_any_query(
    make: Make, tmp_path: Path, registry_folder: Path
) -> None:
    made = algebra.merge([make("a"), make("b")], NAMED)
    manifest = keep(made, tmp_path / "made")
    assert manifest.digest == made.manifest.digest
    verdict = validate(tmp_path / "made", replay=True)
    assert verdict.ok
    assert verdict.reproduces
    again = Query.from_pretrained(tmp_path / "made")
    assert again.vector.equal(made.vector)
    assert made.save(tmp_path / "saved").is_dir()
    assert validate(tmp_path / "saved").ok
    assert "Not measured" in (tmp_path / "made/README.md").read_text()


def refused(error: type[Exception], call: Callable[[], object]) -> Exception:
    with pytest.raises(error) as found:
        call()
    return found.value


def test_what_cannot_be_computed_with_is_refused(make: Make) -> None:
    a, b = make("a"), make("b")
    assert_clear(refused(UsageError, lambda: algebra.cosines([a])), 2, "one query")
    assert_clear(refused(UsageError, lambda: algebra.cosines([a, a])), 2, "a 1.0.0 is named twice")
    other = Basis(passes=a.manifest.basis.passes, norm=True, views=("plain", "mirrored"))
    c = make("c", basis=other)
    assert_clear(
        refused(UsageError, lambda: algebra.cosines([a, c])), 2, "1x1@64:1", "(plain, mirrored)"
    )
    b.manifest = replace(b.manifest, kind=CLASSIFICATION)
    assert_clear(refused(UsageError, lambda: algebra.cosines([a, b])), 2, "classification")


def test_another_backbone_is_refused(make: Make) -> None:
    a, b = make("a"), make("b")
    ref = replace(b.manifest.backbone, weights_digest="e" * 64)
    b.manifest = replace(b.manifest, backbone=ref)
    error = refused(BackboneMismatch, lambda: algebra.merge([a, b], NAMED))
    assert_clear(error, 4, "e" * 64, a.manifest.backbone.weights_digest, "retq port")


def test_heads_and_targets_that_do_not_fit_are_refused(make: Make) -> None:
    a, b, same = make("a"), calibrated(make("b"), PLATT), make("s", target="a")
    twice = refused(UsageError, lambda: algebra.merge([a, same], NAMED))
    assert_clear(twice, 2, "twice", "mean")
    assert_clear(refused(UsageError, lambda: algebra.merge([a, b], NAMED)), 2, "heads of a and b")
    assert_clear(refused(UsageError, lambda: algebra.mean([a, b], NAMED)), 2, "no mean", "merge")
    curve = replace(
        PLATT, method="isotonic", scale=None, offset=None, knots=(((0.0, 0.0), (1.0, 1.0)),)
    )
    bent = calibrated(make("c"), curve)
    assert_clear(refused(UsageError, lambda: algebra.subtract(a, bent, NAMED)), 2, "curve")
    softmax = make("d", head=Head(activation="softmax", thresholds=(0.5,), threshold_choice="half"))
    for call in (algebra.subtract, algebra.orthogonalise):
        assert_clear(refused(UsageError, lambda: call(a, softmax, NAMED)), 2, "exclude")  # noqa: B023
    assert_clear(refused(UsageError, lambda: algebra.merge([a, softmax], NAMED)), 2, "exclude")
    many, three = make("e", targets=2), make("f", targets=3)
    assert_clear(refused(UsageError, lambda: algebra.subtract(many, three, NAMED)), 2, "3 targets")


def test_what_leaves_nothing_is_refused(make: Make) -> None:
    a, twin = make("a"), make("twin", seed=sum(map(ord, "a")))
    for call in (algebra.subtract, algebra.orthogonalise):
        error = refused(UsageError, lambda: call(a, twin, NAMED))  # noqa: B023
        assert_clear(error, 2, "nothing is left of a")


def test_licences_that_differ_need_a_word(make: Make) -> None:
    a, b = make("a"), make("b")
    b.manifest = replace(b.manifest, licence=Licence(id="CC-BY-4.0"))
    assert_clear(refused(UsageError, lambda: algebra.merge([a, b], NAMED)), 2, "a CC0-1.0", "b CC")
    named = replace(NAMED, licence=Licence(id="CC-BY-4.0"))
    assert algebra.merge([a, b], named).manifest.licence.id == "CC-BY-4.0"


def test_shipped_queries_are_computed_with(backbone: Backbone) -> None:
    disc = [Query.from_pretrained(f"idrid-disc@{one}") for one in ("1.0.0", "1.1.0")]
    lesions = Query.from_pretrained("idrid-lesions@1.0.0")
    (alike,) = algebra.cosines(disc)
    assert alike.value < 0.2
    assert alike.correlation is not None
    assert alike.correlation > 0.8
    lazy = Backbone.asleep()
    both = algebra.merge([disc[0], lesions], NAMED, backbone=lazy)
    pipe = Pipeline(
        backbone=backbone,
        queries={"both": both, "disc": disc[0], "lesions": lesions},
        embed=False,
    )
    found = pipe(fundus(200, 300)).segmentations
    assert (found["both"].mask[0] == found["disc"].mask).mean() > 0.9999
    assert (found["both"].mask[1] == found["lesions"].mask).mean() > 0.9999
    guided = {query.manifest.head.guided for query in disc}
    assert guided == {None, Guided(size_px=392, radius_px=4, epsilon=1e-3)}
    assert algebra.mean(disc, NAMED, backbone=lazy).manifest.head.guided is None


def test_the_backbone_may_be_one_that_no_registry_has(
    make: Make, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, backbone = [make("a"), make("b")], Backbone.asleep(str(tiny.path))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "index.json").write_text('{"spec":"retq-index/1","records":[]}\n')
    monkeypatch.setenv("RETQ_REGISTRY", str(tmp_path / "empty"))
    made = algebra.merge(both, NAMED, backbone=backbone)
    assert keep(made, tmp_path / "made", backbone=backbone).name == "made"
    assert artifact.findings(tmp_path / "made") == []

import dataclasses
import json
from dataclasses import replace

import pytest
from support_core import manifest

from retq_hub import schema
from retq_hub.basis import Basis, Pass
from retq_hub.digest import json_digest
from retq_hub.embedded import REGISTRY, SCHEMAS
from retq_hub.kinds import Derived, Graded, Pooling, Similarity, Text
from retq_hub.manifest import (
    Calibration,
    FileDigest,
    Guided,
    Head,
    QueryManifest,
    Training,
    Trial,
    from_json,
    to_json,
)
from retq_hub.record import Record
from retq_hub.spec import BackboneSpec

SPECS = sorted(REGISTRY.glob("backbones/*.json"))

CHANGES = {
    "name": "other",
    "version": "1.2.4",
    "authors": ("Nobody", "Somebody"),
    "citation": None,
    "metrics": (),
    "basis": Basis(passes=(Pass(size_px=42, tiles=1, layers=(3, 7)),), norm=True),
    "head": replace(manifest().head, guided=Guided(size_px=392, radius_px=2, epsilon=1e-3)),
}

EVERYTHING = manifest(
    basis=Basis(
        passes=(Pass(size_px=42, tiles=2, layers=(3, 7), overlap_px=14),),
        norm=True,
        views=("plain", "mirrored"),
        pixels="retq-pixels-1",
    ),
    head=Head(
        activation="softmax",
        thresholds=(0.5,),
        threshold_choice="given",
        guided=Guided(size_px=392, radius_px=2, epsilon=1e-3),
        calibration=Calibration(
            method="prior",
            ece=(0.01,),
            ece_before=(0.1,),
            scale=(1.5,),
            offset=(-0.5,),
            shift=(0.25,),
        ),
    ),
    training=replace(
        manifest().training,
        measure="iou",
        views=("plain", "mirrored"),
        trials=(
            Trial(
                basis="2x2:3,7",
                floats=8,
                l2=1e-3,
                measure=0.5,
                thresholds=(0.3,),
                loss=0.1,
                guided=Guided(size_px=392, radius_px=2, epsilon=1e-3),
            ),
        ),
        backbone_passes=8,
    ),
)
"""Has every member that tiles, views, pixels and heads brought, but knots."""

KNOTS = Calibration(
    method="isotonic", ece=(0.01,), ece_before=(0.1,), knots=(((-1.0, -2.0), (1.0, 3.0)),)
)
WITH_KNOTS = replace(EVERYTHING, head=replace(EVERYTHING.head, calibration=KNOTS))


def members(name: str, *path: str) -> set[str]:
    document = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    for step in path:
        document = document[step]
    return set(document["properties"])


@pytest.mark.parametrize(
    "whole", [manifest(), manifest(targets=2, citation=None, metrics=()), EVERYTHING, WITH_KNOTS]
)
def test_a_manifest_survives_the_way_through_json_text(whole: QueryManifest):
    document = json.loads(json.dumps(to_json(whole)))
    assert from_json(document, QueryManifest) == whole


@pytest.mark.parametrize("whole", [EVERYTHING, WITH_KNOTS], ids=["lines", "knots"])
def test_every_member_passes_the_schema(whole: QueryManifest):
    file = FileDigest(sha256="e" * 64, size=1)
    files = {"query.safetensors": file, "golden.safetensors": file}
    assert schema.findings(to_json(replace(whole, files=files)), schema.QUERY) == []


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_backbone_spec_survives_the_way_through_json(path):
    spec = from_json(schema.read_json(path), BackboneSpec)
    optional = {"weights_digest": None, "fingerprint": None}
    assert from_json(optional | to_json(spec), BackboneSpec) == spec
    assert spec.id == path.stem


@pytest.mark.parametrize(
    ("cls", "name", "path"),
    [
        (QueryManifest, "query-1", ()),
        (BackboneSpec, "backbone-1", ()),
        (Record, "index-1", ("properties", "records", "items")),
        (Basis, "query-1", ("$defs", "basis")),
        (Pass, "query-1", ("$defs", "basis", "properties", "passes", "items")),
        (Head, "query-1", ("properties", "head")),
        (Calibration, "query-1", ("properties", "head", "properties", "calibration")),
        (Guided, "query-1", ("$defs", "guided")),
        (Training, "query-1", ("properties", "training")),
        (Similarity, "query-1", ("properties", "head", "properties", "similarity")),
        (Pooling, "query-1", ("properties", "pooling")),
        (Text, "query-1", ("properties", "text")),
        (Derived, "query-1", ("properties", "derived", "items")),
        (Graded, "query-1", ("properties", "graded", "items")),
        (Trial, "query-1", ("properties", "training", "properties", "trials", "items")),
    ],
)
def test_data_class_and_schema_have_the_same_members(cls, name: str, path: tuple[str, ...]):
    assert set(cls.__annotations__) == members(name, *path)


def test_members_that_are_none_are_left_out():
    document = to_json(manifest(citation=None))
    assert "citation" not in document
    assert "url" not in document["licence"]
    assert document["licence"]["commercial_use"] is True


def test_layers_are_listed_in_the_order_of_concatenation():
    passes = (Pass(size_px=42, tiles=1, layers=(7, 3)), Pass(size_px=42, tiles=2, layers=(5,)))
    assert Basis(passes=passes, norm=True).layers == (7, 3, 5)


def test_a_manifest_is_written_alike_before_and_after_its_digest_was_asked_for():
    one = manifest()
    before, digest = to_json(one), one.digest
    assert to_json(one) == before
    assert one.digest == digest == json_digest(before)


@pytest.mark.parametrize("member", CHANGES)
def test_the_digest_sees_a_change_of(member: str):
    assert manifest(**{member: CHANGES[member]}).digest != manifest().digest


def test_a_manifest_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        manifest().name = "other"  # type: ignore[misc]


def test_the_preprocessing_digest_sees_what_the_encoder_sees_and_nothing_else():
    path = REGISTRY / "backbones/dinov2-small-saliency.json"
    spec = from_json(schema.read_json(path), BackboneSpec)
    preprocessing = replace(spec.preprocessing, size_px=224)
    positions = replace(spec.position_embedding, resize="bilinear", antialias=True)
    digests = {
        one.preprocessing_digest
        for one in (
            spec,
            replace(spec, title="Another title", sources=()),
            replace(spec, preprocessing=preprocessing),
            replace(spec, position_embedding=positions),
            replace(spec, architecture=replace(spec.architecture, dense=True)),
        )
    }
    assert len(digests) == 4

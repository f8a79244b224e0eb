"""A registry's index: artifacts, contributed records, notices; what was collected stays."""

import json

import pytest
from graders import make_grader
from records import hubs, record

from retq_hub import artifact, catalogue, index, notices, registry, stock
from retq_hub.catalogue import Broken
from retq_hub.errors import IntegrityError, ManifestError, NotFoundError, UsageError
from retq_hub.index import Index
from retq_hub.manifest import to_json
from retq_hub.record import Near


def contribute(folder, **changes):
    """Put a record of a query on a Hub into a registry's folder."""
    one = hubs("drusen", repo="someone/drusen")
    document = {"spec": "retq-record/1", **to_json(one), **changes}
    del document["yanked"]
    path = folder / "records" / "drusen" / "1.0.0.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(document))
    return one


def keys(made):
    return [one.key for one in made.records]


def test_contributed_records_are_merged_with_artifacts(registry_folder):
    one = contribute(registry_folder)
    built = index.build(registry_folder)
    assert keys(built)[0] == "drusen@1.0.0"
    assert built.records[0] == one
    assert len(built.records) == 5
    assert [str(found) for found in index.findings(registry_folder)] == [
        "drusen@1.0.0: is in the folder and not in the index"
    ]
    index.write(registry_folder, built)
    assert index.findings(registry_folder) == []


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"version": "1.1.0"}, IntegrityError, r"1\.0\.0\.json is of drusen@1\.1\.0"),
        ({"name": "disc"}, IntegrityError, "is of disc@"),
        ({"digest": "x"}, ManifestError, "digest"),
        ({"path": "queries/x"}, ManifestError, "path"),
        ({"yanked": "why", "commit": "main"}, ManifestError, "commit"),
        ({"summary": "a\x1bb"}, ManifestError, "summary"),
    ],
)
def test_a_broken_record_is_refused(registry_folder, changes, kind, message):
    contribute(registry_folder, **changes)
    with pytest.raises(kind, match=message):
        index.build(registry_folder)
    assert index.findings(registry_folder)


def test_what_was_collected_from_a_hub_stays_unless_it_is_contributed(registry_folder):
    built = index.build(registry_folder)
    near = (Near(name="tiny-spot@0.1.0", cosine=0.9995), Near(name="gone@1.0.0", cosine=1.0))
    other = hubs("someone/other", commit="e" * 40)
    collected = Index(
        records=(*built.records, hubs("someone/drusen"), other),
        broken=(Broken(repo="a/b", commit="d" * 40, reason="is none"),),
    )
    said = {f"{other.key} {other.digest}": near}
    made = index.finished(list(collected.records), near=said, broken=collected.broken, place="here")
    index.write(registry_folder, made)
    again = index.build(registry_folder)
    assert keys(again)[:2] == ["someone/drusen@1.0.0", "someone/other@1.0.0"]
    assert again.records[1].near == near[:1]
    assert again.broken == collected.broken
    assert index.findings(registry_folder) == []
    contribute(registry_folder)
    assert "someone/drusen@1.0.0" not in keys(index.build(registry_folder))


def test_a_yank_is_written_beside_the_artifact_and_taken_back(registry_folder):
    index.yank(registry_folder, "tiny-disc@v1.9.0", reason="Marks vessels.")
    assert stock.find("tiny-disc").record.version == "1.0.0"
    assert stock.find("tiny-disc@1.9.0").record.yanked == "Marks vessels."
    with pytest.warns(UserWarning, match=r"tiny-disc@1\.9\.0 is yanked: Marks vessels\."):
        registry.locate("tiny-disc@1.9.0")
    assert index.findings(registry_folder) == []
    index.yank(registry_folder, "tiny-disc@1.9.0", reason=None)
    assert stock.find("tiny-disc").record.version == "1.9.0"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("tiny-disc", UsageError),
        ("someone/x@1.0.0", UsageError),
        ("tiny-disc@7.0.0", NotFoundError),
    ],
)
def test_only_a_version_that_is_there_can_be_yanked(registry_folder, name, kind):
    with pytest.raises(kind):
        index.yank(registry_folder, name, reason="Why.")
    assert set(notices.read(registry_folder).yanked) == {"tiny-disc@1.10.0"}


def superseded(folder, **pairs):
    document = {"spec": "retq-notices/1", "superseded": pairs["said"]}
    (folder / "notices.json").write_text(json.dumps(document))


def test_a_successor_is_named_to_who_asks_for_the_old_one(registry_folder):
    superseded(registry_folder, said={"tiny-spot@0.1.0": "tiny-disc"})
    index.write(registry_folder, index.build(registry_folder))
    with pytest.warns(UserWarning, match=r"tiny-spot@0\.1\.0 is superseded by tiny-disc"):
        registry.locate("tiny-spot")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"tiny-spot@0.1.0": "tiny-spot"}, "supersedes itself"),
        ({"tiny-spot@0.1.0": "tiny-disc@1.0.0", "tiny-disc@1.0.0": "tiny-spot"}, "itself"),
        ({"tiny-spot@0.1.0": "absent"}, "refers to absent"),
    ],
)
def test_notices_that_make_no_sense_are_refused(registry_folder, said, message):
    superseded(registry_folder, said=said)
    with pytest.raises(ManifestError, match=message):
        index.build(registry_folder)
    assert index.findings(registry_folder)


def test_a_notice_of_a_version_that_is_gone_is_found_but_breaks_nothing(registry_folder):
    superseded(registry_folder, said={"absent@0.1.0": "tiny-spot"})
    index.write(registry_folder, index.build(registry_folder))
    assert [str(one) for one in index.findings(registry_folder)] == [
        "absent@0.1.0: is in notices.json and not in the registry"
    ]


def test_a_name_twice_in_one_registry_is_refused():
    with pytest.raises(ManifestError, match="is there twice"):
        index.finished([record(), record()], near={}, broken=(), place="here")


def test_a_broken_index_does_not_keep_it_from_being_built_anew(registry_folder):
    before = (registry_folder / "index.json").read_bytes()
    (registry_folder / "index.json").write_text("{")
    index.write(registry_folder, index.build(registry_folder))
    assert (registry_folder / "index.json").read_bytes() == before


def test_long_texts_of_a_manifest_are_cut_in_the_index():
    made = catalogue.lay_out([record(summary="x" * 200)])
    assert b"x" * 200 in made


def test_a_record_says_its_kind_and_the_figures_of_whole_images(tmp_path, tiny):
    grader = artifact.read(make_grader(tmp_path / "grade", backbone=tiny.backbone))
    found = index.record_of(grader, path="queries/tiny-grade/1.0.0")
    assert (found.kind, found.dice) == ("classification", None)
    assert (found.kappa, found.auroc) == (0.625, 0.875)
    assert found.floats == 5 * 32

"""Indexes as text: what is found in them is what a plain loop over all records finds."""

import json
from pathlib import Path

import pytest
from records import hubs, many, record, write_index

from retq_hub import catalogue, registry
from retq_hub.catalogue import Broken, Catalogue
from retq_hub.compatibility import equivalents
from retq_hub.errors import ManifestError, NotFoundError
from retq_hub.record import Record, newest
from retq_hub.wish import Wish

SPEC = registry.backbone_spec(registry.DEFAULT_BACKBONE)
OURS = equivalents(SPEC, None, [])
WISHES = [
    Wish(),
    Wish(words=("drusen",)),
    Wish(words=("DRUSEN", "no. 1")),
    Wish(words=("öl",)),
    Wish(words=("ÖL", "a-1")),
    Wish(words=('of "a/b"',)),
    Wish(words=("back\\slash",)),
    Wish(words=("absent",)),
    Wish(target="exudates", licence="cc-by-4.0"),
    Wish(min_dice=0.5),
    Wish(dataset="A data", min_dice=0.9),
    Wish(backbone=OURS),
]


@pytest.fixture(scope="module", params=[60, 4000], ids=["small", "large"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """Records, and the index that holds them; a large one is not checked throughout."""
    every = {one.key: one for one in many(request.param)}
    path = write_index(tmp_path_factory.mktemp("index"), list(every.values()))
    assert (path.stat().st_size > 2**20) == (request.param == 4000)
    return catalogue.in_order(every.values()), catalogue.read(path)


def plainly(records: list[Record], wish: Wish) -> list[str]:
    """The slow way to search, which nobody doubts."""
    versions: dict[str, list[Record]] = {}
    for one in records:
        versions.setdefault(one.name, []).append(one)
    chosen = [newest(reversed(each)) for each in versions.values()]
    return [one.key for one in chosen if one is not None and wish.matches(one)]


@pytest.mark.parametrize("wish", WISHES, ids=str)
def test_a_search_finds_what_a_plain_loop_finds(made, wish):
    records, found = made
    assert [one.key for one in found.matching(wish)] == plainly(records, wish)


def test_searches_that_find_something_are_among_those_compared(made):
    assert sum(bool(plainly(made[0], wish)) for wish in WISHES) >= 8


def test_a_name_gives_its_versions_in_order(made):
    records, found = made
    for name in {one.name for one in records[:90]} | {"absent", "", "zzz", "\ud800", "a-1\n"}:
        assert found.named(name) == [one for one in records if one.name == name]


def test_all_records_come_back_as_they_were_written(made):
    records, found = made
    assert found.all() == records


def test_near_names_of_a_large_index_begin_alike(made):
    records, found = made
    names = found.names("a-17")
    assert "a-18" in names
    assert set(names) <= {one.name for one in records}


def test_the_same_records_give_the_same_bytes_in_any_order():
    records = [hubs(), record(), record(version="0.9.0")]
    assert catalogue.lay_out(records) == catalogue.lay_out(records[::-1])


def test_an_index_may_be_empty_or_hold_broken_repositories(tmp_path):
    assert catalogue.read(write_index(tmp_path, [])).all() == []
    broken = Broken(repo="someone/some", commit="d" * 40, reason="is no query")
    (tmp_path / "index.json").write_bytes(catalogue.lay_out([], [broken]))
    assert catalogue.read(tmp_path / "index.json").broken == (broken,)


def test_a_small_index_may_be_laid_out_in_any_way(tmp_path):
    records = [record(), hubs()]
    path = write_index(tmp_path, records)
    path.write_text(json.dumps(json.loads(path.read_text()), indent=4, sort_keys=True))
    assert catalogue.read(path).all() == records
    assert catalogue.read(path).named("some-disc") == [record()]


def test_a_large_index_must_be_laid_out_one_record_a_line(tmp_path):
    path = write_index(tmp_path, many(4000))
    text = path.read_text()
    path.write_text(json.dumps(json.loads(text)))
    with pytest.raises(ManifestError, match="one record a line"):
        catalogue.read(path)


def test_an_index_of_the_first_release_is_read(tmp_path):
    old = {
        "name": "some-disc", "version": "1.0.0", "digest": "a" * 64, "path": "queries/x/1.0.0",
        "summary": "Marks.", "targets": ["disc"], "backbone": "tiny", "weights_digest": "b" * 64,
        "floats": 1, "datasets": [], "licence": "CC0-1.0", "yanked": True, "dice": 0.5,
    }  # fmt: skip
    path = tmp_path / "index.json"
    path.write_text(json.dumps({"spec": "retq-index/1", "records": [old]}, indent=2))
    (found,) = catalogue.read(path).all()
    assert (found.yanked, found.preprocessing_digest, found.dice) == (True, None, 0.5)


def broken_line(tmp_path: Path) -> Catalogue:
    """A large index with one broken record."""
    path = write_index(tmp_path, [*many(4000), record("zz-disc")])
    lines = path.read_text().splitlines(keepends=True)
    lines[-2] = lines[-2].replace('"floats":32', '"floats":0')
    path.write_text("".join(lines))
    return catalogue.read(path)


def test_a_broken_record_of_a_large_index_is_refused_where_it_is_used(tmp_path):
    found = broken_line(tmp_path)
    assert found.named("a-0") or found.named("b-0") or found.named("c-0")
    for use in (lambda: found.named("zz-disc"), lambda: list(found.matching(Wish())), found.all):
        with pytest.raises(ManifestError, match=r"'zz-disc'/floats: 0 is less than the minimum"):
            use()


def test_a_missing_index_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match=r"no file .*index\.json"):
        catalogue.read(tmp_path / "index.json")

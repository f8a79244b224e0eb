"""What several registries hold together."""

import os

import pytest
from records import record, write_index

from retq_hub import stock
from retq_hub.errors import NotFoundError
from retq_hub.wish import Wish


@pytest.fixture
def two(tmp_path, monkeypatch):
    """Two registries in front of the embedded one, put together from records."""

    def make(first, second):
        folders = [tmp_path / "a", tmp_path / "b"]
        for folder, records in zip(folders, (first, second), strict=True):
            write_index(folder, records)
        monkeypatch.setenv("RETQ_REGISTRY", os.pathsep.join(map(str, folders)))
        return [str(folder) for folder in folders]

    return make


def keys(found):
    return [one.record.key for one in found if "idrid" not in one.record.name]


def test_a_version_counts_where_it_is_found_first(two):
    places = two(
        [record("x", "1.0.0", summary="first")],
        [record("x", "1.0.0", summary="second"), record("x", "1.1.0", summary="second")],
    )
    assert [(one.registry, one.record.key) for one in stock.opened().named("x")] == [
        (places[0], "x@1.0.0"), (places[1], "x@1.1.0"),
    ]  # fmt: skip
    assert stock.find("x").registry == places[1]


def test_a_search_offers_a_name_once_and_only_its_newest_version(two):
    two(
        [record("x", "1.0.0", summary="good"), record("y", "1.0.0", summary="good")],
        [record("x", "1.1.0", summary="bad"), record("y", "0.9.0", summary="good")],
    )
    assert keys(stock.search(Wish(words=("good",)))) == ["y@1.0.0"]
    assert keys(stock.search(Wish(words=("bad",)))) == ["x@1.1.0"]


def test_a_yank_in_the_first_registry_holds_for_the_second(two):
    two([record("x", "1.1.0", yanked="Why")], [record("x", "1.0.0"), record("x", "1.1.0")])
    assert keys(stock.search(Wish(words=("x",), dataset="a data"))) == ["x@1.0.0"]
    assert stock.find("x").record.version == "1.0.0"
    assert stock.find("x@1.1.0").record.yanked == "Why"


def test_pre_releases_count_only_if_there_is_nothing_else(two):
    two([record("x", "1.0.0"), record("x", "2.0.0-rc.1"), record("y", "1.0.0-a")], [])
    assert stock.find("x").record.version == "1.0.0"
    assert stock.find("y").record.version == "1.0.0-a"
    assert [one.record.version for one in stock.latest(stock.entries())][-2:] == [
        "1.0.0", "1.0.0-a",
    ]  # fmt: skip


def test_a_misspelled_name_is_compared_with_all_registries(two):
    two([record("tiny-disc")], [record("tiny-dusk")])
    with pytest.raises(NotFoundError, match=r"did you mean tiny-d\w+ or tiny-d\w+"):
        stock.find("tiny-disk")


def test_an_index_that_changed_is_read_again(two, tmp_path):
    two([record("x", "1.0.0")], [])
    assert stock.find("x").record.version == "1.0.0"
    write_index(tmp_path / "a", [record("x", "1.0.0"), record("x", "1.1.0")])
    assert stock.find("x").record.version == "1.1.0"

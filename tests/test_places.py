"""Paths as users write them."""

from pathlib import Path

import pytest

from retq_hub import places
from retq_hub.errors import NotFoundError


def test_the_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert places.path_of("~/mine") == tmp_path / "mine"
    with pytest.raises(NotFoundError, match="no home folder"):
        places.path_of("~nobody-here/mine")


@pytest.mark.parametrize("path", ["nothing", "a\x00b", "x" * 5000])
def test_what_cannot_be_a_path_has_nothing(path):
    assert not places.has(Path(path), "retq.json")


def test_a_name_of_two_parts_is_a_folder_only_if_that_holds_what_is_wanted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a/b").mkdir(parents=True)
    assert places.folder_with("a/b", "retq.json") is None
    assert places.folder_with("./a/b", "retq.json") == Path("a/b")
    (tmp_path / "a/b/retq.json").touch()
    assert places.folder_with("a/b", "retq.json") == Path("a/b")
    assert places.folder_with("a", "b") is None
    with pytest.raises(NotFoundError, match="no folder"):
        places.folder_with("./c", "retq.json")

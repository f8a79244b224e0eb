import json
import os
import stat
from pathlib import Path

import pytest
from support_core import assert_clear, on_a_full_disk

from retq_hub.errors import StorageError
from retq_hub.storage import cache_dir, json_text, whole_file, whole_folder, write_json, write_text

FULL_DISK = """
from retq_hub.errors import StorageError
from retq_hub.storage import whole_file, whole_folder, write_text
path = Path(sys.argv[1])
try:
    {block}
except StorageError as error:
    print(error.exit_code, len(str(error).splitlines()), error.hint != "", path.name in str(error))
"""
BLOCKS = {
    "file": "write_text(path, 'x' * 10_000)",
    "folder": "\n    with whole_folder(path) as new:\n        (new / 'a').write_text('a')"
    "\n        (new / 'b').write_bytes(bytes(10_000))",
}


class Killed(Exception):
    pass


def content(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def test_a_file_is_written_with_its_folders_and_readable_by_all(tmp_path: Path):
    path = tmp_path / "new" / "deep" / "file.txt"
    write_text(path, "é")
    assert path.read_bytes() == "é".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert content(tmp_path) == {"new/deep/file.txt": "é"}


def test_a_file_is_absent_until_it_is_whole(tmp_path: Path):
    path = tmp_path / "file"
    with whole_file(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert content(tmp_path) == {"file": "whole"}


def test_a_failed_write_of_a_file_keeps_the_old_one(tmp_path: Path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(Killed), whole_file(path) as temporary:
        temporary.write_text("half")
        raise Killed
    assert content(tmp_path) == {"file": "old"}


def test_a_folder_replaces_all_of_the_old_one(tmp_path: Path):
    path = tmp_path / "folder"
    for name in ("one", "two"):
        with whole_folder(path) as temporary:
            (temporary / name).write_text(name)
    assert content(tmp_path) == {"folder/two": "two"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


def test_a_failed_write_of_a_folder_keeps_the_old_one(tmp_path: Path):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "kept").write_text("old")
    with pytest.raises(Killed), whole_folder(path) as temporary:
        (temporary / "kept").write_text("half")
        raise Killed
    assert content(tmp_path) == {"folder/kept": "old"}
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("old", [True, False], ids=["over-old", "new"])
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, kind: str, old: bool):
    path = tmp_path / "goal"
    if old and kind == "file":
        path.write_text("old")
    elif old:
        path.mkdir()
        (path / "a").write_text("old")
    before = content(tmp_path)
    assert on_a_full_disk(FULL_DISK.format(block=BLOCKS[kind]), path) == "7 1 True True\n"
    assert content(tmp_path) == before
    assert [one.name for one in tmp_path.iterdir()] == (["goal"] if old else [])


@pytest.mark.parametrize("goal", ["file/x", "file/x/y"])
@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_a_file_in_the_way_is_a_storage_error(tmp_path: Path, goal: str, whole):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError) as caught, whole(tmp_path / goal):
        pass
    assert_clear(caught.value, 7, goal)
    assert content(tmp_path) == {"file": "in the way"}


def test_a_folder_in_the_place_of_a_file_is_a_storage_error(tmp_path: Path):
    (tmp_path / "goal").mkdir()
    with pytest.raises(StorageError) as caught:
        write_text(tmp_path / "goal", "text")
    assert_clear(caught.value, 7, "goal")
    assert [one.name for one in tmp_path.iterdir()] == ["goal"]


def test_json_is_written_for_people_and_the_same_each_time(tmp_path: Path):
    write_json(tmp_path / "one", {"b": 1, "a": ["é"]})
    write_json(tmp_path / "two", {"a": ["é"], "b": 1})
    text = '{\n  "a": [\n    "é"\n  ],\n  "b": 1\n}\n'
    assert content(tmp_path) == {"one": text, "two": text}
    assert json.loads(json_text({"b": None})) == {"b": None}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"RETQ_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"RETQ_CACHE": "~/a"}, "/home/me/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/retq"),
        ({"RETQ_CACHE": "", "XDG_CACHE_HOME": ""}, "/home/me/.cache/retq"),
    ],
)
def test_the_cache_folder_follows_the_environment(
    settings: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HOME", "/home/me")
    for name in ("RETQ_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert cache_dir() == Path(expected)


def test_what_killed_runs_left_is_cleared_when_it_is_old(tmp_path: Path):
    for name in (".a.1.part", ".a.2.old", ".a.3.part", ".b.4.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_text("half")
    (tmp_path / "a").mkdir()
    for name in (".a.1.part", ".a.2.old", ".b.4.part"):
        os.utime(tmp_path / name, (1, 1))
    with whole_folder(tmp_path / "a"):
        pass
    assert sorted(one.name for one in tmp_path.iterdir()) == [".a.3.part", ".b.4.part", "a"]

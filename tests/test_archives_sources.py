from pathlib import Path

import pytest
from eyes import make_folders

from retq_hub.archives.sources import Sources
from retq_hub.errors import DatasetError, NotFoundError, UsageError

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return make_folders(tmp_path, 3)[0]


def places(sources: Sources) -> list[str]:
    return [Path(entry.location).name for entry in sources]


def test_folders_are_listed_by_name_without_results_and_hidden_files(images: Path) -> None:
    (images / "a").mkdir()
    for name in ("a/b.jpg", ".hidden.png", "notes.txt"):
        (images / name).write_bytes(b"-")
    out = images / "out"
    out.mkdir()
    (out / "eye_mask.png").write_bytes(b"-")
    found = Sources([str(images)], output=out)
    assert places(found) == ["b.jpg", "eye0.png", "eye1.png", "eye2.png"]
    assert [entry.name for entry in found][:2] == ["a/b.jpg", "eye0.png"]
    assert found.count() == 4


def test_what_is_named_is_kept_as_it_was_given(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(images.parent)
    (entry, *_) = Sources(["images"])
    assert (entry.given, entry.location) == ("images/eye0.png", str(images / "eye0.png"))
    assert places(Sources(["images/eye[12].png", "images/eye0.png"])) == [
        "eye1.png",
        "eye2.png",
        "eye0.png",
    ]


def test_lists_carry_their_other_columns(images: Path) -> None:
    (images / "list.csv").write_text("image,patient\neye0.png,Ä\n/other/eye1.png,\n")
    table = pa.table({"image": ["eye2.png"], "age": [61]})
    parquet.write_table(table, images / "list.parquet")
    found = Sources([str(images / "list.csv"), str(images / "list.parquet")])
    assert [entry.location for entry in found] == [
        str(images / "eye0.png"),
        "/other/eye1.png",
        str(images / "eye2.png"),
    ]
    carried = [dict(entry.carried) for entry in found]
    assert carried == [{"patient": "Ä"}, {"patient": ""}, {"age": 61}]
    assert found.columns["patient"] is None
    assert found.columns["age"] == pa.int64()


def test_object_stores_are_listed_and_not_counted() -> None:
    store = pytest.importorskip("fsspec").filesystem("memory")
    store.pipe("/lists/a.csv", b"image\neyes/1.png\n")
    store.pipe("/lists/eyes/1.png", b"-")
    try:
        assert [one.location for one in Sources(["memory://lists/a.csv"])] == [
            "memory://lists/eyes/1.png"
        ]
        walked = Sources(["memory://lists"])
        assert [one.name for one in walked] == ["eyes/1.png"]
        assert walked.count() is None
    finally:
        store.rm("/lists", recursive=True)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"path\na.png\n", "has no column 'image', only path"),
        (b"image\na.png,b\n", "line 2, has more cells"),
        (b"image\n\xff\n", "UTF-8"),
        (b"image," + b"x" * 200_000 + b"\n", "field larger"),
        (b"image,age\n,3\n", "names no image: ''"),
        (b"image\na\0.png\n", "names no image"),
    ],
)
def test_a_list_that_makes_no_sense_is_named(content: bytes, text: str, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=text):
        list(Sources([str(tmp_path / "list.csv")]))


@pytest.mark.parametrize("before", ["", "filecache::"])
def test_a_password_is_not_told(before: str, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"image\n{before}https://me:secret@there/a.png\n")
    with pytest.raises(UsageError, match="a URL of there holds a password") as caught:
        list(Sources([str(tmp_path / "list.csv")]))
    assert "secret" not in str(caught.value)


def test_a_link_back_to_its_folder_doubles_nothing(images: Path) -> None:
    (images / "again").symlink_to(images)
    assert places(Sources([str(images)])) == ["eye0.png", "eye1.png", "eye2.png"]


def test_one_column_has_one_type(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("image,age\na.png,61\n")
    parquet.write_table(pa.table({"image": ["b.png"], "age": [61]}), tmp_path / "b.parquet")
    with pytest.raises(UsageError, match=r"'age' is text in one list and int64 in .*b\.parquet"):
        Sources([str(tmp_path / "a.csv"), str(tmp_path / "b.parquet")])


def test_what_is_not_there_is_said_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"no")
    with pytest.raises(DatasetError, match="no Parquet"):
        Sources([str(tmp_path / "bad.parquet")])
    with pytest.raises(NotFoundError, match="there is no image"):
        Sources([str(tmp_path / "none.png")])
    with pytest.raises(NotFoundError, match="there is no file"):
        Sources([str(tmp_path / "none.csv")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match="has no images"):
        Sources([str(tmp_path / "empty")])

from collections.abc import Iterator

import pytest

from retq_hub import objects
from retq_hub.errors import ImageError, NetworkError, UsageError

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def bucket() -> Iterator[str]:
    """An object store in memory with four files."""
    store = fsspec.filesystem("memory")
    for name in ("b/10.png", "b/2.PNG", "b/c/1.jpg", "b/.hidden.png", "b/notes.txt"):
        store.pipe(f"/bucket/{name}", name.encode())
    yield "memory://bucket/b"
    store.rm("/bucket", recursive=True)


def test_folders_of_a_store_are_walked_by_name(bucket: str) -> None:
    found = list(objects.walk(bucket, (".png", ".jpg")))
    assert found == [f"{bucket}/{name}" for name in ("10.png", "2.PNG", "c/1.jpg")]
    assert objects.read(found[0]) == b"b/10.png"


def test_patterns_name_files_of_a_store(bucket: str) -> None:
    assert [one.rpartition("/")[2] for one in objects.find(f"{bucket}/*.png")] == [
        ".hidden.png",
        "10.png",
    ]


def test_what_is_missing_in_a_store_is_an_image_that_cannot_be_used(bucket: str) -> None:
    with pytest.raises(ImageError, match=r"there is no file memory://bucket/b/none.png"):
        objects.read(f"{bucket}/none.png")


def test_a_store_that_nothing_reads_says_what_is_missing() -> None:
    with pytest.raises(UsageError, match="cannot be read here"):
        list(objects.walk("nowhere://bucket", (".png",)))


def test_a_server_that_is_away_is_an_error_of_the_network() -> None:
    with pytest.raises(NetworkError), objects.opened("http://127.0.0.1:1/a.png"):
        pass


def test_passwords_do_not_get_into_results() -> None:
    with pytest.raises(UsageError, match=r"of example.org holds a password") as caught:
        objects.located("ftp://me:secret@example.org/a.png")
    assert "secret" not in str(caught.value)


def test_locations_are_absolute() -> None:
    assert objects.located("a.png").startswith("/")
    assert objects.located("file:///data/a%20b.png") == "/data/a b.png"
    assert objects.located("s3://bucket/a.png") == "s3://bucket/a.png"

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retq_hub.digest import (
    TensorBytes,
    bytes_digest,
    file_digest,
    git_digest,
    json_digest,
    weights_digest,
)

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

NAMED_TENSORS = st.dictionaries(
    st.text("abc.0_é", min_size=1),
    st.tuples(st.lists(st.integers(0, 3), max_size=3), st.binary(max_size=8)),
    max_size=5,
)


def tensor(name: str, data: bytes = b"\0\0\0\0", shape: tuple[int, ...] = (1,)) -> TensorBytes:
    return TensorBytes(name=name, dtype="F32", shape=shape, data=data)


def test_bytes_and_files_have_their_plain_sha256(tmp_path: Path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert bytes_digest(b"abc") == file_digest(tmp_path / "abc") == ABC


def test_a_missing_file_is_an_os_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        file_digest(tmp_path / "none")


def test_json_digest_is_the_sha256_of_the_canonical_text():
    document = {"b": [1.0, 0.5, 1e21], "a": "é", "ab": None}
    canonical = '{"a":"é","ab":null,"b":[1,0.5,1e+21]}'.encode()
    assert json_digest(document) == bytes_digest(canonical)


@given(st.dictionaries(st.text(max_size=4), st.integers(-9, 9) | st.floats(-1, 1)))
def test_json_digest_depends_neither_on_key_order_nor_on_a_round_trip(document: dict[str, float]):
    backwards = dict(reversed(document.items()))
    assert json_digest(document) == json_digest(backwards)
    assert json_digest(document) == json_digest(json.loads(json.dumps(document)))


@given(NAMED_TENSORS, st.randoms())
def test_weights_digest_does_not_depend_on_order(named, random):
    tensors = [tensor(name, data, tuple(shape)) for name, (shape, data) in named.items()]
    shuffled = random.sample(tensors, len(tensors))
    assert weights_digest(tensors) == weights_digest(iter(shuffled))


def test_weights_digest_is_the_sha256_of_headers_and_elements():
    tensors = [tensor("b", b"12345678", (1, 2)), tensor("a", memoryview(b"wxyz"), ())]
    spelled = b"a\tF32\t\nwxyz" + b"b\tF32\t1x2\n12345678"
    assert weights_digest(tensors) == hashlib.sha256(spelled).hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        tensor("b"),
        tensor("a", b"\0\0\0\1"),
        tensor("a", shape=(1, 1)),
        TensorBytes(name="a", dtype="I32", shape=(1,), data=b"\0\0\0\0"),
    ],
    ids=["name", "bytes", "shape", "dtype"],
)
def test_weights_digest_sees(other: TensorBytes):
    assert weights_digest([tensor("a")]) != weights_digest([other])


def test_git_digest_is_that_of_git():
    assert git_digest("blob", b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert git_digest("tree", b"") == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

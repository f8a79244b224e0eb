"""Arrays in a file of an artifact."""

import numpy as np
import pytest

from retq_hub import arrays
from retq_hub.digest import bytes_digest
from retq_hub.errors import DigestMismatch, IntegrityError
from retq_hub.manifest import FileDigest


def promised(data: bytes) -> FileDigest:
    return FileDigest(sha256=bytes_digest(data), size=len(data))


def test_arrays_come_back_as_they_were_laid_out_or_not(tmp_path):
    whole = np.arange(12, dtype=np.float32).reshape(3, 4)
    data = arrays.blob(a=whole.T, b=whole[:, ::2])
    (tmp_path / "file").write_bytes(data)
    found = arrays.read(tmp_path / "file", promised(data))
    assert np.array_equal(found["a"], whole.T)
    assert np.array_equal(found["b"], whole[:, ::2])
    assert arrays.blob(b=whole[:, ::2].copy(), a=whole.T.copy()) == data


def test_another_file_is_refused_with_both_digests(tmp_path):
    data = arrays.blob(a=np.zeros(1, np.float32))
    (tmp_path / "file").write_bytes(data[:-1] + b"x")
    with pytest.raises(DigestMismatch, match=promised(data).sha256):
        arrays.read(tmp_path / "file", promised(data))


@pytest.mark.parametrize("data", [b"", b"x" * 100, (2**60).to_bytes(8, "little") + b"{}"])
def test_what_is_no_safetensors_file_is_said_to_be_none(tmp_path, data):
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(IntegrityError, match="is no safetensors file"):
        arrays.read(tmp_path / "file", promised(data))


def test_what_is_missing_or_a_folder_is_said(tmp_path):
    for name, said in (("absent", "is missing"), (".", "cannot be read")):
        with pytest.raises(IntegrityError, match=said):
            arrays.read(tmp_path / name, promised(b""))

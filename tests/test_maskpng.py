"""Files are read by Pillow and taken apart chunk by chunk, as a strict reader does."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from retq_hub.maskpng import mask_png
from retq_hub.runs import encode


def written(mask: np.ndarray) -> bytes:
    return mask_png(encode(mask), mask.shape[1], mask.shape[0])


def chunks(content: bytes) -> dict[bytes, bytes]:
    """Take a file apart; each chunk's checksum must be right, and nothing may follow the last."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    place, found = 8, {}
    while place < len(content):
        (size,) = struct.unpack(">I", content[place : place + 4])
        kind, body = content[place + 4 : place + 8], content[place + 8 : place + 8 + size]
        (check,) = struct.unpack(">I", content[place + 8 + size : place + 12 + size])
        assert check == zlib.crc32(kind + body)
        found[kind] = body
        place += 12 + size
    assert list(found) == [b"IHDR", b"IDAT", b"IEND"]
    return found


def check(mask: np.ndarray) -> bytes:
    content = written(mask)
    parts = chunks(content)
    assert parts[b"IHDR"] == struct.pack(">II", mask.shape[1], mask.shape[0]) + b"\x08\0\0\0\0"
    stream = zlib.decompressobj()
    rows = np.frombuffer(stream.decompress(parts[b"IDAT"]), dtype=np.uint8)
    assert stream.eof
    assert not stream.unused_data
    rows = rows.reshape(len(mask), -1)
    assert not rows[:, 0].any()
    assert np.array_equal(rows[:, 1:], mask * np.uint8(255))
    with Image.open(io.BytesIO(content)) as image:
        assert image.mode == "L"
        assert np.array_equal(np.asarray(image), mask * np.uint8(255))
    return content


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=20)))
def test_any_mask_is_read_back(mask: np.ndarray) -> None:
    check(mask)


@given(st.lists(st.integers(1, 1100), min_size=1, max_size=20), st.booleans())
def test_runs_of_any_length_are_read_back(lengths: list[int], first: bool) -> None:
    """Repetitions have at most 258 bytes; what is left over has words of its own."""
    sides = (np.arange(len(lengths)) + first) % 2 == 1
    check(np.repeat(sides, lengths)[None])


@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 257), (1, 258), (1, 259), (300, 1), (700, 900)])
def test_a_mask_of_one_value_is_read_back(shape: tuple[int, int], marked: bool) -> None:
    check(np.full(shape, marked))


def test_a_photograph_s_mask_is_small_and_always_the_same() -> None:
    rows, columns = np.mgrid[:2848, :4288]
    disc = (rows - 1400) ** 2 + (columns - 3200) ** 2 < 260**2
    content = check(disc)
    assert len(content) < 15_000
    assert content == written(disc)

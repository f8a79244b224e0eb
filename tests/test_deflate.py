import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retq_hub.deflate import ON, zlib_stream


def plain(edges: list[int], total: int) -> bytes:
    content = bytearray(total)
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        content[start:end] = bytes([ON]) * (end - start)
    return bytes(content)


@given(st.sets(st.integers(1, 3000), max_size=30), st.integers(0, 600))
def test_a_strict_reader_gets_the_bytes_back(places: set[int], beyond: int) -> None:
    edges = sorted(places)[: len(places) // 2 * 2]
    total = (edges[-1] if edges else 1) + beyond
    stream = zlib_stream(np.array(edges, dtype=np.int64), total)
    reader = zlib.decompressobj()
    assert reader.decompress(stream) == plain(edges, total)
    assert reader.eof
    assert not reader.unused_data


def test_the_checksum_is_right_where_sums_are_large() -> None:
    """Twenty million bytes: the second sum of the checksum wraps round many times."""
    edges, total = np.array([1, 12_000_000, 12_000_001, 20_000_000]), 20_000_001
    stream = zlib_stream(edges, total)
    assert zlib.decompress(stream) == plain(edges.tolist(), total)
    assert len(stream) < total // 900

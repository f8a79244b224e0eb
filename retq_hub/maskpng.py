"""The PNG of a mask, straight from its runs: 8-bit grey, 0 is background and 255 the target.

Source: the PNG specification, third edition.
"""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from retq_hub.deflate import zlib_stream
from retq_hub.runs import strips

__all__ = ["mask_png"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY_8_BIT = bytes([8, 0, 0, 0, 0])


def mask_png(runs: NDArray[np.uint32], width: int, height: int) -> bytes:
    """Give a mask as the bytes of a PNG file; the same mask always gives the same.

    Args:
        runs: Those of `retq_hub.runs.encode`.
        width: W.
        height: H.
    """
    rows, starts, ends = strips(runs, width)
    # A row is its filter, 0 for none, and then its pixels: so no row begins with the target.
    begin = rows * (width + 1) + 1
    edges = np.stack([begin + starts, begin + ends], axis=1).ravel()
    return b"".join(
        [
            _SIGNATURE,
            _chunk(b"IHDR", struct.pack(">II", width, height) + _GREY_8_BIT),
            _chunk(b"IDAT", zlib_stream(edges, (width + 1) * height)),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

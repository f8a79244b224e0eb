"""Streams of two bytes in turns, compressed straight from their runs.

A compressor has to look at every byte: of a mask that is 12 million. But deflate knows runs itself:
a byte, and then "the last byte again, up to 258 times". So runs are written in its words, all by
one table of codes in which the longest repetition is two bits that are zero: it needs no writing at
all, and the cost goes with the number of runs, not with that of bytes.

Source: RFC 1951 (deflate), RFC 1950 (zlib).
"""

import struct
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["ON", "zlib_stream"]

ON = 255
"""The byte that takes turns with 0."""

_LONGEST = 258
_MODULUS = 65521
_N_SYMBOLS, _END, _FIRST_LENGTH = 286, 256, 257

_LENGTHS = {0: 3, ON: 3} | dict(enumerate([8] * 18 + [7] * 7 + [5] * 4 + [1], start=_END))
"""Bits of each word: the longest repetition has one, long ones have few, as most rests are long."""

_META_LENGTHS = {1: 3, 3: 3, 5: 3, 7: 2, 8: 2, 18: 3}
"""Bits of the words in which these lengths are written; 18 is: so many zeros."""

_META_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
_ZEROS, _LEAST_ZEROS, _MOST_ZEROS = 18, 11, 138


class _Bits(NamedTuple):
    """Some bits, the lowest first."""

    value: int
    length: int

    def __add__(self, other: "_Bits") -> "_Bits":  # type: ignore[override]
        """Give these bits and then others."""
        return _Bits(self.value | other.value << self.length, self.length + other.length)


class _Table(NamedTuple):
    """What is written, the first axis being which of the two bytes it is about.

    Attributes:
        head: The beginning of a stream.
        end: Its last word.
        once: (2,) int64, the byte itself.
        once_bits: (2,) int64, how many bits that has.
        again: (2, 258) int64, the last byte so many times again.
        again_bits: (2, 258) int64, how many bits that has.
    """

    head: _Bits
    end: _Bits
    once: NDArray[np.int64]
    once_bits: NDArray[np.int64]
    again: NDArray[np.int64]
    again_bits: NDArray[np.int64]


def zlib_stream(edges: NDArray[np.int64], total: int) -> bytes:
    """Compress bytes that are 0, but 255 from each even edge to the odd one after it.

    Args:
        edges: (2k,) int64, ascending, all different; the first is positive.
        total: How many bytes there are, at least 1.

    Returns:
        A zlib stream; the same edges always give the same.
    """
    lengths = np.diff(edges, prepend=0, append=total)
    if not lengths[-1]:
        lengths = lengths[:-1]
    return b"\x78\x01" + _deflated(lengths) + struct.pack(">I", _adler32(edges, total))


def _deflated(lengths: NDArray[np.int64]) -> bytes:
    """Compress runs of 0 and 255 in turns; all are positive."""
    table = _table()
    times, rest = np.divmod(lengths - 1, _LONGEST)
    which = np.arange(len(lengths)) & 1
    ahead = table.once_bits[which] + 2 * times
    n_bits = ahead + table.again_bits[which, rest]
    ends = table.head.length + np.cumsum(n_bits)
    begins = ends - n_bits
    return _packed(
        np.concatenate([begins, begins + ahead]),
        np.concatenate([table.once[which], table.again[which, rest]]),
        head=table.head,
        end=table.end,
        end_at=int(ends[-1]),
    )


def _packed(
    places: NDArray[np.int64], values: NDArray[np.int64], *, head: _Bits, end: _Bits, end_at: int
) -> bytes:
    """Write values of at most 31 bits at places that they do not share, in words of 32 bits."""
    n_words = (end_at + end.length) // 32 + 2
    shifted = values << (places & 31)
    words = np.bincount(places >> 5, shifted & 0xFFFFFFFF, n_words)
    words[1:] += np.bincount(places >> 5, shifted >> 32, n_words)[:-1]
    content = bytearray(words.astype("<u4").tobytes())
    for bits, place in ((head, 0), (end, end_at)):
        first, size = place // 8, (place % 8 + bits.length + 7) // 8
        here = int.from_bytes(content[first : first + size], "little")
        content[first : first + size] = (here | bits.value << place % 8).to_bytes(size, "little")
    return bytes(content[: (end_at + end.length + 7) // 8])


def _adler32(edges: NDArray[np.int64], total: int) -> int:
    """Give the checksum: two sums; each byte counts in the second as often as bytes are left."""
    starts, ends = edges[::2], edges[1::2]
    first = 1 + ON * int((ends - starts).sum())
    left = (ends - starts) * (2 * total + 1 - starts - ends) // 2
    second = total + ON * int((left % _MODULUS).sum())
    return second % _MODULUS << 16 | first % _MODULUS


@lru_cache(maxsize=1)
def _table() -> _Table:
    words = _codes(_LENGTHS)
    again = [_repetitions(words, byte) for byte in (0, ON)]
    return _Table(
        head=_head(),
        end=words[_END],
        once=np.array([words[0].value, words[ON].value]),
        once_bits=np.array([words[0].length, words[ON].length]),
        again=np.array([[one.value for one in row] for row in again]),
        again_bits=np.array([[one.length for one in row] for row in again]),
    )


def _repetitions(words: dict[int, _Bits], byte: int) -> list[_Bits]:
    """Give how to say: the last byte again, 0 to 257 times; once and twice it is said itself."""
    nearest = _Bits(0, 1)
    found = [_Bits(0, 0), words[byte], words[byte] + words[byte]]
    for symbol in range(_FIRST_LENGTH, _N_SYMBOLS - 1):
        n_extra = max(0, (symbol - _FIRST_LENGTH) // 4 - 1)
        found += [words[symbol] + _Bits(extra, n_extra) + nearest for extra in range(1 << n_extra)]
    return found[:_LONGEST]


def _codes(lengths: dict[int, int]) -> dict[int, _Bits]:
    """Give the code of each symbol by the lengths of all: short ones first, then by symbol."""
    code, before, found = 0, 0, {}
    for symbol, length in sorted(lengths.items(), key=lambda one: (one[1], one[0])):
        code <<= length - before
        found[symbol] = _Bits(int(f"{code:0{length}b}"[::-1], 2), length)
        code, before = code + 1, length
    return found


def _head() -> _Bits:
    """Give the beginning: this is the last block, its table follows, and how long its words are."""
    n_meta = max(_META_ORDER.index(one) for one in _META_LENGTHS) + 1
    head = _Bits(1, 1) + _Bits(2, 2)
    head += _Bits(_N_SYMBOLS - 257, 5) + _Bits(1, 5) + _Bits(n_meta - 4, 4)
    for symbol in _META_ORDER[:n_meta]:
        head += _Bits(_META_LENGTHS.get(symbol, 0), 3)
    words, zeros = _codes(_META_LENGTHS), 0
    for length in [*(_LENGTHS.get(one, 0) for one in range(_N_SYMBOLS)), 1, 1]:
        zeros = zeros + 1 if not length else zeros
        if zeros and (length or zeros == _MOST_ZEROS):
            head += words[_ZEROS] + _Bits(zeros - _LEAST_ZEROS, 7)
            zeros = 0
        if length:
            head += words[length]
    return head

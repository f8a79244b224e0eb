"""Many lines of text in one piece of memory, sorted by a key that each begins with."""

from collections.abc import Iterator, Sequence

__all__ = ["Lines"]

_PIECE_BYTES = 2**16


class Lines:
    """Sorted lines, found by their key or by a part of them.

    Places are offsets into the text; a line's place is that of its first byte.

    Args:
        text: Holds the lines, and perhaps more before and after them.
        start: Place of the first line.
        stop: End of the last line, after its line break.
        opening: What each line begins with; its key follows, up to the next quotation mark.
    """

    def __init__(self, text: bytes, *, start: int, stop: int, opening: bytes) -> None:
        self._text = text
        self.start = start
        self.stop = stop
        self._opening = opening

    def line(self, place: int, *, most: int) -> bytes:
        """Give a line without its line break; of a longer one no more bytes than ``most``."""
        return self._text[place : min(place + most, self._text.find(b"\n", place))]

    def after(self, place: int) -> int:
        """Give the place of the next line, or the end."""
        return self._text.find(b"\n", place) + 1

    def key(self, place: int) -> bytes:
        """Give a line's key; empty if it begins in another way."""
        start = place + len(self._opening)
        if self._text[place:start] != self._opening:
            return b""
        return self._text[start : self._text.find(b'"', start)]

    def lowest(self, key: bytes) -> int:
        """Give the place of the first line whose key is not below ``key``, or the end."""
        low, high = self.start, self.stop
        while low < high:
            place = self.first(low, (low + high) // 2)
            if self.key(place) < key:
                low = self.after(place)
            else:
                high = place
        return low

    def first(self, low: int, place: int) -> int:
        """Give the place of the line that holds a byte, at least ``low``."""
        return max(low, self._text.rfind(b"\n", low, place) + 1)

    def places(self) -> Iterator[int]:
        """Give the places of all lines."""
        place = self.start
        while place < self.stop:
            yield place
            place = self.after(place)

    def holding(self, needles: Sequence[bytes]) -> Iterator[int]:
        """Give the places of the lines that hold some texts, whatever the case of ASCII letters.

        Args:
            needles: In lower case, without line breaks; the first is best a rare one.
        """
        if not needles:
            yield from self.places()
            return
        rare, others = needles[0], needles[1:]
        start = self.start
        while start < self.stop:
            stop = self._text.find(b"\n", min(start + _PIECE_BYTES, self.stop - 1)) + 1
            piece = self._text[start:stop].lower()
            found = piece.find(rare)
            while found >= 0:
                first, end = piece.rfind(b"\n", 0, found) + 1, piece.find(b"\n", found)
                if all(piece.find(one, first, end) >= 0 for one in others):
                    yield start + first
                found = piece.find(rare, end)
            start = stop

"""What a pull request changes, as a text that people read."""

import difflib
from collections.abc import Callable, Iterator

from retq_hub.server.trees import Entry, Tree, changes

__all__ = ["unified"]

_MAX_LINES = 5000
_MAX_BYTES = 2**20
_MAX_STEPS = 8_000_000


def unified(old: Tree, new: Tree, read: Callable[[Entry], bytes]) -> str:
    """Give the difference of two commits in git's unified form.

    Files that are binary, and those that would take long to compare, are only named. It ends after
    5000 lines.

    Args:
        old: The files before.
        new: The files after.
        read: Gives a file's content.
    """
    lines: list[str] = []
    budget = _Budget(read)
    for path in changes(old, new):
        lines += _file(path, old.get(path), new.get(path), budget)
        if len(lines) > _MAX_LINES:
            lines[_MAX_LINES:] = ["... (cut)"]
            break
    return "".join(f"{line}\n" for line in lines)


class _Budget:
    """Reads files as long as little was read, and little is to be compared.

    Comparing takes about as many steps as the product of both sides' lines; anybody may ask for it.
    """

    def __init__(self, read: Callable[[Entry], bytes]) -> None:
        self._read = read
        self._bytes = _MAX_BYTES
        self._steps = _MAX_STEPS

    def texts(self, old: Entry | None, new: Entry | None) -> tuple[list[str], list[str]] | None:
        """Give the lines of both sides; None if they are not to be compared."""
        there = [one for one in (old, new) if one]
        size = sum(one.size for one in there)
        if any(one.lfs for one in there) or size > self._bytes:
            return None
        self._bytes -= size
        was, now = self._lines(old), self._lines(new)
        steps = len(was) * len(now)
        if steps > self._steps:
            return None
        self._steps -= steps
        return was, now

    def _lines(self, entry: Entry | None) -> list[str]:
        if entry is None:
            return []
        return self._read(entry).decode("utf-8", errors="replace").splitlines()


def _file(path: str, old: Entry | None, new: Entry | None, budget: _Budget) -> Iterator[str]:
    yield f"diff --git a/{path} b/{path}"
    if old is None:
        yield "new file mode 100644"
    if new is None:
        yield "deleted file mode 100644"
    before = f"a/{path}" if old else "/dev/null"
    after = f"b/{path}" if new else "/dev/null"
    if texts := budget.texts(old, new):
        yield from difflib.unified_diff(*texts, before, after, lineterm="")
    else:
        yield f"Binary files {before} and {after} differ"

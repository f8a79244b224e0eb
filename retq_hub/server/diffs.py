"""What a pull request changes, as a text that people read."""

import difflib
from collections.abc import Callable, Iterator

from retq_hub.server.trees import Entry, Tree, changes

__all__ = ["unified"]

_MAX_FILE = 2**18
_MAX_LINES = 5000


def unified(old: Tree, new: Tree, read: Callable[[Entry], bytes]) -> str:
    """Give the difference of two commits in git's unified form.

    Files that are binary or larger than 256 KiB are only named, and it ends after 5000 lines.

    Args:
        old: The files before.
        new: The files after.
        read: Gives a file's content.
    """
    lines: list[str] = []
    for path in changes(old, new):
        lines += _file(path, old.get(path), new.get(path), read)
        if len(lines) > _MAX_LINES:
            lines[_MAX_LINES:] = ["... (cut)"]
            break
    return "".join(f"{line}\n" for line in lines)


def _file(
    path: str, old: Entry | None, new: Entry | None, read: Callable[[Entry], bytes]
) -> Iterator[str]:
    yield f"diff --git a/{path} b/{path}"
    if old is None:
        yield "new file mode 100644"
    if new is None:
        yield "deleted file mode 100644"
    before = f"a/{path}" if old else "/dev/null"
    after = f"b/{path}" if new else "/dev/null"
    if any(one and (one.lfs or one.size > _MAX_FILE) for one in (old, new)):
        yield f"Binary files {before} and {after} differ"
        return
    was, is_now = (_text_lines(read(one)) if one else [] for one in (old, new))
    yield from difflib.unified_diff(was, is_now, before, after, lineterm="")


def _text_lines(data: bytes) -> list[str]:
    return data.decode("utf-8", errors="replace").splitlines()

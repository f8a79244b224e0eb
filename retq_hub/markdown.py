"""Pieces of Markdown: text from anywhere comes out as text, addresses are checked.

What is escaped is what GitHub's flavour and the Hub's renderer give a meaning: emphasis, code,
links, HTML, tables, formulas, and what begins a heading, a list or a quotation.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from urllib.parse import quote, urlsplit

__all__ = ["doi_link", "inline", "link", "table"]

_SPECIAL = re.compile(r"[\\`*_\[\]|~$]")
_OPENING = re.compile(r"^(?:[#+=:-]|\d+(?=[.)](?:\s|$)))")
_ENTITY = re.compile(r"&(?=#|[A-Za-z])")
_DOI = re.compile(r"10\.[0-9]{4,9}/[!-~]+")
_BIDIRECTIONAL = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])
"""Controls that turn the direction of the text after them: with them a line can lie."""


def inline(text: str) -> str:
    """Give text as one line of Markdown that reads as it was written, wherever it stands."""
    kept = "".join(one for one in text if one.isspace() or unicodedata.category(one) != "Cc")
    line = " ".join(kept.translate(_BIDIRECTIONAL).split())
    line = _ENTITY.sub("&amp;", line).replace("<", "&lt;").replace(">", "&gt;")
    line = _SPECIAL.sub(r"\\\g<0>", line)
    return _OPENING.sub(_guarded, line, count=1)


def link(url: str | None, text: str) -> str:
    """Give text with a link; without one if the address is not one of the web.

    Args:
        url: An address from anywhere; None: there is none.
        text: Plain text.
    """
    if url is None or not _is_web(url):
        return inline(text)
    return f"[{inline(text)}]({quote(url, safe='/:?#@!$&*+,;=%~-._')})"


def doi_link(doi: str) -> str:
    """Give a DOI with a link to what it names; without one if it is not formed like a DOI."""
    if not _DOI.fullmatch(doi):
        return inline(doi)
    return link(f"https://doi.org/{quote(doi, safe='/')}", f"doi:{doi}")


def table(header: Sequence[str], rows: Iterable[Iterable[str]], *, right: int = 0) -> str:
    """Give a table.

    Args:
        header: The headings.
        rows: The cells, which are Markdown already, of one line each.
        right: So many of the last columns are aligned right.
    """
    rules = ["---"] * (len(header) - right) + ["--:"] * right
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rules, *rows))


def _guarded(found: re.Match[str]) -> str:
    """Keep the beginning of a line from beginning a heading, a list or a rule."""
    return found[0] + "\\" if found[0].isdigit() else "\\" + found[0]


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)

"""A search as the query string of a page's address: read from it, and written to it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from retq_hub.gallery.shelf import FACETS, SORTS, Wanted

__all__ = ["page_numbers", "read", "write"]

_LONGEST = 200
_LAST_PAGE = 100_000
_KEYS = {"words": "words", "min_dice": "dice", "sort": "sort", "page": "page"} | {
    name: name for name in FACETS
}


def read(query: Mapping[str, str]) -> Wanted:
    """Give the search that an address asks for; what makes no sense in it is ignored."""
    texts = {name: _text(query.get(name, "")) for name in ("words", *FACETS)}
    sort = query.get("sort", "")
    return Wanted(
        words=texts["words"],
        kind=texts["kind"],
        target=texts["target"],
        backbone=texts["backbone"],
        dataset=texts["dataset"],
        licence=texts["licence"],
        min_dice=_share(query.get("dice", "")),
        sort=sort if sort in SORTS else Wanted.sort,
        page=_page(query.get("page", "")),
    )


def write(wanted: Wanted, **changes: Any) -> str:  # noqa: ANN401 - members of Wanted
    """Give the address of a search, changed in some members; changes lead to its first page.

    Args:
        wanted: A search.
        changes: Members of it that differ.
    """
    changed = replace(wanted, **({"page": 1} | changes))
    plain = Wanted()
    members = {
        key: _number(getattr(changed, name))
        for name, key in _KEYS.items()
        if getattr(changed, name) != getattr(plain, name)
    }
    return f"/?{urlencode(members)}" if members else "/"


def page_numbers(page: int, pages: int) -> list[int]:
    """Give the pages to link to: the first, the last, and those around this one; 0 is a gap."""
    near = {1, pages, *range(max(1, page - 1), min(pages, page + 1) + 1)}
    numbers: list[int] = []
    for one in sorted(near):
        if numbers and one - numbers[-1] > 1:
            numbers.append(0 if one - numbers[-1] > 2 else one - 1)
        numbers.append(one)
    return numbers


def _text(value: str) -> str:
    return " ".join(value.split())[:_LONGEST]


def _share(value: str) -> float | None:
    try:
        share = float(value.replace(",", "."))
    except ValueError:
        return None
    return share if 0 < share <= 1 else None


def _page(value: str) -> int:
    if not (value.isascii() and value.isdecimal()) or len(value) > len(str(_LAST_PAGE)):
        return 1
    return min(max(1, int(value)), _LAST_PAGE)


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)

"""The first page: all queries of a hub, searched, narrowed, sorted, page by page."""

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import Response

from retq_hub.gallery import address
from retq_hub.gallery.pages import render
from retq_hub.gallery.shelf import FACETS, SORTS, Choice, Found, Shelf, Wanted

__all__ = ["PAGE_SIZE", "Browse"]

PAGE_SIZE = 24

_TITLES = {
    "kind": "Kind",
    "target": "Target",
    "backbone": "Backbone",
    "dataset": "Data set",
    "licence": "Licence",
    "words": "Words",
}
_ORDERS = {"newest": "Last changed", "dice": "Highest Dice", "name": "Name"}


class Browse:
    """Answers ``GET /``.

    Args:
        shelf: The hub.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def show(self, request: Request) -> Response:
        """Give one page of a search."""
        wanted = address.read(request.query_params)
        found = self._shelf.search(wanted, size=PAGE_SIZE)
        pages = max(1, -(-found.total // PAGE_SIZE))
        context = {
            "here": "browse",
            "wanted": wanted,
            "found": found,
            "pages": pages,
            "numbers": address.page_numbers(min(wanted.page, pages), pages),
            "first": (wanted.page - 1) * PAGE_SIZE + 1,
            "selects": [(name, _TITLES[name], _choices(found, wanted, name)) for name in FACETS],
            "orders": [(name, _ORDERS[name]) for name in SORTS],
            "narrowed": list(_narrowed(wanted)),
        }
        return render("browse.html", context)


def _choices(found: Found, wanted: Wanted, name: str) -> list[Choice]:
    """Give what can be chosen; what is chosen is among it, although it may be rare."""
    choices = list(found.choices.get(name, ()))
    chosen = getattr(wanted, name)
    if chosen and chosen not in [one.value for one in choices]:
        choices.append(Choice(value=chosen, count=0))
    return choices


def _narrowed(wanted: Wanted) -> Iterator[tuple[str, str]]:
    """Name each part of a search, with the address of the search without it."""
    for name, title in _TITLES.items():
        if value := getattr(wanted, name):
            yield f"{title}: {value}", address.write(wanted, **{name: ""})
    if wanted.min_dice is not None:
        yield f"Dice at least {wanted.min_dice:g}", address.write(wanted, min_dice=None)

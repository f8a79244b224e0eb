"""The page on which queries are tried: choose some, give a photograph, see what they mark."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from retq_hub.embedded import EXAMPLE_IMAGE
from retq_hub.errors import ImageError, NetworkError, RetqError
from retq_hub.gallery.bench import MAX_QUERIES, Bench, Full
from retq_hub.gallery.pages import render
from retq_hub.gallery.shelf import Item, Shelf, Wanted
from retq_hub.gallery.upload import MAX_BYTES, MAX_MB, Form, read_form
from retq_hub.images import decode, decode_bytes
from retq_hub.spec import BackboneSpec

__all__ = ["Trial"]

_OFFERED = 24
_TICKED = 3
_RETRY_S = 20
_KINDS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"II*\0", b"MM\0*", b"BM")
"""How the files of the kinds that are read begin."""


class Trial:
    """Answers ``GET`` and ``POST /apply``.

    Args:
        shelf: The hub.
        bench: Where photographs are worked on.
        backbones: The backbones that this installation knows; those of others are not offered.
    """

    def __init__(
        self, shelf: Shelf, *, bench: Bench, backbones: Mapping[str, BackboneSpec]
    ) -> None:
        self._shelf = shelf
        self._bench = bench
        self._backbones = backbones

    def ask(self, request: Request) -> Response:
        """Give the form."""
        query = request.query_params
        chosen = self._items(query.getlist("q")[:MAX_QUERIES])
        words = query.get("words", "")
        return self._page(self._choice(query.get("backbone", ""), chosen, words=words))

    async def answer(self, request: Request) -> Response:
        """Give what the queries mark on the photograph that was sent, or say why not."""
        form = Form(repos=(), backbone="", example=False, content=b"")
        try:
            with self._bench.place():
                form = await read_form(request)
                return await run_in_threadpool(self._apply, form)
        except Full as error:
            line, status, again = str(error), 503, {"Retry-After": str(_RETRY_S)}
        except HTTPException as error:
            line, status, again = error.detail, error.status_code, {}
        except ImageError as error:
            line, again = str(error), {}
            status = 400 if not form.content or form.content.startswith(_KINDS) else 415
        except RetqError as error:
            line, again = str(error), {}
            status = 503 if isinstance(error, NetworkError) else 400
        choice = await run_in_threadpool(self._again, form)
        return self._page(choice | {"line": _sentence(line)}, status=status, headers=again)

    def _apply(self, form: Form) -> Response:
        items = self._items(form.repos[: MAX_QUERIES + 1])
        with self._bench.turn():
            image = _photograph(form)
            found = self._bench.apply(items, image)

            from retq_hub.gallery.layers import Picture

            picture = Picture(image, found)
        shown = {
            "picture": picture,
            "size": image.size,
            "is_example": form.example,
            "backbone": self._backbones.get(_backbone(items)),
        }
        return self._page(self._choice("", items) | shown)

    def _again(self, form: Form) -> dict[str, Any]:
        return self._choice(form.backbone, self._items(form.repos[:MAX_QUERIES]))

    def _items(self, repos: Iterable[str]) -> list[Item]:
        """Give the queries that are there, intact, open, and of a known backbone."""
        exhibits = [self._shelf.exhibit(one) for one in repos if one.count("/") == 1]
        items = [one.item for one in exhibits if one is not None]
        return [
            one
            for one in items
            if one.manifest
            and one.intact
            and not one.gated
            and one.manifest.backbone.id in self._backbones
        ]

    def _choice(self, backbone: str, chosen: Sequence[Item], *, words: str = "") -> dict[str, Any]:
        """Give what the form offers: one backbone's queries, those that were chosen first."""
        counted = self._shelf.search(Wanted(usable=True), size=1).choices.get("backbone", ())
        known = [one for one in counted if one.value in self._backbones]
        backbone = backbone or _backbone(chosen) or next((one.value for one in known), "")
        wanted = Wanted(words=words, backbone=backbone, usable=True)
        found = self._shelf.search(wanted, size=_OFFERED)
        kept = {one.repo: one for one in chosen if _backbone([one]) == backbone}
        offered = {one.repo: one for one in found.items} if backbone in self._backbones else {}
        ticked = set(kept or _cheapest(offered.values()))
        return {
            "here": "apply",
            "backbones": known,
            "chosen_backbone": backbone,
            "words": words,
            "offered": list((kept | offered).values()),
            "ticked": ticked,
            "total": found.total,
            "kept": list(kept),
            "max_queries": MAX_QUERIES,
            "max_mb": MAX_MB,
            "max_bytes": MAX_BYTES,
            "picture": None,
            "line": "",
        }

    def _page(
        self, context: dict[str, Any], *, status: int = 200, headers: dict[str, str] | None = None
    ) -> Response:
        private = {"Cache-Control": "no-store"} if context["picture"] else {}
        return render("apply.html", context, status=status, headers=private | (headers or {}))


def _photograph(form: Form) -> Image.Image:
    if form.example:
        return decode(EXAMPLE_IMAGE)
    if not form.content:
        raise ImageError("no photograph was chosen", hint="choose one, or take the example")
    return decode_bytes(form.content, "the photograph")


def _cheapest(items: Iterable[Item]) -> list[str]:
    """Give the queries to begin with: of different targets, those of the fewest passes."""
    first: dict[str, str] = {}
    for one in sorted(items, key=lambda item: item.passes):
        first.setdefault(one.manifest.targets[0].label if one.manifest else "", one.repo)
    return list(first.values())[:_TICKED]


def _backbone(items: Sequence[Item]) -> str:
    return next((one.manifest.backbone.id for one in items if one.manifest), "")


def _sentence(line: str) -> str:
    """Make a sentence of an error's line; names at its beginning stay as they are."""
    first = line.partition(" ")[0]
    return f"{line[:1].upper() if first.isalpha() else line[:1]}{line[1:].rstrip('.')}."

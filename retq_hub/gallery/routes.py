"""The gallery's addresses, put together in one place."""

from collections.abc import Callable

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from retq_hub import registry
from retq_hub.gallery.bench import Bench
from retq_hub.gallery.browse import Browse
from retq_hub.gallery.pages import STATIC, Guard, refuse
from retq_hub.gallery.pictures import Pictures
from retq_hub.gallery.placard import Placard
from retq_hub.gallery.shelf import Shelf
from retq_hub.gallery.trial import Trial

__all__ = ["routes"]

_KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def routes(shelf: Shelf, *, bench: Bench | None = None) -> list[BaseRoute]:
    """Give the routes of a hub's pages.

    They take all that is asked for by GET, so they belong behind a hub's own.

    Args:
        shelf: The hub.
        bench: Where photographs are tried; one of its own if not given.
    """
    backbones = registry.backbone_specs()
    trial = Trial(shelf, bench=bench or Bench(shelf), backbones=backbones)
    placard, pictures = Placard(shelf, backbones=backbones), Pictures(shelf)
    return [
        _route("/", Browse(shelf).show),
        _route("/apply", trial.ask),
        _route("/apply", trial.answer, method="POST"),
        _route("/-/picture/{size}/{namespace}/{name}/{commit}", pictures.show),
        _route("/-/{file}", _static),
        _route("/{namespace}/{name}", placard.show),
        _route("/{namespace}/{name}/tree/{revision:path}", placard.show),
        _route("/{namespace}/{name}/commit/{revision}", placard.show),
        _route("/{namespace}/{name}/discussions/{number:int}", placard.show),
        _route("/{rest:path}", _not_found),
    ]


def _not_found(request: Request) -> Response:
    """Say that an address leads nowhere: as a page to people, as JSON to programs."""
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"error": "Not found"}, 404)
    line = "This address leads nowhere."
    return refuse(request, 404, line, hint="It may be mistyped, or what was here is gone.")


def _route(path: str, endpoint: Callable[..., object], *, method: str = "GET") -> Route:
    return Route(path, endpoint, methods=[method], middleware=[Middleware(Guard)])


def _static(request: Request) -> Response:
    """Give a file that pages load; with the digest in its address it may be kept for ever."""
    name = request.path_params["file"]
    place = STATIC.joinpath(name)
    kind = _KINDS.get(name.rpartition(".")[2])
    if kind is None or "/" in name or not place.is_file():
        return refuse(request, 404, "There is no such file.")
    kept = "public, max-age=31536000, immutable" if "v" in request.query_params else "no-cache"
    return Response(place.read_bytes(), media_type=kind, headers={"Cache-Control": kept})

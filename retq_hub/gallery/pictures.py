"""Pictures of queries, drawn anew: what a stranger uploaded never reaches a browser as it is."""

import io
from collections import OrderedDict
from threading import Lock

from PIL import Image
from starlette.requests import Request
from starlette.responses import Response

from retq_hub.digest import bytes_digest
from retq_hub.errors import ImageError
from retq_hub.gallery.pages import STATIC
from retq_hub.gallery.shelf import Shelf
from retq_hub.images import decode_bytes
from retq_hub.picture import PICTURE

__all__ = ["SIZES", "Pictures"]

SIZES = {"small": 640, "large": 1600}
"""The longest side, in pixels, by a size's name."""

_MAX_BYTES = 10 * 2**20
_MAX_PIXELS = 20_000_000
_KEPT = 512


class Pictures:
    """Answers ``GET /-/picture/size/namespace/name/commit``; it keeps what it has drawn.

    Args:
        shelf: The hub.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._one_at_a_time = Lock()
        self._drawn: OrderedDict[tuple[str, int], bytes | None] = OrderedDict()

    def show(self, request: Request) -> Response:
        """Give a query's picture, or the drawing that stands in its place."""
        parts = request.path_params
        repo = f"{parts['namespace']}/{parts['name']}"
        size_px = SIZES.get(parts["size"])
        # Asked for each time: the repository may have become private since it was drawn.
        found = self._shelf.file(repo, parts["commit"], PICTURE, limit=_MAX_BYTES)
        drawn = self._draw(found, size_px) if found and size_px else None
        if drawn is None:
            stand_in = STATIC.joinpath("placeholder.svg").read_bytes()
            return Response(stand_in, 404, media_type="image/svg+xml")
        kept = {"Cache-Control": "private, max-age=31536000, immutable"}
        return Response(drawn, media_type="image/jpeg", headers=kept)

    def _draw(self, content: bytes, size_px: int) -> bytes | None:
        key = (bytes_digest(content), size_px)
        with self._one_at_a_time:
            if key not in self._drawn:
                self._drawn[key] = _redrawn(content, size_px)
                if len(self._drawn) > _KEPT:
                    self._drawn.popitem(last=False)
            self._drawn.move_to_end(key, last=True)
            return self._drawn[key]


def _redrawn(content: bytes, size_px: int) -> bytes | None:
    try:
        picture = decode_bytes(content, PICTURE, max_pixels=_MAX_PIXELS)
    except ImageError:
        return None
    picture.thumbnail((size_px, size_px), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=86, optimize=True, progressive=True)
    return stream.getvalue()

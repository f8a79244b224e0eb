"""Bases in short: ``2x2:7 + 1x1:3,7`` is block 7 of 2 x 2 tiles, blocks 3 and 7 of the whole image.

A pass is ``TILESxTILES[@SIZE][/OVERLAP]:LAYERS``; size and overlap in pixels; without a size the
backbone's own. Layers alone, ``3,7``, are those of the whole image.
"""

import re

from retq_hub.errors import UsageError
from retq_hub.manifest import Basis, Pass

__all__ = ["parse", "written"]

_PASS = re.compile(r"(\d{1,2})x(\d{1,2})(?:@([1-9]\d{0,3}))?(?:/(\d{1,4}))?:(\d{1,3}(?:,\d{1,3})*)")


def parse(text: str, *, size_px: int, views: tuple[str, ...] | None = None) -> Basis:
    """Read a basis.

    Args:
        text: Passes, joined by ``+``.
        size_px: The backbone's own input size.
        views: Views that tokens are averaged over.

    Raises:
        UsageError: It is no basis.
    """
    passes = []
    for part in text.replace(" ", "").split("+"):
        found = _PASS.fullmatch(part if ":" in part else f"1x1:{part}")
        if found is None or found[1] != found[2] or int(found[1]) == 0:
            raise UsageError(f"{part!r} is no pass", hint="such as 2x2:7 or 1x1@392:3,7")
        layers = tuple(int(layer) for layer in found[5].split(","))
        if len(set(layers)) != len(layers):
            raise UsageError(f"{part!r} names a layer twice", hint="name each once")
        passes.append(
            Pass(
                size_px=int(found[3] or size_px),
                tiles=int(found[1]),
                layers=layers,
                overlap_px=int(found[4]) if found[4] and int(found[4]) else None,
            )
        )
    return Basis(passes=tuple(passes), norm=True, views=views)


def written(basis: Basis, *, size_px: int) -> str:
    """Write a basis in short, the views last.

    Args:
        basis: The basis.
        size_px: The backbone's own input size, which is left out.
    """
    parts = [_written(one, size_px) for one in basis.passes]
    views = f" ({', '.join(basis.views)})" if basis.views else ""
    pixels = ["pixels"] if basis.pixels else []
    return " + ".join([*parts, *pixels]) + views


def _written(one: Pass, size_px: int) -> str:
    size = "" if one.size_px == size_px else f"@{one.size_px}"
    overlap = f"/{one.overlap_px}" if one.overlap_px else ""
    return f"{one.tiles}x{one.tiles}{size}{overlap}:{','.join(map(str, one.layers))}"

"""Bases and heads in words.

``2x2:7 + 1x1:3,7`` is block 7 of 2 x 2 tiles beside blocks 3 and 7 of the whole image.
A pass is ``TILESxTILES[@SIZE][/OVERLAP]:LAYERS``; size and overlap in pixels; without a size the
backbone's own. Layers alone, ``3,7``, are those of the whole image. ``+ pixels`` at the end adds
pixel channels.
"""

import re
from dataclasses import replace

from retq_hub.basis import Basis, Pass
from retq_hub.channels import METHOD, N_CHANNELS
from retq_hub.errors import UsageError
from retq_hub.manifest import Head, QueryManifest

__all__ = ["answer", "looks", "meaning", "parse", "pooled", "upsampling", "width", "written"]

_PASS = re.compile(r"(\d{1,2})x(\d{1,2})(?:@([1-9]\d{0,3}))?(?:/(\d{1,4}))?:(\d{1,3}(?:,\d{1,3})*)")


def parse(text: str, *, size_px: int, views: tuple[str, ...] | None = None) -> Basis:
    """Read a basis.

    Args:
        text: Passes, and perhaps ``pixels`` at the end, joined by ``+``.
        size_px: The backbone's own input size.
        views: Views that tokens are averaged over.

    Raises:
        UsageError: It is no basis.
    """
    passes = []
    *parts, last = text.replace(" ", "").split("+")
    pixels = METHOD if parts and last == "pixels" else None
    for part in parts if pixels else [*parts, last]:
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
    if len({replace(one, layers=()) for one in passes}) != len(passes):
        raise UsageError(f"{text!r} names a pass twice", hint="name all its layers at once")
    return Basis(passes=tuple(passes), norm=True, views=views, pixels=pixels)


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


def width(basis: Basis, token_width: int) -> int:
    """Give the floats of a vector for a backbone whose tokens have a width."""
    return token_width * len(basis.layers) + (N_CHANNELS if basis.pixels else 0)


def upsampling(head: Head) -> str:
    """Say in a line how a head comes from the grid to pixels."""
    if head.guided is None:
        return "bilinear"
    one = head.guided
    return (
        f"guided filter on the green channel, radius {one.radius_px} px of {one.size_px}, "
        f"epsilon {one.epsilon:g}"
    )


def meaning(head: Head) -> str:
    """Say in a line what a head's probabilities mean."""
    found = head.calibration
    if found is None:
        return "not calibrated"
    errors = ", ".join(f"{one:.4f}" for one in found.ece)
    before = ", ".join(f"{one:.4f}" for one in found.ece_before)
    error = f"calibration error {errors} on the held-out images it was fitted to, {before} without"
    if found.shift is None:
        return f"frequencies ({found.method}); {error}"
    shifts = ", ".join(f"{one:.2f}" for one in found.shift)
    return (
        f"0.5 is the best threshold (prior correction): their odds are higher than the frequency's "
        f"by exp({shifts}); {error}"
    )


def looks(manifest: QueryManifest) -> bool:
    """Whether a query weights an image's positions by attention, and so says where it looked."""
    return manifest.pooling is not None and manifest.pooling.method == "attention"


def pooled(manifest: QueryManifest, *, embedding: str, size_px: int) -> str:
    """Say in a line what of an image a classification reads.

    Args:
        manifest: Of a classification.
        embedding: How the backbone's own embedding is pooled; empty: not known.
        size_px: The backbone's own input size, which is left out.
    """
    how = manifest.pooling
    if how is None or how.method != "attention":
        means = f" ({embedding})" if embedding else ""
        return f"the backbone's image embedding{means}"
    first = "the mean of all tokens, then " if how.whole else ""
    said = f"{first}means of tokens weighted by attention ({how.weighting})"
    said += f", of {written(manifest.basis, size_px=size_px)}"
    looked = f"; attention reads {written(how.basis, size_px=size_px)}" if how.basis else ""
    return said + looked


def answer(head: Head) -> str:
    """Say in a line what the targets of a head are to each other."""
    if head.activation == "ordinal":
        return "one grade: the targets are in order"
    if head.activation == "softmax":
        return "one of the targets" + (
            ", or none" if head.background is None and head.thresholds else ""
        )
    return "each target for itself"


def _written(one: Pass, size_px: int) -> str:
    size = "" if one.size_px == size_px else f"@{one.size_px}"
    overlap = f"/{one.overlap_px}" if one.overlap_px else ""
    return f"{one.tiles}x{one.tiles}{size}{overlap}:{','.join(map(str, one.layers))}"

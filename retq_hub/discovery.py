"""Find queries in all registries and on the Hub, and say which fit the backbone at hand.

What a registry's index says was checked when the index was made; what a Hub lists is what its
authors claim.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retq_hub import registry, stock, weightfile
from retq_hub.compatibility import Equivalents, equivalents
from retq_hub.errors import NetworkError
from retq_hub.kinds import SEGMENTATION
from retq_hub.progress import Progress, tell
from retq_hub.record import Near
from retq_hub.soundness import is_repo, plain
from retq_hub.spec import BackboneSpec
from retq_hub.stock import Entry
from retq_hub.wish import Wish

if TYPE_CHECKING:
    from retq_hub.listing import Listing

__all__ = ["Hit", "at_hand", "hits", "search"]

_PATIENCE_S = 5.0
_LISTED = 1000
_PIPELINE = "retq-pipeline"


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A query that was found; what is not known of it is None.

    Attributes:
        name: What one asks for.
        registry: The registry that lists it; None for the Hub.
        fits: Whether it can be used with the backbone at hand.
        kind: One of `retq_hub.kinds.KINDS`.
        private: Only some may see it.
        gated: Its terms must be accepted first.
    """

    name: str
    targets: tuple[str, ...]
    datasets: tuple[str, ...]
    fits: bool | None
    kind: str = SEGMENTATION
    version: str | None = None
    summary: str | None = None
    backbone: str | None = None
    weights_digest: str | None = None
    preprocessing_digest: str | None = None
    floats: int | None = None
    licence: str | None = None
    dice: float | None = None
    auroc: float | None = None
    kappa: float | None = None
    digest: str | None = None
    registry: str | None = None
    path: str | None = None
    repo: str | None = None
    commit: str | None = None
    yanked: bool | str = False
    superseded_by: str | None = None
    near: tuple[Near, ...] | None = None
    private: bool = False
    gated: bool = False


def at_hand(spec: BackboneSpec) -> Equivalents:
    """Say with which weights a backbone runs here, and which others compute the same.

    Its weights are those in the cache, else those that the spec pins.
    """
    found = weightfile.cached(spec)
    others = registry.backbone_specs().values()
    return equivalents(spec, found.digest if found else None, others)


def hits(entries: Iterable[Entry], backbone: Equivalents) -> list[Hit]:
    """Say of entries whether they fit a backbone.

    Args:
        entries: Of registries.
        backbone: That at hand.
    """
    return [_of_entry(one, backbone) for one in entries]


def search(
    wish: Wish,
    backbone: Equivalents,
    *,
    on_hub: bool = True,
    limit: int | None = None,
    progress: Progress | None = None,
) -> list[Hit]:
    """Find queries: those of the registries by name, then those of the Hub that no registry lists.

    Args:
        wish: What somebody looks for.
        backbone: That at hand.
        on_hub: Ask the Hub too; if it does not answer within some seconds, that is said.
        limit: At most so many.
        progress: Where to say what could not be asked; a Python warning if not given.

    Raises:
        NotFoundError: A folder that is named as a registry has no index.
        ManifestError: Its index is broken.
    """
    found = hits(stock.search(wish, progress=progress), backbone)
    if on_hub and (limit is None or len(found) < limit):
        listed = {one.repo for one in found if one.repo}
        others = _listed(wish, backbone, progress)
        found += [one for one in others if one.repo not in listed]
    return found[:limit]


def _of_entry(entry: Entry, backbone: Equivalents) -> Hit:
    one = entry.record
    return Hit(
        registry=entry.registry,
        fits=backbone.fits(
            backbone=one.backbone,
            weights=one.weights_digest,
            preprocessing=one.preprocessing_digest,
        ),
        **(
            {name: getattr(one, name) for name in one.__struct_fields__}
            | {"kind": one.kind or SEGMENTATION}
        ),
    )


def _listed(wish: Wish, backbone: Equivalents, progress: Progress | None) -> list[Hit]:
    from retq_hub import listing

    digests = wish.backbone.weights if wish.backbone else ()
    try:
        found = listing.search(
            wish.words,
            kind=wish.kind,
            weights_digest=digests[0] if len(digests) == 1 else None,
            dataset=wish.dataset,
            licence=wish.licence,
            limit=_LISTED,
            patience_s=_PATIENCE_S,
        )
    except NetworkError as error:
        tell(progress, f"the Hub was not asked: {error.found}")
        return []
    return [
        Hit(
            name=one.repo,
            repo=one.repo,
            commit=plain(one.commit),
            targets=tuple(map(plain, one.targets)),
            datasets=tuple(map(plain, one.datasets)),
            weights_digest=plain(one.backbone) if one.backbone else None,
            licence=plain(one.licence) if one.licence else None,
            kind=one.kind,
            dice=one.dice,
            auroc=one.auroc,
            kappa=one.kappa,
            private=one.private,
            gated=one.gated,
            fits=_fits_listed(one.backbone, backbone),
        )
        for one in found
        if is_repo(one.repo)
        and _PIPELINE not in one.tags
        and _is_wanted(one, wish)
        and (len(digests) < 2 or _fits_listed(one.backbone, backbone))
    ]


def _fits_listed(weights: str, backbone: Equivalents) -> bool | None:
    """Judge by the first digits of the weights' digest, which is all that a Hub lists."""
    return backbone.fits(backbone=None, weights=weights or None, preprocessing=None)


def _is_wanted(listing: "Listing", wish: Wish) -> bool:
    """Whether a listing has the kind, the target and the Dice that are looked for.

    A Hub knows short names of targets only: ``disc`` is what `optic disc` looks for, too.
    """
    target = _words(wish.target or "")
    called = [_words(one) for one in listing.targets]
    is_target = not target or any(target in one or (one and one in target) for one in called)
    dice = listing.dice
    has_dice = wish.min_dice is None or (dice is not None and dice >= wish.min_dice)
    return is_target and has_dice and wish.kind in (None, listing.kind)


def _words(text: str) -> str:
    return text.lower().replace("-", " ").replace("_", " ")

"""The queries that a Hub lists, as they describe themselves: no request for each repository.

What a listing says is its author's claim; nothing of it is verified before the query is fetched.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from retq_hub.hub import reading
from retq_hub.hub.client import PATIENCE_S
from retq_hub.hub.reading import Described
from retq_hub.kinds import KINDS, SEGMENTATION
from retq_hub.metadata import KIND_TAG
from retq_hub.text import printable

__all__ = ["Listing", "search"]

_SCANNED = 5000
"""At most so many listings are looked through for words."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A repository with a query, as it describes itself.

    Attributes:
        repo: ``namespace/name``.
        commit: Of its main branch.
        targets: What it marks, without spaces.
        backbone: First 12 digits of the weights digest of its backbone; empty if it does not say.
        datasets: On which it was made or measured.
        licence: As the Hub writes it; empty if it does not say.
        kind: ``segmentation``, ``classification`` or ``text``.
        dice: Mean Dice of its first evaluation, if it gives one.
        auroc: AUROC of its first evaluation, likewise.
        kappa: Quadratic kappa, likewise.
        tags: All its tags.
    """

    repo: str
    commit: str
    targets: tuple[str, ...]
    backbone: str
    datasets: tuple[str, ...]
    licence: str
    kind: str
    dice: float | None
    auroc: float | None
    kappa: float | None
    gated: bool
    private: bool
    tags: tuple[str, ...]


def search(
    words: Sequence[str],
    *,
    target: str | None = None,
    kind: str | None = None,
    weights_digest: str | None = None,
    dataset: str | None = None,
    licence: str | None = None,
    limit: int,
    patience_s: float = PATIENCE_S,
) -> list[Listing]:
    """Find queries on the Hub.

    Args:
        words: All must occur in what the listing says, in any case.
        target: What it marks.
        kind: One of `retq_hub.kinds.KINDS`; those of the first carry no tag and are not told apart.
        weights_digest: Of the backbone that it was made for.
        dataset: On which it was made or measured.
        licence: An SPDX identifier.
        limit: At most so many.
        patience_s: For how long another request may begin.

    Raises:
        NetworkError: The Hub did not deliver.
    """
    filters = ["retq", "query-vector"]
    filters += [f"target:{target}"] if target else []
    filters += [f"{KIND_TAG}{kind}"] if kind not in (None, SEGMENTATION) else []
    filters += [f"retq-backbone:{weights_digest[:12]}"] if weights_digest else []
    filters += [f"license:{licence.lower()}"] if licence else []
    wanted = [word.lower() for word in words]
    scanned = _SCANNED if wanted or dataset else limit
    found = (
        _listing(one)
        for one in reading.models(filters=filters, limit=scanned, patience_s=patience_s)
    )
    kept = [
        one
        for one in found
        if all(word in _text(one) for word in wanted)
        and (not dataset or any(dataset.lower() in title.lower() for title in one.datasets))
    ]
    return kept[:limit]


def _listing(described: Described) -> Listing:
    return Listing(
        repo=described.repo,
        commit=described.commit,
        targets=_tagged(described, "target:"),
        backbone="".join(_tagged(described, "retq-backbone:")[:1])[:12],
        datasets=tuple(dict.fromkeys((*_tagged(described, "dataset:"), *_measured_on(described)))),
        licence="".join(_tagged(described, "license:")[:1]) or _text_of(described.card, "license"),
        kind=next((one for one in _tagged(described, KIND_TAG) if one in KINDS), SEGMENTATION),
        dice=_first(described, "dice"),
        auroc=_first(described, "auroc"),
        kappa=_first(described, "quadratic_kappa"),
        gated=described.gated,
        private=described.private,
        tags=described.tags,
    )


def _tagged(described: Described, prefix: str) -> tuple[str, ...]:
    return tuple(tag.removeprefix(prefix) for tag in described.tags if tag.startswith(prefix))


def _text_of(card: dict[str, Any], member: str) -> str:
    value = card.get(member)
    return printable(value) if isinstance(value, str) else ""


def _results(described: Described) -> Iterator[dict[str, Any]]:
    """Go through the evaluations of a card; what is misshapen is left out, anybody may write it."""
    for model in _list(described.model_index):
        results = model.get("results") if isinstance(model, dict) else None
        yield from (one for one in _list(results) if isinstance(one, dict))


def _list(value: Any) -> list[Any]:  # noqa: ANN401 - any JSON value
    return value if isinstance(value, list) else []


def _metrics(described: Described) -> Iterator[tuple[str, float]]:
    for result in _results(described):
        for one in _list(result.get("metrics")):
            if isinstance(one, dict) and isinstance(one.get("value"), int | float):
                yield str(one.get("type")), one["value"]


def _first(described: Described, name: str) -> float | None:
    return next((float(value) for kind, value in _metrics(described) if kind == name), None)


def _measured_on(described: Described) -> Iterator[str]:
    for result in _results(described):
        data = result.get("dataset")
        if isinstance(data, dict) and isinstance(data.get("name"), str):
            yield printable(data["name"])


def _text(listing: Listing) -> str:
    parts = (listing.repo, listing.licence, *listing.datasets, *listing.tags)
    return " ".join(parts).lower()

"""The head of a model card: what the Hub reads, filters by and shows beside the card.

Its members are those of the Hub's model cards. YAML is written here and nowhere else.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from retq_hub.headline import GRADED
from retq_hub.kinds import SEGMENTATION, Graded
from retq_hub.manifest import Licence, Measured, QueryManifest
from retq_hub.spec import BackboneSpec
from retq_hub.tasks import TASKS, kind_of

__all__ = [
    "KIND_TAG",
    "LABELS",
    "composed",
    "document",
    "from_yaml",
    "is_own_tag",
    "is_repo_id",
    "to_yaml",
]

LABELS = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "dice": "Dice",
    "iou": "IoU",
    "dice_at_0.5": "Dice at 0.5",
    "iou_at_0.5": "IoU at 0.5",
}
"""How the metrics of a manifest are called where people read them."""

_TAGS = ("retq", "query-vector")
_PIPELINE_TAGS = ("retq", "retq-pipeline")
KIND_TAG = "retq-kind:"
"""Beginning of the tag that says what kind of query one is; a segmentation has none."""

_TAG_KINDS = ("retq-backbone:", KIND_TAG, "target:", "modality:")
_REPO_ID = re.compile(r"(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9](?:[\w.-]*\w)?", re.ASCII)
_LONGEST_REPO_ID = 96

_LICENCES = frozenset(
    (
        *("afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bsd-2-clause", "bsd-3-clause"),
        *("bsd-3-clause-clear", "bsl-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0"),
        *("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"),
        *("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0"),
        *("cc-by-sa-4.0", "cc0-1.0", "ecl-2.0", "epl-1.0", "epl-2.0", "eupl-1.1", "eupl-1.2"),
        *("gpl-2.0", "gpl-3.0", "isc", "lgpl-2.1", "lgpl-3.0", "mit", "mpl-2.0", "ms-pl", "ncsa"),
        *("ofl-1.1", "osl-3.0", "postgresql", "unlicense", "wtfpl", "zlib"),
    )
)
"""SPDX identifiers, in lower case and without ``-only``, that the Hub knows by that name."""

_LICENCES_RENAMED = {"licenseref-unknown": "unknown", "odbl-1.0": "odbl", "pddl-1.0": "pddl"}


def document(manifest: QueryManifest, backbone: BackboneSpec) -> dict[str, Any]:
    """Give the members of a card's head, in their order.

    Args:
        manifest: The query's manifest.
        backbone: The backbone that it was made for.
    """
    tags = [*_TAGS, f"retq-backbone:{manifest.backbone.weights_digest[:12]}"]
    tags += [f"target:{target.name}" for target in manifest.targets]
    tags += [] if manifest.kind is None else [f"{KIND_TAG}{manifest.kind}"]
    tags += _modality(backbone)
    head: dict[str, Any] = {
        "library_name": "retq",
        "pipeline_tag": TASKS[kind_of(manifest)][0],
        "tags": list(dict.fromkeys(tags)),
        **_licence(manifest.licence),
        **_base_model(backbone),
    }
    if datasets := sorted({data.id for data in manifest.data if is_repo_id(data.id)}):
        head["datasets"] = datasets
    results = [_result(measured, manifest) for measured in manifest.metrics]
    results += [_graded(one, manifest) for one in manifest.graded or ()]
    if results:
        head["model-index"] = [{"name": manifest.name, "results": results}]
    return head


def composed(
    manifests: Sequence[QueryManifest], backbone: BackboneSpec, weights_digest: str
) -> dict[str, Any]:
    """Give the members of the head of a composed pipeline's card, in their order.

    Args:
        manifests: Of its members.
        backbone: The backbone that they are applied to.
        weights_digest: Of its weights.
    """
    targets = (target.name for manifest in manifests for target in manifest.targets)
    kinds = {kind_of(manifest) for manifest in manifests}
    licences = dict.fromkeys(manifest.licence.id for manifest in manifests)
    one = manifests[0].licence if len(licences) == 1 else Licence(id=" AND ".join(licences))
    head: dict[str, Any] = {
        "library_name": "retq",
        "pipeline_tag": TASKS[kinds.pop() if len(kinds) == 1 else SEGMENTATION][0],
        "tags": [
            *_PIPELINE_TAGS,
            f"retq-backbone:{weights_digest[:12]}",
            *dict.fromkeys(f"target:{name}" for name in targets),
            *_modality(backbone),
        ],
        **_licence(one),
        **_base_model(backbone),
    }
    trained = {data.id for manifest in manifests for data in manifest.data}
    if datasets := sorted(name for name in trained if is_repo_id(name)):
        head["datasets"] = datasets
    return head


def is_own_tag(tag: object) -> bool:
    """Whether a tag is one of those that are made from manifests."""
    own = (*_TAGS, *_PIPELINE_TAGS)
    return isinstance(tag, str) and (tag in own or tag.startswith(_TAG_KINDS))


def is_repo_id(name: str) -> bool:
    """Whether the Hub takes a name for that of a repository: ``name`` or ``ns/name``."""
    plain = "--" not in name and ".." not in name and not name.endswith(".git")
    return plain and len(name) <= _LONGEST_REPO_ID and bool(_REPO_ID.fullmatch(name))


def to_yaml(head: Mapping[str, Any]) -> str:
    """Write a head as YAML, without the lines around it; the same members give the same text."""
    import yaml

    return yaml.safe_dump(dict(head), sort_keys=False, allow_unicode=True, width=2**20)


def from_yaml(text: str) -> dict[str, Any] | None:
    """Read a head; None if it is no YAML mapping, or beyond what a head may be."""
    from retq_hub import frontmatter

    try:
        return frontmatter.mapping(text)
    except frontmatter.BadCard:
        return None


def _modality(backbone: BackboneSpec) -> list[str]:
    """A backbone of natural images says nothing of the photographs that a query is for."""
    return [] if backbone.modality == "natural" else [f"modality:{backbone.modality}"]


def _base_model(backbone: BackboneSpec) -> dict[str, str]:
    """Name the backbone where it is a repository of the Hub; never a path or a title."""
    if not (backbone.hub_id and "/" in backbone.hub_id and is_repo_id(backbone.hub_id)):
        return {}
    return {"base_model": backbone.hub_id, "base_model_relation": "adapter"}


def _licence(licence: Licence) -> dict[str, str]:
    """Name a licence as the Hub does: by its own list, or ``other`` with a name and a link."""
    name = licence.id.lower().removesuffix("-only").removesuffix("-or-later")
    name = _LICENCES_RENAMED.get(name, name)
    if name in _LICENCES or name in _LICENCES_RENAMED.values():
        return {"license": name}
    slug = re.sub(r"[^a-z0-9.]+", "-", licence.id.lower().removeprefix("licenseref-")).strip("-.")
    found = {"license": "other", "license_name": slug or "other"}
    if licence.url and licence.url.startswith(("https://", "http://")):
        found["license_link"] = licence.url
    return found


def _result(measured: Measured, manifest: QueryManifest) -> dict[str, Any]:
    dataset = _dataset(measured, manifest)
    if len(manifest.targets) > 1:
        dataset["config"] = measured.target
    metrics = [_metric(name, measured) for name in LABELS if name in measured.values]
    return {"task": _task(SEGMENTATION), "dataset": dataset, "metrics": metrics}


def _graded(graded: Graded, manifest: QueryManifest) -> dict[str, Any]:
    metrics = []
    for name, label in GRADED.items():
        if value := graded.values.get(name):
            about = {"ci95": list(value.ci95), "n_images": graded.n_images}
            metrics.append({"type": name, "value": value.value, "name": label, "args": about})
    task = _task(kind_of(manifest))
    return {"task": task, "dataset": _dataset(graded, manifest), "metrics": metrics}


def _task(kind: str) -> dict[str, str]:
    tag, name = TASKS[kind]
    return {"type": tag, "name": name}


def _dataset(figures: Measured | Graded, manifest: QueryManifest) -> dict[str, str]:
    titles = {data.id: data.title for data in manifest.data}
    name = figures.dataset
    slug = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:_LONGEST_REPO_ID]
    return {
        "name": titles.get(name, name),
        "type": name if is_repo_id(name) else slug or "dataset",
        "split": figures.split,
    }


def _metric(name: str, measured: Measured) -> dict[str, Any]:
    value = measured.values[name]
    about: dict[str, Any] = {"ci95": list(value.ci95), "n_images": measured.n_images}
    if name in ("dice", "iou"):
        about["threshold"] = measured.threshold
    return {"type": name, "value": value.mean, "name": LABELS[name], "args": about}

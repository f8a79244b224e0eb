"""The page of one query: what it is, how well it did, what it allows, how to use it."""

import json
import shlex
from collections.abc import Mapping

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from retq_hub import notation
from retq_hub.card import UNKNOWN, combination
from retq_hub.dossier import shown
from retq_hub.gallery.pages import refuse, render
from retq_hub.gallery.prose import safe_html
from retq_hub.gallery.shelf import Exhibit, Shelf
from retq_hub.kinds import CLASSIFICATION, SEGMENTATION, TEXT
from retq_hub.manifest import QueryManifest
from retq_hub.spec import BackboneSpec
from retq_hub.tasks import kind_of, verb

__all__ = ["Placard"]

_SAID = {
    SEGMENTATION: 'print(found.manifest.targets[0].label, f"{found.area:.2%}")',
    CLASSIFICATION: "print(found.prediction, found.probabilities)",
    TEXT: "print(found.prediction, found.probabilities)",
}


class Placard:
    """Answers ``GET /namespace/name``, and the same with ``/tree/revision``.

    Args:
        shelf: The hub.
        backbones: The backbones that this installation knows.
    """

    def __init__(self, shelf: Shelf, *, backbones: Mapping[str, BackboneSpec]) -> None:
        self._shelf = shelf
        self._backbones = backbones

    def show(self, request: Request) -> Response:
        """Give the page, or say that there is no such query."""
        parts = request.path_params
        repo, revision = f"{parts['namespace']}/{parts['name']}", parts.get("revision", "")
        if "number" in parts:
            revision = f"refs/pr/{parts['number']}"
        exhibit = self._shelf.exhibit(repo, revision)
        if exhibit is None:
            what = f"{repo} at {revision}" if revision else repo
            line = f"This hub shows nothing named {what}."
            return refuse(request, 404, line, hint="It may be private, renamed or never have been.")
        context = {
            "here": "",
            "exhibit": exhibit,
            "item": exhibit.item,
            "card": Markup(safe_html(exhibit.card)),
            **_use(exhibit, endpoint=str(request.base_url).rstrip("/")),
            **self._facts(exhibit.item.manifest),
        }
        return render("query.html", context)

    def _facts(self, manifest: QueryManifest | None) -> dict[str, object]:
        """Give what is worked out from a manifest and its backbone."""
        if manifest is None:
            return {}
        spec = self._backbones.get(manifest.backbone.id)
        licences = [manifest.licence, spec.licence if spec else UNKNOWN]
        licences += [data.licence for data in manifest.data]
        size_px = spec.preprocessing.size_px if spec else 0
        reads = notation.written(manifest.basis, size_px=size_px)
        if manifest.is_kind(CLASSIFICATION):
            embedding = spec.pooling if spec else ""
            reads = notation.pooled(manifest, embedding=embedding, size_px=size_px)
        return {
            "backbone": spec,
            "combination": combination(licences),
            "kind": kind_of(manifest),
            "verb": verb(manifest),
            "basis": reads,
            "answer": notation.answer(manifest.head),
            "counted": shown(manifest),
            "upsampling": notation.upsampling(manifest.head),
            "meaning": notation.meaning(manifest.head),
            "used": {data.split_digest for data in manifest.data},
        }


def _use(exhibit: Exhibit, *, endpoint: str) -> dict[str, str]:
    """Give the lines that put a query to use."""
    item = exhibit.item
    revision = item.version if item.version and not _is_loose(exhibit) else item.commit
    name = f"{item.repo}@{revision}"
    shell = f"""export HF_ENDPOINT={shlex.quote(endpoint)}
retq pull {name}
retq segment eye.jpg -q {name} -o out/"""
    said = _SAID[kind_of(item.manifest) if item.manifest else SEGMENTATION]
    python = f"""import os

os.environ["HF_ENDPOINT"] = {json.dumps(endpoint)}

from retq_hub import Pipeline

pipe = Pipeline.from_pretrained(
    queries=["{name}"]
)
for found in pipe("eye.jpg").values():
    {said}"""
    return {"shell": shell, "python": python, "pin": name}


def _is_loose(exhibit: Exhibit) -> bool:
    """Whether no version is published at the commit that is shown."""
    return all(one.commit != exhibit.item.commit for one in exhibit.versions)

"""``retq info``: what is known of one query. No torch here, and no weights are downloaded."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from retq_hub import artifact, lookup, registry
from retq_hub.cli.console import BarProgress, print_facts, print_json, say
from retq_hub.cli.options import json_option
from retq_hub.kinds import CLASSIFICATION, TEXT
from retq_hub.manifest import QueryManifest, to_json

if TYPE_CHECKING:
    from retq_hub.composition import Composition
    from retq_hub.repository import Resolved
    from retq_hub.spec import BackboneSpec

__all__ = ["info_command"]


@click.command("info")
@click.argument("name")
@json_option
def info_command(name: str, as_json: bool) -> None:
    """Show what is known of a query: NAME, NAME@VERSION, ns/NAME@VERSION or ./FOLDER.

    Of a query on a Hub only the manifest is downloaded. Also of a lock or a composed pipeline.
    """
    progress = BarProgress()
    known = lookup.either(name, lambda: _known(name, progress), progress=progress)
    if not isinstance(known, tuple):
        _print_pipeline(known, as_json)
        return
    manifest, found = known
    for line in found.notes if found else ():
        say(line)
    if as_json:
        document = {**to_json(manifest), "digest": manifest.digest}
        print_json(document | ({"hub": _document(found)} if found else {}))
        return
    print_facts([*_rows(manifest), *(_hub_rows(found) if found else ())])


def _known(name: str, progress: BarProgress) -> "tuple[QueryManifest, Resolved | None]":
    if hub := registry.hub_name(name):
        from retq_hub import remote

        return remote.manifest(hub.text, hub.pin)
    return artifact.read_manifest(registry.locate(name, progress=progress)), None


def _print_pipeline(found: "Composition", as_json: bool) -> None:
    from retq_hub.composition import manifests

    members = manifests(found)
    if as_json:
        hub = {"hub": {"repo": found.repo, "commit": found.commit}} if found.repo else {}
        print_json({**to_json(found.lock), "digest": found.lock.digest, **hub})
        return
    print_facts(_pipeline_rows(found, members))


def _pipeline_rows(found: "Composition", members: Sequence[QueryManifest]) -> list[tuple[str, str]]:
    from retq_hub.card import NOT_A_DEVICE, UNKNOWN, combination
    from retq_hub.headline import headline

    lock = found.lock
    spec = registry.backbone_specs().get(lock.backbone.id)
    licences = [spec.licence if spec else UNKNOWN]
    for one in members:
        licences += [one.licence, *(data.licence for data in one.data)]
    many = "1 query" if len(members) == 1 else f"{len(members)} queries"
    rows = [
        ("name", f"{lock.name} {lock.version}" if lock.name else f"none; the lock {found.path}"),
        ("summary", lock.summary or f"Pins {many}."),
        ("backbone", f"{lock.backbone.id}, weights {lock.backbone.weights_digest[:12]}"),
    ]
    for pinned, one in zip(lock.queries, members, strict=True):
        marks = ", ".join(target.label for target in one.targets)
        figure = f", {headline(one).text}" if headline(one).text else ""
        rows.append(
            (
                pinned.name,
                f"{pinned.version} from {pinned.origin}: {marks}{figure}; {one.licence.id}",
            )
        )
    if found.repo:
        rows += [("repository", found.repo), ("commit", str(found.commit))]
    return [
        *rows,
        ("licence", f"all together: {combination(licences)}"),
        ("digest", lock.digest),
        ("note", NOT_A_DEVICE),
    ]


def _document(found: "Resolved") -> dict[str, Any]:
    described = found.repository.described
    return {
        "repo": found.repo,
        "commit": found.commit,
        "version": found.version,
        "yanked": found.repository.yanked,
        "versions": found.repository.versions,
        "private": described.private if described else None,
        "gated": described.gated if described else None,
    }


def _hub_rows(found: "Resolved") -> list[tuple[str, str]]:
    repository = found.repository
    versions = [
        one + (f" (yanked: {repository.yanked[one]})" if one in repository.yanked else "")
        for one in repository.versions
    ]
    rows = [
        ("repository", found.repo),
        ("commit", found.commit),
        ("versions", ", ".join(versions) or "none yet"),
    ]
    if repository.described and repository.described.private:
        rows.append(("private", "only with a login that may see it"))
    if repository.described and repository.described.gated:
        rows.append(("gated", "whoever accepts its terms on the Hub may pull it"))
    return rows


def _rows(manifest: QueryManifest) -> list[tuple[str, str]]:
    from retq_hub.card import NOT_A_DEVICE, UNKNOWN, combination
    from retq_hub.tasks import kind_of, verb

    spec = registry.backbone_specs().get(manifest.backbone.id)
    others = (spec.licence if spec else UNKNOWN, *(data.licence for data in manifest.data))
    return [
        ("name", f"{manifest.name} {manifest.version}"),
        ("kind", kind_of(manifest)),
        (verb(manifest), ", ".join(target.label for target in manifest.targets)),
        ("summary", manifest.summary),
        ("backbone", f"{manifest.backbone.id}, weights {manifest.backbone.weights_digest[:12]}"),
        *_head_rows(manifest, spec),
        *_text_rows(manifest),
        *((one.how, f"{one.name} {one.version}") for one in manifest.derived or ()),
        *(
            ("trained on", f"{one.title}, {one.split}, {one.n_images} images")
            for one in manifest.data
        ),
        *(("measured on", line) for line in _measured(manifest)),
        (
            "licence",
            f"{manifest.licence.id}; with backbone and data: "
            f"{combination((manifest.licence, *others))}",
        ),
        ("digest", manifest.digest),
        ("note", NOT_A_DEVICE),
    ]


def _text_rows(manifest: QueryManifest) -> list[tuple[str, str]]:
    """Give what was asked of the text encoder; nothing where no text made the vectors."""
    text = manifest.text
    if text is None:
        return []
    pairs = zip(manifest.targets, text.prompts, strict=False)
    asked = [f"{target.name}: {'; '.join(prompts)}" for target, prompts in pairs]
    return [("text encoder", text.encoder), *(("prompts", line) for line in asked)]


def _head_rows(manifest: QueryManifest, spec: "BackboneSpec | None") -> list[tuple[str, str]]:
    """Say what is read and how that becomes an answer; both depend on the kind."""
    from retq_hub.notation import answer, meaning, pooled, upsampling, written

    size = spec.preprocessing.size_px if spec else 0
    head = manifest.head
    rows = [("reads", f"{written(manifest.basis, size_px=size)}: {_cost(manifest)}")]
    if manifest.is_kind(CLASSIFICATION):
        embedding = spec.pooling if spec else ""
        reads = pooled(manifest, embedding=embedding, size_px=size)
        rows = [("reads", f"{reads}: {_cost(manifest)}"), ("answers", answer(head))]
    elif manifest.is_kind(TEXT):
        rows += [("answers", answer(head)), ("upsampling", upsampling(head))]
    else:
        rows.append(("upsampling", upsampling(head)))
    if head.thresholds and not manifest.is_kind(TEXT):
        rows.append(("threshold", ", ".join(f"{value:g}" for value in head.thresholds)))
    return [*rows, ("probabilities", meaning(head))]


def _measured(manifest: QueryManifest) -> Iterator[str]:
    """Give a line for each evaluation."""
    from retq_hub.headline import GRADED

    for one in manifest.metrics:
        yield (
            f"{one.dataset}, {one.split}, {one.n_images} images: AUROC "
            f"{one.values['auroc'].mean:.4f}, Dice {one.values['dice'].mean:.4f}"
        )
    for graded in manifest.graded or ():
        shown = [
            f"{label[:1].lower() + label[1:] if label != 'AUROC' else label} "
            f"{graded.values[name].value:.4f}"
            for name, label in GRADED.items()
            if name in graded.values
        ]
        yield f"{graded.dataset}, {graded.split}, {graded.n_images} images: {', '.join(shown)}"


def _cost(manifest: QueryManifest) -> str:
    """Say how often the backbone runs for an image."""
    from retq_hub.tasks import runs

    count = runs(manifest)
    return f"{count} backbone pass{'es' if count > 1 else ''} an image"

"""The card of a composed pipeline: what its members are, and what their licences allow together.

No torch, no files. What members' manifests say comes out as text.
"""

from collections.abc import Sequence

from retq_hub import metadata
from retq_hub.card import NOT_A_DEVICE, combination
from retq_hub.handwriting import Handwriting, sealed, section
from retq_hub.headline import headline
from retq_hub.lock import Lock, PinnedQuery
from retq_hub.manifest import Licence, QueryManifest
from retq_hub.markdown import inline, link, table
from retq_hub.spec import BackboneSpec
from retq_hub.tasks import answers

__all__ = ["render"]


def render(
    lock: Lock,
    manifests: Sequence[QueryManifest],
    backbone: BackboneSpec,
    *,
    repo: str | None = None,
    kept: Handwriting | None = None,
) -> str:
    """Write the card of a composed pipeline.

    Args:
        lock: With name, version and summary.
        manifests: Of its members, in its order.
        backbone: The backbone that it pins.
        repo: Its Hub repository, ``ns/name``; None: it is a folder.
        kept: What people wrote into the card that this one takes the place of.

    Returns:
        Markdown with a YAML head that the Hub reads; the same input gives the same text.
    """
    kept = kept or Handwriting()
    parts = [
        f"# {lock.name}",
        inline(str(lock.summary)),
        NOT_A_DEVICE,
        _use(lock, manifests, repo),
        _members(lock, manifests),
        section(kept.notes),
        _backbone(lock, backbone),
        _licence(manifests, backbone),
    ]
    head = metadata.composed(manifests, backbone, lock.backbone.weights_digest)
    return sealed(head, "\n\n".join(parts), kept=kept, repo=repo)


def _use(lock: Lock, manifests: Sequence[QueryManifest], repo: str | None) -> str:
    named = f"{repo}@v{lock.version}" if repo else f"./{lock.name}"
    first = lock.queries[0].name
    return f"""## Use

```python
from retq_hub import Pipeline

pipe = Pipeline.from_lock("{named}")
found = pipe("eye.jpg")["{first}"]
{answers(manifests[0])}
```

```sh
retq sync {named}
retq segment eye.jpg --lock {named} -o out/
```

This is version {lock.version}. The lock pins every file of every member: what it gives never
changes."""


def _members(lock: Lock, manifests: Sequence[QueryManifest]) -> str:
    rows = [
        (
            f"`{pinned.name}`",
            pinned.version,
            inline(", ".join(target.label for target in manifest.targets)),
            _figure(manifest),
            _named(manifest.licence),
            _origin(pinned),
        )
        for pinned, manifest in zip(lock.queries, manifests, strict=True)
    ]
    header = ("query", "version", "targets", "measured", "licence", "from")
    below = (
        "What is measured is that of the first evaluation that a member's card gives; Dice is the "
        "mean over images."
    )
    return f"## Members\n\n{table(header, rows)}\n\n{below}"


def _figure(manifest: QueryManifest) -> str:
    found = headline(manifest)
    return f"{found.text} ({inline(found.measured_on)})" if found.text else "not measured"


def _origin(pinned: PinnedQuery) -> str:
    origin = pinned.origin
    return f"`{origin}`" if origin.kind != "registry" else "registry"


def _backbone(lock: Lock, backbone: BackboneSpec) -> str:
    rows = [
        ("backbone", f"{inline(backbone.title)} (`{backbone.id}`)"),
        ("weights digest", f"`{lock.backbone.weights_digest}`"),
        ("preprocessing digest", f"`{lock.backbone.preprocessing_digest}`"),
        ("licence", _named(backbone.licence)),
    ]
    return f"## Backbone\n\n{table(('', ''), rows)}"


def _licence(manifests: Sequence[QueryManifest], backbone: BackboneSpec) -> str:
    every = [backbone.licence]
    for manifest in manifests:
        every += [manifest.licence, *(data.licence for data in manifest.data)]
    return (
        "## Licence\n\nEach member keeps its own. All members with backbone and data: "
        f"{inline(combination(every))}."
    )


def _named(licence: Licence) -> str:
    return link(licence.url, licence.id)

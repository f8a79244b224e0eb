"""The model card: the README of an artifact, made from its manifest. No torch, no files.

Manifests come from anywhere: what they say comes out as text, never as Markdown, HTML or YAML.
"""

from collections.abc import Iterable

from retq_hub import metadata
from retq_hub.handwriting import Handwriting, sealed, section
from retq_hub.headline import GRADED
from retq_hub.kinds import CLASSIFICATION, SEGMENTATION, TEXT, Graded
from retq_hub.manifest import Concept, Licence, Measured, QueryManifest, Trial
from retq_hub.markdown import doi_link, inline, link, table
from retq_hub.notation import answer, looks, meaning, pooled, upsampling, width, written
from retq_hub.picture import PICTURE, Picture
from retq_hub.spec import BackboneSpec
from retq_hub.tasks import answers

__all__ = ["NOT_A_DEVICE", "UNKNOWN", "combination", "render"]

NOT_A_DEVICE = "Research software, not a medical device: not for diagnosis or treatment."

UNKNOWN = Licence(id="LicenseRef-unknown")
"""Stands where nobody has said under which licence something is."""

_AGREEMENT = {"dice": "Dice of both masks", "correlation": "correlation of both logits"}

_CREDIT = "Photograph: Mikael Häggström, CC0."


def combination(licences: Iterable[Licence]) -> str:
    """Say in a line what a combination of licences allows."""
    parts = list(licences)
    names = ", ".join(dict.fromkeys(one.id for one in parts))
    if any(one.commercial_use is False for one in parts):
        return f"no commercial use ({names})"
    if all(one.commercial_use for one in parts):
        return f"commercial use allowed, with attribution ({names})"
    return f"commercial use not known ({names}): read the licences"


def render(
    manifest: QueryManifest,
    backbone: BackboneSpec,
    *,
    repo: str | None = None,
    picture: Picture | None = None,
    kept: Handwriting | None = None,
) -> str:
    """Write the model card of a query.

    Args:
        manifest: The query's manifest.
        backbone: The backbone that it was made for.
        repo: Where it can be pulled from: its Hub repository, ``ns/name``, or its name in a
            registry; None: it is a folder.
        picture: What ``overlay.jpg`` beside the card shows; None: there is none.
        kept: What people wrote into the card that this one takes the place of.

    Returns:
        Markdown with a YAML head that the Hub reads; the same input gives the same text.
    """
    kept = kept or Handwriting()
    parts = [
        f"# {manifest.name}",
        inline(manifest.summary),
        *([] if picture is None else [_picture(manifest, picture)]),
        NOT_A_DEVICE,
        _use(manifest, repo),
        _figures(manifest),
        *_agreement(manifest),
        f"## Intended use and limits\n\n{inline(manifest.intended_use)}\n\n"
        f"{inline(manifest.limits)}",
        section(kept.notes),
        _what(manifest, backbone),
        *_texts(manifest),
        *_derived(manifest),
        *_data(manifest),
        *_search(manifest),
        _licence(manifest, backbone),
        _citation(manifest, backbone),
    ]
    head = metadata.document(manifest, backbone)
    return sealed(head, "\n\n".join(parts), kept=kept, repo=repo)


def _picture(manifest: QueryManifest, picture: Picture) -> str:
    """Show the picture, with a line that says no more than it does."""
    name = ", ".join(target.label for target in manifest.targets)
    shown = f"A photograph with the outline of what {manifest.name} marks: {name}"
    if manifest.is_kind(CLASSIFICATION):
        shown = f"A photograph with what {manifest.name} tells of it, of: {name}"
    alt = inline(shown)
    return f"![{alt}]({PICTURE})\n\n*{_caption(manifest, picture)}*"


def _caption(manifest: QueryManifest, picture: Picture) -> str:
    if picture.probability is not None:
        return _told(manifest, picture.target, picture.probability, example=picture.example)
    if picture.area is None:
        return "The picture was given by the query's makers."
    if manifest.is_kind(TEXT):
        return "Each place in the colour of the text that is nearest." + (
            f" {_CREDIT}" if picture.example else ""
        )
    share = f"{picture.area:.2%}".replace("%", " %") if picture.area >= 0.0001 else "under 0.01 %"
    if not picture.example:
        return f"The query marks {share if picture.area else 'nothing'} of this photograph."
    if picture.area:
        found = f"On this photograph of a healthy eye the query marks {share} of the picture."
    else:
        found = "The query marks nothing on this photograph of a healthy eye."
    return f"{found} {_CREDIT}"


def _told(manifest: QueryManifest, target: str | None, probability: float, *, example: bool) -> str:
    """Say what was the most probable, and what the colours are where it has attention."""
    label = next((one.label for one in manifest.targets if one.name == target), "its first target")
    where = "this photograph of a healthy eye" if example else "this photograph"
    found = f"On {where} the query gives {inline(label)} a probability of {probability:.3f}."
    if looks(manifest):
        found += " The colours say where it looked."
    return f"{found} {_CREDIT}" if example else found


def _use(manifest: QueryManifest, repo: str | None) -> str:
    """Give five lines for Python and two for a shell."""
    pinned = f"{repo}@v{manifest.version}" if repo else f"./{manifest.name}"
    pull = f"retq pull {pinned}\n" if repo else ""
    return f"""## Use

```python
from retq_hub import Pipeline

pipe = Pipeline.from_pretrained(queries=["{pinned}"])
found = pipe("eye.jpg")["{manifest.name}"]
{answers(manifest)}
```

```sh
{pull}retq segment eye.jpg -q {pinned} -o out/
```

This is version {manifest.version}. Published versions never change: a better query is a new one."""


def _figures(manifest: QueryManifest) -> str:
    found = [_measured(one) for one in manifest.metrics]
    found += [_graded(one) for one in manifest.graded or ()]
    if not found:
        return "## Figures\n\nNot measured yet: `retq evaluate --record` fills them in."
    of = "of the mean " if manifest.metrics else ""
    return "\n\n".join(["## Figures", *found, f"The interval is a bootstrap {of}over images."])


def _agreement(manifest: QueryManifest) -> list[str]:
    """Say how far a query that was carried over agrees with its source."""
    if not manifest.agreement:
        return []
    rows = [
        (inline(one.target), _AGREEMENT[name], f"{value.value:.4f}", _interval(value.ci95))
        for one in manifest.agreement
        for name, value in sorted(one.values.items(), reverse=True)
    ]
    first = manifest.agreement[0]
    origins = [inline(f"{one.name} {one.version}") for one in manifest.derived or ()]
    return [
        f"## Agreement with {' and '.join(origins) or 'its source'}\n\nIt was fitted to what "
        f"that says of images without labels. On {first.n_images} further images of "
        f"{first.size_px} x {first.size_px} pixels, means over images: how far both agree, "
        "not how well either does.",
        table(("target", "", "mean", "95 % interval"), rows, right=2),
    ]


def _interval(ci95: tuple[float, float]) -> str:
    return f"{ci95[0]:.4f} - {ci95[1]:.4f}"


def _measured(measured: Measured) -> str:
    where = inline(
        f"{measured.dataset}, split {measured.split}, target {measured.target}: "
        f"{measured.n_images} images of {measured.size_px} x {measured.size_px} pixels, "
        f"threshold {measured.threshold:g}."
    )
    rows = []
    for name, label in metadata.LABELS.items():
        at_half = name.endswith("_at_0.5")
        if name not in measured.values or (at_half and measured.threshold == 0.5):
            continue
        value = measured.values[name]
        low, high = value.ci95
        figures = (f"{value.mean:.4f}", f"{low:.4f} - {high:.4f}")
        rows.append((label, *figures, f"{value.min:.4f}", f"{value.max:.4f}"))
    header = ("per image", "mean", "95 % interval", "worst", "best")
    return f"{where}\n\n{table(header, rows, right=4)}"


def _graded(graded: Graded) -> str:
    where = f"{graded.dataset}, split {graded.split}: {graded.n_images} images, each as a whole."
    rows = []
    for name, label in GRADED.items():
        if value := graded.values.get(name):
            low, high = value.ci95
            rows.append((label, f"{value.value:.4f}", f"{low:.4f} - {high:.4f}"))
    header = ("over images", "value", "95 % interval")
    return f"{inline(where)}\n\n{table(header, rows, right=2)}"


def _what(manifest: QueryManifest, backbone: BackboneSpec) -> str:
    rows = [
        ("targets", ", ".join(_targets(manifest))),
        ("version", manifest.version),
        ("backbone", f"{inline(backbone.title)} (`{backbone.id}`)"),
        ("weights digest", f"`{manifest.backbone.weights_digest}`"),
        *_head(manifest, backbone),
        ("recipe", inline(f"{manifest.training.recipe}; {manifest.training.loss}")),
        ("L2 weight", f"{manifest.training.l2:g}"),
        ("basis chosen by", inline(manifest.training.selection)),
        ("made with", inline(", ".join(_versions(manifest)))),
    ]
    return f"## What it is\n\n{table(('', ''), rows)}"


def _head(manifest: QueryManifest, backbone: BackboneSpec) -> list[tuple[str, str]]:
    """Give the rows from what is read to what is answered; they depend on the kind."""
    head, size_px = manifest.head, backbone.preprocessing.size_px
    thresholds = ", ".join(f"{value:g}" for value in head.thresholds)
    chosen = [("threshold", thresholds), ("threshold chosen by", inline(head.threshold_choice))]
    reads = f"`{written(manifest.basis, size_px=size_px)}`"
    if manifest.is_kind(CLASSIFICATION):
        rows = [("reads", inline(pooled(manifest, embedding=backbone.pooling, size_px=size_px)))]
        rows += [("answers", answer(head)), *(chosen if thresholds else [])]
        return [*rows, ("probabilities", inline(meaning(head)))]
    rows = [("reads", reads)]
    if manifest.is_kind(SEGMENTATION):
        rows.append(
            ("floats", f"{width(manifest.basis, backbone.tokens.width)} a target, and a bias")
        )
    else:
        rows.append(("answers", answer(head)))
    rows += [*chosen, ("upsampling", inline(upsampling(head)))]
    return [*rows, ("probabilities", inline(meaning(head)))]


def _texts(manifest: QueryManifest) -> list[str]:
    """Give the texts that the vectors were made of."""
    text = manifest.text
    if text is None:
        return []
    revision = f", revision {text.revision}" if text.revision else ""
    made = f"Encoder {text.encoder}{revision}; template {text.template!r}; {text.averaging}."
    rows = [
        (inline(target.label), inline("; ".join(prompts)))
        for target, prompts in zip(manifest.targets, text.prompts, strict=False)
    ]
    return [f"## Texts\n\n{inline(made)}\n\n{table(('target', 'prompts'), rows)}"]


def _derived(manifest: QueryManifest) -> list[str]:
    """Name the queries that it was made from."""
    lines = [
        f"- {inline(one.how)} {inline(one.name)} {inline(one.version)}, digest `{one.digest[:12]}`"
        for one in manifest.derived or ()
    ]
    return ["\n".join(["## Made from", "", *lines])] if lines else []


def _versions(manifest: QueryManifest) -> list[str]:
    return [f"{name} {version}" for name, version in sorted(manifest.training.versions.items())]


def _targets(manifest: QueryManifest) -> list[str]:
    return [inline(one.label) + _concept(one.code) for one in manifest.targets]


def _concept(concept: Concept | None) -> str:
    if concept is None:
        return ""
    named = link(f"http://snomed.info/id/{concept.code}", f"SNOMED CT {concept.code}")
    return f" ({named})"


def _data(manifest: QueryManifest) -> list[str]:
    """Name the data that it was trained on; texts need none."""
    lines = ["## Training data", ""]
    for data in manifest.data:
        doi = f", {doi_link(data.doi)}" if data.doi else ""
        cited = f" {inline(data.citation)}" if data.citation else ""
        lines.append(
            f"- {inline(data.title)}, split {inline(data.split)}: {data.n_images} images{doi}, "
            f"{_named(data.licence)}.{cited}"
        )
    return ["\n".join(lines)] if manifest.data else []


def _search(manifest: QueryManifest) -> list[str]:
    """Give the table of what cross-validation tried."""
    trials = manifest.training.trials or ()
    if len(trials) < 2:
        return []
    maps = not manifest.is_kind(CLASSIFICATION)
    rows = [
        (
            inline(one.basis),
            str(one.floats),
            f"{one.l2:g}",
            *((_led(one),) if maps else ()),
            f"{one.measure:.4f}",
        )
        for one in trials
    ]
    measure = metadata.LABELS.get(manifest.training.measure or "", "measure")
    upsampling = ("upsampling",) if maps else ()
    header = ("basis", "floats", "L2", *upsampling, f"held-out {measure}")
    return [
        "## What was tried\n\nCross-validation over the training images; no test image had a part "
        f"in it.\n\n{table(header, rows, right=1)}"
    ]


def _led(trial: Trial) -> str:
    led = trial.guided
    return f"guided, {led.radius_px} px, {led.epsilon:g}" if led else "bilinear"


def _licence(manifest: QueryManifest, backbone: BackboneSpec) -> str:
    every = [manifest.licence, backbone.licence, *(data.licence for data in manifest.data)]
    return (
        f"## Licence\n\nQuery: {_named(manifest.licence)}. Backbone: {_named(backbone.licence)}. "
        f"Together with the data: {inline(combination(every))}."
    )


def _citation(manifest: QueryManifest, backbone: BackboneSpec) -> str:
    lines = [f"- Query: {inline(', '.join(manifest.authors))}."]
    lines += [f"- Data: {inline(manifest.citation)}"] if manifest.citation else []
    lines += [f"- Backbone: {inline(backbone.citation)}"] if backbone.citation else []
    return "\n".join(["## Authors and citation", "", *lines])


def _named(licence: Licence) -> str:
    """Name a licence, with a link to its text where there is one."""
    return link(licence.url, licence.id)

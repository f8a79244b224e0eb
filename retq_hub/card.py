"""The model card: the README of an artifact, made from its manifest. No torch, no network."""

from collections.abc import Iterable

from retq_hub.manifest import Licence, Measured, QueryManifest
from retq_hub.notation import meaning, upsampling, width, written
from retq_hub.spec import BackboneSpec

__all__ = ["NOT_A_DEVICE", "UNKNOWN", "combination", "render"]

NOT_A_DEVICE = "Research software, not a medical device: not for diagnosis or treatment."

UNKNOWN = Licence(id="LicenseRef-unknown")
"""Stands where nobody has said under which licence something is."""

_LABELS = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "dice": "Dice",
    "iou": "IoU",
    "dice_at_0.5": "Dice at 0.5",
    "iou_at_0.5": "IoU at 0.5",
}


def combination(licences: Iterable[Licence]) -> str:
    """Say in a line what a combination of licences allows."""
    parts = list(licences)
    names = ", ".join(dict.fromkeys(one.id for one in parts))
    if any(one.commercial_use is False for one in parts):
        return f"no commercial use ({names})"
    if all(one.commercial_use for one in parts):
        return f"commercial use allowed, with attribution ({names})"
    return f"commercial use not known ({names}): read the licences"


def render(manifest: QueryManifest, backbone: BackboneSpec) -> str:
    """Write the model card of a query.

    Args:
        manifest: The query's manifest.
        backbone: The backbone that it was made for.

    Returns:
        Markdown with a YAML head that the Hub reads.
    """
    parts = [
        _head(manifest, backbone),
        f"# {manifest.name}",
        f"{manifest.summary}\n\n{NOT_A_DEVICE}",
        _what(manifest, backbone),
        _use(manifest),
        "\n\n".join(["## Figures", *map(_figures, manifest.metrics)])
        if manifest.metrics
        else "## Figures\n\nNot measured yet: `retq evaluate --record` fills them in.",
        _data(manifest),
        *_search(manifest),
        f"## Intended use and limits\n\n{manifest.intended_use}\n\n{manifest.limits}",
        _licence(manifest, backbone),
    ]
    if manifest.citation:
        parts.append(f"## Citation\n\n{manifest.citation}")
    return "\n\n".join(parts) + "\n"


def _head(manifest: QueryManifest, backbone: BackboneSpec) -> str:
    tags = ["retq", "query-vector", f"retq-backbone:{manifest.backbone.weights_digest[:12]}"]
    tags += [f"target:{target.name}" for target in manifest.targets]
    lines = ["library_name: retq", "pipeline_tag: image-segmentation", "tags:"]
    lines += [f"- {_quoted(tag)}" for tag in tags]
    lines += [f"license: {_hub_licence(manifest.licence)}"]
    if backbone.hub_id:
        lines += [f"base_model: {_quoted(backbone.hub_id)}", "base_model_relation: adapter"]
    return "\n".join(["---", *lines, "---"])


def _hub_licence(licence: Licence) -> str:
    """The Hub writes SPDX identifiers in lower case, and ``other`` for the rest."""
    return "other" if licence.id.startswith("LicenseRef") else _quoted(licence.id.lower())


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _what(manifest: QueryManifest, backbone: BackboneSpec) -> str:
    rows = [("targets", ", ".join(_target(manifest)))]
    rows += [
        ("version", manifest.version),
        ("backbone", f"{backbone.title} (`{backbone.id}`)"),
        ("weights digest", f"`{manifest.backbone.weights_digest}`"),
        ("reads", f"`{written(manifest.basis, size_px=backbone.preprocessing.size_px)}`"),
        ("floats", f"{width(manifest.basis, backbone.tokens.width)} a target, and a bias"),
        ("threshold", ", ".join(f"{value:g}" for value in manifest.head.thresholds)),
        ("threshold chosen by", manifest.head.threshold_choice),
        ("upsampling", upsampling(manifest.head)),
        ("probabilities", meaning(manifest.head)),
        ("recipe", f"{manifest.training.recipe}; {manifest.training.loss}"),
        ("L2 weight", f"{manifest.training.l2:g}"),
        ("basis chosen by", manifest.training.selection),
    ]
    return "\n".join(["## What it is", "", "| | |", "|---|---|", *(_row(row) for row in rows)])


def _search(manifest: QueryManifest) -> list[str]:
    """Give the table of what cross-validation tried."""
    trials = manifest.training.trials or ()
    if len(trials) < 2:
        return []
    lines = [
        "## What was tried",
        "",
        "Cross-validation over the training images; no test image had a part in it.",
        "",
        f"| basis | floats | L2 | upsampling | held-out {manifest.training.measure} |",
        "|---|---|---|---|---|",
    ]
    for one in trials:
        led = "bilinear"
        if one.guided:
            led = f"guided, {one.guided.radius_px} px, {one.guided.epsilon:g}"
        cells = (one.basis, str(one.floats), f"{one.l2:g}", led, f"{one.measure:.4f}")
        lines.append(_row(cells))
    return ["\n".join(lines)]


def _target(manifest: QueryManifest) -> list[str]:
    return [
        f"{target.label} (SNOMED CT {target.code.code})" if target.code else target.label
        for target in manifest.targets
    ]


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _use(manifest: QueryManifest) -> str:
    return f"""## Use

```python
from retq_hub import Pipeline

pipe = Pipeline.from_pretrained(queries=["./{manifest.name}"])
found = pipe("eye.jpg")["{manifest.name}"]
found.mask, found.probability, found.area
```

`retq segment eye.jpg -q ./{manifest.name} -o out/` does the same from a shell."""


def _figures(measured: Measured) -> str:
    lines = [
        f"{measured.dataset}, split {measured.split}, {measured.n_images} images, "
        f"{measured.size_px} x {measured.size_px} pixels, per image; 95 % bootstrap interval of "
        "the mean over images:",
        "",
        "| | mean | 95 % interval | worst | best |",
        "|---|---|---|---|---|",
    ]
    for name, value in measured.values.items():
        low, high = value.ci95
        interval = f"{low:.4f} - {high:.4f}"
        cells = (_LABELS[name], f"{value.mean:.4f}", interval, f"{value.min:.4f}")
        lines.append(_row((*cells, f"{value.max:.4f}")))
    return "\n".join(lines)


def _data(manifest: QueryManifest) -> str:
    lines = ["## Training data", ""]
    for data in manifest.data:
        doi = f", doi:{data.doi}" if data.doi else ""
        cited = f" {data.citation}" if data.citation else ""
        lines.append(
            f"- {data.title}, split {data.split}: {data.n_images} images{doi}, "
            f"{data.licence.id}.{cited}"
        )
    return "\n".join(lines)


def _licence(manifest: QueryManifest, backbone: BackboneSpec) -> str:
    every = [manifest.licence, backbone.licence, *(data.licence for data in manifest.data)]
    return (
        f"## Licence\n\nQuery: {manifest.licence.id}. Backbone: {backbone.licence.id}. "
        f"Together with the data: {combination(every)}."
    )

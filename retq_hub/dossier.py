"""What is known of one query, as HTML: what it is, what it was made from, how well it did."""

from html import escape

from retq_hub.card import combination
from retq_hub.headline import GRADED
from retq_hub.kinds import CLASSIFICATION, Estimate, Graded, Text
from retq_hub.manifest import DataUse, Interval, Measured, QueryManifest
from retq_hub.markup import (
    digest_code,
    doi_link,
    estimate_strip,
    facts,
    licence_text,
    range_strip,
    target_text,
)
from retq_hub.spec import BackboneSpec
from retq_hub.tasks import verb

__all__ = ["figures", "identity", "made_from", "shown"]

_METRICS = {"auroc": "AUROC", "dice": "Dice"}
_SEEN = " <strong>It was made from these very photographs.</strong>"


def identity(manifest: QueryManifest, backbone: BackboneSpec) -> str:
    """Say what a query is, and what its licence allows together with the others.

    Args:
        manifest: The query's.
        backbone: The backbone that it is applied to.
    """
    licences = (manifest.licence, backbone.licence, *(data.licence for data in manifest.data))
    weights = (
        f"{escape(manifest.backbone.id)}, weights {digest_code(manifest.backbone.weights_digest)}"
    )
    if manifest.backbone.weights_digest != backbone.weights_digest:
        weights += "; <strong>other weights than those used here</strong>"
    return facts(
        [
            (verb(manifest).capitalize(), "<br>".join(map(target_text, manifest.targets))),
            ("Intended use", escape(manifest.intended_use)),
            ("Authors", escape(", ".join(manifest.authors))),
            ("Version", f"{escape(manifest.version)}, digest {digest_code(manifest.digest)}"),
            ("Made for backbone", weights),
            ("Licence", licence_text(manifest.licence)),
            ("All licences together", escape(combination(licences))),
        ]
    )


def shown(manifest: QueryManifest) -> str:
    """Give the words before the counts of photographs for each target."""
    is_class = manifest.is_kind(CLASSIFICATION)
    return "by target" if is_class else "the target is drawn in"


def made_from(manifest: QueryManifest) -> str:
    """Say what a query was made from: data, texts, other queries."""
    parts = [_data(one, manifest) for one in manifest.data]
    if manifest.text is not None:
        parts.append(_texts(manifest, manifest.text))
    if manifest.derived:
        rows = [
            (
                one.how.capitalize(),
                f"{escape(one.name)} {escape(one.version)}, digest {digest_code(one.digest)}",
            )
            for one in manifest.derived
        ]
        parts.append(facts(rows))
    return "".join(parts)


def _texts(manifest: QueryManifest, text: Text) -> str:
    pairs = zip(manifest.targets, text.prompts, strict=False)
    rows = [(target.label, escape("; ".join(prompts))) for target, prompts in pairs]
    return facts([*rows, ("Text encoder", escape(text.encoder))])


def _data(data: DataUse, manifest: QueryManifest) -> str:
    drawn = ", ".join(map(str, data.n_positive))
    return facts(
        [
            ("Data set", escape(data.title)),
            ("DOI", doi_link(data.doi)),
            ("Split", escape(data.split)),
            ("Photographs", f"{data.n_images}; {shown(manifest)} {drawn}"),
            ("Licence", licence_text(data.licence)),
            ("Citation", escape(data.citation or "")),
        ]
    )


def figures(manifest: QueryManifest) -> str:
    """Give what was measured, with a warning where that was on what it was made from."""
    graded = manifest.graded or ()
    if not (manifest.metrics or graded):
        return "<p>Not measured: how often this version is right is not known.</p>"
    used = {data.split_digest for data in manifest.data}
    found = [_measured(one, seen=one.split_digest in used) for one in manifest.metrics]
    found += [_graded(one, seen=one.split_digest in used) for one in graded]
    return "\n".join(found)


def _graded(graded: Graded, *, seen: bool) -> str:
    rows = "".join(
        _graded_row(label, graded.values[name])
        for name, label in GRADED.items()
        if name in graded.values
    )
    return f"""<p>{escape(graded.dataset)}, split {escape(graded.split)},
{graded.n_images} photographs, each as a whole.{_SEEN if seen else ""}</p>
<table class="figures">
<thead><tr><th scope="col">Over photographs</th><th scope="col" class="number">Value</th>
<th scope="col" class="number">95&nbsp;%&nbsp;interval</th><th class="range" aria-hidden="true">
<span>0</span><span>1</span></th></tr></thead>
<tbody>
{rows}</tbody>
</table>"""


def _graded_row(label: str, value: Estimate) -> str:
    low, high = value.ci95
    return f"""<tr><th scope="row">{label}</th><td class="number">{value.value:.4f}</td>
<td class="number">{low:.4f}&ndash;{high:.4f}</td>
<td class="range">{estimate_strip(value)}</td></tr>
"""


def _measured(measured: Measured, *, seen: bool) -> str:
    warning = _SEEN if seen else ""
    shown = [(label, measured.values.get(name)) for name, label in _METRICS.items()]
    rows = "".join(_metric_row(label, value) for label, value in shown if value is not None)
    return f"""<p>{escape(measured.dataset)}, split {escape(measured.split)},
{measured.n_images} photographs; Dice at threshold {measured.threshold:g}.{warning}</p>
<table class="figures">
<thead><tr><th scope="col">Per photograph</th><th scope="col" class="number">Mean</th>
<th scope="col" class="number">95&nbsp;%&nbsp;interval</th><th scope="col" class="number">Min</th>
<th scope="col" class="number">Max</th><th class="range" aria-hidden="true">
<span>0</span><span>1</span></th></tr></thead>
<tbody>
{rows}</tbody>
</table>"""


def _metric_row(label: str, value: Interval) -> str:
    low, high = value.ci95
    return f"""<tr><th scope="row">{label}</th><td class="number">{value.mean:.4f}</td>
<td class="number">{low:.4f}&ndash;{high:.4f}</td><td class="number">{value.min:.4f}</td>
<td class="number">{value.max:.4f}</td><td class="range">{range_strip(value)}</td></tr>
"""

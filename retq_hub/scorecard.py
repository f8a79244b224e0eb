"""An evaluation as a page of HTML to send to a colleague, with its JSON document beside it.

Every text is escaped, since manifests and file names come from strangers. The same inputs give the
same bytes.
"""

from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from retq_hub.comparison import Comparison
from retq_hub.dataset import Dataset
from retq_hub.figures import Evaluation, Example
from retq_hub.images import decode
from retq_hub.manifest import Interval
from retq_hub.markup import figure, percent
from retq_hub.metrics import ImageMetrics
from retq_hub.overlay import outlined
from retq_hub.page import write_page
from retq_hub.pixels import Pooled
from retq_hub.plots import dot_strip, froc_plot, precision_recall_plot, reliability_plot
from retq_hub.provenance import definitions, facts_of_data, facts_of_query
from retq_hub.storage import write_json
from retq_hub.tables import (
    LABELS,
    differences_table,
    figures_table,
    group_name,
    groups_table,
    images_table,
    n_defined,
)

__all__ = ["DOCUMENT", "PAGE", "write_scorecard"]

_FEW = 10
PAGE = "report.html"
DOCUMENT = "evaluation.json"

_PICTURE_PX = 800
_HEADLINES = ("dice", "auroc", "auprc")
_READER, _QUERY = "#FFFFFF", "#56B4E9"


def write_scorecard(folder: Path, found: Evaluation, *, dataset: Dataset) -> None:
    """Write ``report.html`` and ``evaluation.json``, each whole or not at all.

    Args:
        folder: Where to.
        found: What the evaluation found.
        dataset: The split that it was made on.

    Raises:
        ImageError: An image that is to be shown cannot be read any more.
        StorageError: The place cannot be written.
    """
    sections = [
        _overview(found),
        _curves(found),
        _groups(found) if found.groups else "",
        _against(found, found.against) if found.against else "",
        _examples(found),
        _every_image(found),
        _about(found, dataset),
    ]
    write_json(folder / DOCUMENT, found.document())
    write_page(
        folder / PAGE,
        title=f"{found.query} on {dataset.title}",
        subtitle=f"Split {found.split}: {len(found.images)} photographs, compared with the "
        f"reader\u2019s masks at {found.size_px} \u00d7 {found.size_px} pixels",
        sections=[one for one in sections if one],
    )


def _overview(found: Evaluation) -> str:
    lesions = found.lesions
    low, high = lesions.ci95
    seen = ""
    if found.n_trained_on:
        seen = (
            f'<p class="notice">The query was trained on {found.n_trained_on} of these '
            f"{len(found.images)} photographs: the figures say nothing of new ones.</p>"
        )
    tiles = [
        *(_interval_tile(found, name) for name in _HEADLINES if name in found.metrics),
        _tile(
            "Lesion sensitivity",
            f"{lesions.mean_sensitivity:.3f}",
            f"{low:.3f}&ndash;{high:.3f}, mean at 1/8 to 8 false positives a photograph",
        ),
    ]
    return f"""<section aria-labelledby="overview">
<h2 id="overview">In short</h2>
{seen}<p class="lead">{escape(found.manifest.summary)}</p>
<dl class="tiles">
{"".join(tiles)}</dl>
<h3>Dice of every photograph</h3>
{_dice_strips(found)}
<p class="small">A dot is a photograph. The line is the mean, the band its 95&nbsp;% interval.</p>
<h3>Per photograph</h3>
{figures_table(found)}
<p class="small">Mean over photographs, with the 95&nbsp;% interval of 10,000 resamples of them.
The bar runs from the lowest to the highest photograph, thick is the interval, the dot the mean.
Dice, IoU and outlines are taken at the query\u2019s threshold of {found.threshold:g}.</p>
</section>"""


def _tile(label: str, value: str, below: str) -> str:
    return f"<div><dt>{label}</dt><dd>{value}<small>{below}</small></dd></div>\n"


def _interval_tile(found: Evaluation, name: str) -> str:
    one = found.metrics[name]
    low, high = one.ci95
    below = f"{low:.3f}&ndash;{high:.3f}, mean of {n_defined(found, name)} photographs"
    return _tile(f"{LABELS[name]} per photograph", f"{one.mean:.3f}", below)


def _dice_strips(found: Evaluation) -> str:
    if not found.groups:
        return _dice_strip(found.images, found.metrics["dice"])
    return "\n".join(
        f'<p class="lane">{group_name(group)}</p>\n'
        + _dice_strip([one for one in found.images if one.group == group], figures["dice"])
        for group, figures in found.groups.items()
    )


def _dice_strip(images: list[ImageMetrics] | tuple[ImageMetrics, ...], summary: Interval) -> str:
    values = [(one.id, one.values["dice"]) for one in images]
    said = (
        f"Dice of {len(images)} photographs from {summary.min:.3f} to {summary.max:.3f}, "
        f"mean {summary.mean:.3f}"
    )
    return dot_strip(values, summary, said=said)


def _curves(found: Evaluation) -> str:
    pooled, lesions = found.pooled, found.lesions
    return f"""<section aria-labelledby="curves">
<h2 id="curves">All pixels, and lesions</h2>
<div class="plots">
<figure>{precision_recall_plot(pooled, found.threshold)}
<figcaption><strong>Precision and recall</strong> over all
{pooled.n_pixels / 1e6:.1f} million pixels. AUPRC {pooled.auprc:.4f}{_interval(pooled, "auprc")},
AUROC {pooled.auroc:.4f}{_interval(pooled, "auroc")}. The dashed line is what chance gives: the
reader marked {percent(pooled.n_positive / pooled.n_pixels, 2)}.</figcaption></figure>
<figure>{reliability_plot(pooled)}
<figcaption><strong>Calibration.</strong> On the dashed line probabilities come true. Expected
calibration error {pooled.calibration_error:.4f}. A larger dot stands for more
pixels.</figcaption></figure>
<figure>{froc_plot(lesions)}
<figcaption><strong>Lesions found</strong>, of {lesions.n_lesions}. Mean sensitivity
{lesions.mean_sensitivity:.4f}. At the query\u2019s threshold {percent(lesions.touched, 1)} are
touched, and {lesions.false_regions:.1f} marked regions a photograph touch
none.</figcaption></figure>
</div>
</section>"""


def _interval(pooled: Pooled, name: str) -> str:
    if not pooled.ci95:
        return ""
    low, high = pooled.ci95[name]
    return f" ({low:.4f}&ndash;{high:.4f})"


def _groups(found: Evaluation) -> str:
    return f"""<section aria-labelledby="groups">
<h2 id="groups">By camera or site</h2>
{groups_table(found)}
<p class="small">Mean per photograph, 95&nbsp;% interval below it.</p>
</section>"""


def _few(found: Evaluation) -> str:
    n = len(found.images)
    return f"; with {n} photographs an interval is no more than a hint" if n < _FEW else ""


def _against(found: Evaluation, against: Comparison) -> str:
    return f"""<section aria-labelledby="against">
<h2 id="against">Against {escape(against.query)}</h2>
<p>The figure of {escape(found.query)} minus that of {escape(against.query)}, photograph by
photograph, each query at its own threshold ({found.threshold:g} and {against.threshold:g}). Where
the interval does not hold zero, chance between photographs alone would hardly give such a
difference{_few(found)}.</p>
{differences_table(against)}
<p class="small">Better, equal and worse count photographs. Of HD95 less is better. The interval
resamples both queries on the same photographs; the mark in the middle of a line is zero, and each
line has its own scale.</p>
</section>"""


def _examples(found: Evaluation) -> str:
    shown = "\n".join(_example(one, found.threshold) for one in found.examples)
    return f"""<section class="examples" aria-labelledby="examples">
<h2 id="examples">Typical photographs</h2>
<p>By Dice. White is what the reader drew, blue what the query marks.</p>
{shown}
</section>"""


def _example(one: Example, threshold: float) -> str:
    photograph = decode(one.image)
    cut = np.float32(np.log(threshold / (1 - threshold)))
    name, dice = one.metrics.id, one.metrics.values["dice"]
    drawn = one.mask.astype(np.float32) - np.float32(0.5)
    pictures = [
        _outline(photograph, drawn, _READER, f"The reader\u2019s mask on {name}", "Reader"),
        _outline(photograph, one.logits - cut, _QUERY, f"The query\u2019s mask on {name}", "Query"),
    ]
    return f"""<div class="pair">
<h3>{one.kind.capitalize()}: {escape(name)}, Dice {dice:.3f}</h3>
<div class="columns">
{"".join(pictures)}
</div>
</div>"""


def _outline(
    photograph: Image.Image, margin: np.ndarray, colour: str, alt: str, caption: str
) -> str:
    picture = outlined(photograph, margin, colour=colour, max_side_px=_PICTURE_PX)
    said = "" if (margin > 0).any() else ": nothing marked"
    return figure(picture, alt=f"{alt}{said}", caption=f"{caption}{said}")


def _every_image(found: Evaluation) -> str:
    return f"""<section aria-labelledby="every">
<h2 id="every">Every photograph</h2>
{images_table(found)}
<p class="small">By falling Dice. A dash: not defined, since the mask or the prediction is
empty.</p>
</section>"""


def _about(found: Evaluation, dataset: Dataset) -> str:
    return f"""<section aria-labelledby="about">
<h2 id="about">What was evaluated, and how</h2>
<div class="columns">
<div><h3>The query</h3>
{facts_of_query(found, dataset)}</div>
<div><h3>The photographs</h3>
{facts_of_data(found, dataset)}
<h3>What the figures mean</h3>
{definitions(found)}</div>
</div>
</section>"""

"""One photograph's report: a page of HTML that stands alone, to read, to print and to send on.

Every text is escaped, since manifests come from strangers. The page loads nothing and runs nothing,
and tells the browser so. The same inputs give the same bytes.
"""

import platform
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from importlib.metadata import version
from itertools import cycle
from pathlib import Path

from PIL import Image

import retq_hub
from retq_hub.card import combination
from retq_hub.images import decode
from retq_hub.manifest import DataUse, Interval, Measured, QueryManifest
from retq_hub.markup import (
    data_uri,
    digest_code,
    doi_link,
    facts,
    figure,
    licence_text,
    range_strip,
    swatch,
    target_text,
)
from retq_hub.overlay import PALETTE, area_text, colour_bar, marks, probability_map
from retq_hub.page import write_page
from retq_hub.result import Segmentation
from retq_hub.spec import BackboneSpec

__all__ = ["write_report"]

_PICTURE_PX = 1200
_MAP_PX = 900
_METRICS = {"auroc": "AUROC", "dice": "Dice"}


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A query as the page shows it."""

    anchor: str
    name: str
    colour: str
    found: Segmentation

    @property
    def manifest(self) -> QueryManifest:
        return self.found.manifest

    @property
    def labels(self) -> str:
        return ", ".join(target.label for target in self.manifest.targets)

    @property
    def thresholds(self) -> str:
        return ", ".join(f"{value:g}" for value in self.manifest.head.thresholds)

    @property
    def is_empty(self) -> bool:
        return area_text(self.found) == "nothing marked"


def write_report(
    path: Path,
    *,
    title: str,
    image: Image.Image,
    image_name: str,
    result: Mapping[str, Segmentation],
    backbone: BackboneSpec,
) -> None:
    """Write a page on what queries say of one photograph, whole or not at all.

    Args:
        path: The HTML file.
        title: The page's heading.
        image: The photograph that the queries were applied to.
        image_name: What to call it, for example its file's name.
        result: The segmentations by the queries' names.
        backbone: The backbone that they were computed with.

    Raises:
        StorageError: The place cannot be written.
    """
    entries = [
        _Entry(anchor=f"query-{number}", name=name, colour=colour, found=found)
        for number, ((name, found), colour) in enumerate(
            zip(result.items(), cycle(PALETTE), strict=False), start=1
        )
    ]
    picture = decode(image)
    sections = [
        _overview(entries, picture, image_name),
        *(_query(entry, picture, backbone) for entry in entries),
        _making(entries, image_name, backbone),
    ]
    subtitle = f"{image_name}, {picture.width} \u00d7 {picture.height} pixels"
    write_page(path, title=title, subtitle=subtitle, sections=sections)


def _overview(entries: list[_Entry], image: Image.Image, image_name: str) -> str:
    drawn = marks(image, {one.name: one.found for one in entries}, max_side_px=_PICTURE_PX)
    said = "; ".join(f"{one.name}: {area_text(one.found)}" for one in entries)
    plain = marks(image, {}, max_side_px=_PICTURE_PX)
    alt = f"The photograph with the marked places outlined. {said}"
    caption = "The same, with what each query marks outlined in its colour."
    if all(one.is_empty for one in entries):
        caption = "The same: no query marks anything."
    return f"""<section aria-labelledby="overview">
<h2 id="overview">What was marked</h2>
<div class="columns">
{figure(plain, alt=f"The photograph {image_name}", caption="The photograph as it was given.")}
{figure(drawn, alt=alt, caption=caption)}
</div>
<table class="overview">
<thead><tr><th scope="col">Query</th><th scope="col" class="number">Marked area</th>
<th scope="col" class="number">Highest probability</th>
<th scope="col" class="number">Threshold</th></tr></thead>
<tbody>
{"".join(map(_overview_row, entries))}</tbody>
</table>
<p class="small">The area is a share of the whole picture, black surround included. A place is
marked where the probability is above the query's threshold.</p>
</section>"""


def _overview_row(entry: _Entry) -> str:
    return f"""<tr><th scope="row"><div class="key">{swatch(entry.colour)}<div>
<a href="#{entry.anchor}">{escape(entry.name)}</a>
<small>{escape(entry.labels)}</small></div></div></th>
<td class="number">{escape(area_text(entry.found))}</td>
<td class="number">{_probability(entry.found.max_probability)}</td>
<td class="number">{entry.thresholds}</td></tr>
"""


def _query(entry: _Entry, image: Image.Image, backbone: BackboneSpec) -> str:
    manifest = entry.manifest
    return f"""<section class="query" aria-labelledby="{entry.anchor}">
<h2 id="{entry.anchor}">{swatch(entry.colour)}{escape(entry.name)}</h2>
<p class="lead">{escape(manifest.summary)}</p>
<div class="columns">
{_map_figure(entry, image)}
<div>
<h3>On this photograph</h3>
{_findings(entry)}
<h3>What it is</h3>
{_identity(entry, backbone)}
</div>
</div>
<div class="columns">
<div>
<h3>Made from</h3>
{"".join(map(_data, manifest.data))}
</div>
<div>
<h3>How well it did</h3>
{_figures(manifest)}
<h3>Limits</h3>
<p>{escape(manifest.limits)}</p>
</div>
</div>
</section>"""


def _map_figure(entry: _Entry, image: Image.Image) -> str:
    said = "the white line encloses what is above the threshold"
    said = "nowhere is it above the threshold" if entry.is_empty else said
    return figure(
        probability_map(image, entry.found, max_side_px=_MAP_PX),
        alt=f"Probability of {entry.labels} as colours over the grey photograph; {said}",
        caption=f"Probability of {entry.labels}: {said}.",
        html=_scale(entry.manifest.head.thresholds, entry.thresholds),
    )


def _scale(thresholds: tuple[float, ...], shown: str) -> str:
    """Give the colour bar from 0 to 1; its label stays clear of the numbers at the ends."""
    ticks = "".join(f'<span class="tick" style="left: {one:.1%}"></span>' for one in thresholds)
    place = min(0.78, max(0.22, sum(thresholds) / len(thresholds)))
    return f"""
<div class="scale"><div class="bar"><img src="{data_uri(colour_bar(256, 1), "PNG")}"
alt="Colour scale from probability 0 at the left to 1; threshold {shown}">{ticks}</div>
<p><span>0</span><span class="label" style="left: {place:.1%}">threshold {shown}</span>
<span>1</span></p></div>"""


def _findings(entry: _Entry) -> str:
    area, labels = area_text(entry.found), escape(entry.labels)
    sentence = (
        f"Nothing is marked as {labels}. That does not rule it out."
        if entry.is_empty
        else f"{area.capitalize()} of the picture is marked as {labels}."
    )
    rows = [
        ("Highest probability", _probability(entry.found.max_probability)),
        ("Threshold", entry.thresholds),
        ("Threshold chosen by", escape(entry.manifest.head.threshold_choice)),
    ]
    return f'<p class="finding">{sentence}</p>\n{facts(rows)}'


def _identity(entry: _Entry, backbone: BackboneSpec) -> str:
    manifest = entry.manifest
    licences = (manifest.licence, backbone.licence, *(data.licence for data in manifest.data))
    weights = (
        f"{escape(manifest.backbone.id)}, weights {digest_code(manifest.backbone.weights_digest)}"
    )
    if manifest.backbone.weights_digest != backbone.weights_digest:
        weights += "; <strong>other weights than those used here</strong>"
    return facts(
        [
            ("Marks", "<br>".join(map(target_text, manifest.targets))),
            ("Intended use", escape(manifest.intended_use)),
            ("Authors", escape(", ".join(manifest.authors))),
            ("Version", f"{escape(manifest.version)}, digest {digest_code(manifest.digest)}"),
            ("Made for backbone", weights),
            ("Licence", licence_text(manifest.licence)),
            ("All licences together", escape(combination(licences))),
        ]
    )


def _data(data: DataUse) -> str:
    drawn = ", ".join(map(str, data.n_positive))
    return facts(
        [
            ("Data set", escape(data.title)),
            ("DOI", doi_link(data.doi)),
            ("Split", escape(data.split)),
            ("Photographs", f"{data.n_images}; the target is drawn in {drawn}"),
            ("Licence", licence_text(data.licence)),
            ("Citation", escape(data.citation or "")),
        ]
    )


def _figures(manifest: QueryManifest) -> str:
    if not manifest.metrics:
        return "<p>Not measured: how often this version is right is not known.</p>"
    used = {data.split_digest for data in manifest.data}
    return "\n".join(_measured(one, seen=one.split_digest in used) for one in manifest.metrics)


def _measured(measured: Measured, *, seen: bool) -> str:
    warning = " <strong>It was made from these very photographs.</strong>" if seen else ""
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


def _making(entries: list[_Entry], image_name: str, backbone: BackboneSpec) -> str:
    software = [f"{name} {version(name)}" for name in ("torch", "timm", "numpy", "pillow")]
    software = [f"retq-hub {retq_hub.__version__}", *software]
    made_with = facts(
        [
            ("Backbone", f"{escape(backbone.title)} ({escape(backbone.id)})"),
            ("About it", escape(backbone.summary)),
            ("Weights digest", f"<code>{escape(backbone.weights_digest or 'not pinned')}</code>"),
            ("Backbone's licence", licence_text(backbone.licence)),
            ("Software", f"{', '.join(software)}, Python {platform.python_version()}"),
        ]
    )
    pinned = [f"{one.manifest.name}@{one.manifest.version}" for one in entries]
    queries = " ".join(f"-q {shlex.quote(name)}" for name in pinned)
    command = f"retq segment {shlex.quote(image_name)} {queries} -o out/"
    code = f"""from retq_hub import Pipeline

pipe = Pipeline.from_pretrained(queries={pinned!r})
result = pipe({image_name!r})"""
    return f"""<section aria-labelledby="making">
<h2 id="making">How this was made</h2>
{made_with}
<h3>To do it again</h3>
<pre><code>{escape(command)}</code></pre>
<pre><code>{escape(code)}</code></pre>
<p class="small">A query that lies in a folder goes by the folder's path instead.</p>
</section>"""


def _probability(value: float) -> str:
    if 0 < value < 0.001:
        return "under 0.001"
    return "over 0.999" if 0.999 < value < 1 else f"{value:.3f}"

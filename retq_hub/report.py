"""One photograph's report: a page of HTML that stands alone, to read, to print and to send on.

Every text is escaped and every link checked, since manifests come from strangers. The page loads
nothing and runs nothing, and says so to the browser. The same inputs give the same bytes.
"""

import base64
import io
import platform
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from importlib.metadata import version
from importlib.resources import files
from itertools import cycle
from pathlib import Path
from urllib.parse import quote

from PIL import Image

import retq_hub
from retq_hub.card import NOT_A_DEVICE, combination
from retq_hub.images import decode
from retq_hub.manifest import BackboneSpec, DataUse, Interval, Licence, Measured, Target
from retq_hub.overlay import PALETTE, area_text, colour_bar, marks, probability_map
from retq_hub.pipeline import Segmentation
from retq_hub.storage import write_text

__all__ = ["write_report"]

_PICTURE_PX = 1200
_MAP_PX = 900
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'"
_SHOWN_METRICS = {"auroc": "AUROC", "dice": "Dice"}
_CODE_PATTERN = re.compile(r"[0-9]{6,18}")
_DOI_PATTERN = re.compile(r"10\.[0-9]{4,9}/[!-~]+")
_NO_FIGURES = (
    "Not measured: this version came without figures, so nothing is known of how often it is right."
)


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A query as the page shows it."""

    anchor: str
    name: str
    colour: str
    found: Segmentation

    @property
    def labels(self) -> str:
        return ", ".join(target.label for target in self.found.manifest.targets)

    @property
    def thresholds(self) -> str:
        return ", ".join(f"{value:g}" for value in self.found.manifest.head.thresholds)


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
    parts = [
        _head(title, picture, image_name),
        "<main>",
        _overview(entries, picture, image_name),
        *(_query(entry, picture, backbone) for entry in entries),
        _making(entries, image_name, backbone),
        "</main>\n</body>\n</html>\n",
    ]
    write_text(path, "\n".join(parts))


def _head(title: str, image: Image.Image, image_name: str) -> str:
    style = files("retq_hub").joinpath("report.css").read_text(encoding="utf-8")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p>{escape(image_name)}, {image.width} &times; {image.height} pixels</p>
<p class="notice">{escape(NOT_A_DEVICE)}</p>
</header>"""


def _overview(entries: list[_Entry], image: Image.Image, image_name: str) -> str:
    drawn = marks(image, {one.name: one.found for one in entries}, max_side_px=_PICTURE_PX)
    said = "; ".join(f"{one.name}: {area_text(one.found)}" for one in entries)
    rows = "\n".join(_overview_row(entry) for entry in entries)
    return f"""<section aria-labelledby="overview">
<h2 id="overview">What was marked</h2>
<div class="columns">
{_figure(_scaled(image), f"The photograph {image_name}", "The photograph as it was given.")}
{_figure(drawn, f"The photograph with outlines. {said}", "Outlined: what each query marks.")}
</div>
<div class="scroll"><table>
<thead><tr><th scope="col">Query</th><th scope="col">Marks</th><th scope="col" class="number">Area
</th><th scope="col" class="number">Highest probability</th><th scope="col" class="number">Threshold
</th></tr></thead>
<tbody>
{rows}
</tbody>
</table></div>
<p class="small">Area is the share of the whole picture, black surround included. A place is marked
where the probability is above the query's threshold.</p>
</section>"""


def _overview_row(entry: _Entry) -> str:
    return (
        f'<tr><th scope="row">{_swatch(entry)}<a href="#{entry.anchor}">{escape(entry.name)}</a>'
        f"</th><td>{escape(entry.labels)}</td>"
        f'<td class="number">{escape(area_text(entry.found))}</td>'
        f'<td class="number">{_probability(entry.found.max_probability)}</td>'
        f'<td class="number">{entry.thresholds}</td></tr>'
    )


def _query(entry: _Entry, image: Image.Image, backbone: BackboneSpec) -> str:
    manifest = entry.found.manifest
    figures = "\n".join(map(_measured, manifest.metrics)) or f"<p>{_NO_FIGURES}</p>"
    return f"""<section class="query" aria-labelledby="{entry.anchor}">
<h2 id="{entry.anchor}">{_swatch(entry)}{escape(entry.name)}</h2>
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
<h3>How well it did there</h3>
{figures}
</div>
</div>
<h3>Limits</h3>
<p>{escape(manifest.limits)}</p>
</section>"""


def _map_figure(entry: _Entry, image: Image.Image) -> str:
    picture = probability_map(image, entry.found, max_side_px=_MAP_PX)
    said = area_text(entry.found)
    alt = f"Probability of {entry.labels} laid over the photograph in colours; marked: {said}"
    ticks = "".join(
        f'<span class="tick" style="left: {value:.1%}"></span>'
        for value in entry.found.manifest.head.thresholds
    )
    caption = (
        f"Probability of {entry.labels}. The white line encloses what is above the threshold."
        if said != "nothing marked"
        else f"Probability of {entry.labels}. It is nowhere above the threshold."
    )
    bar = f"Colour scale from probability 0 to 1, threshold at {entry.thresholds}"
    return f"""<figure>
<img src="{_data_uri(picture, "JPEG")}" width="{picture.width}" height="{picture.height}"
alt="{escape(alt)}">
<div class="scale"><img src="{_data_uri(colour_bar(256, 1), "PNG")}" alt="{escape(bar)}">{ticks}
<p><span>0</span><span>threshold {entry.thresholds}</span><span>1</span></p></div>
<figcaption>{escape(caption)}</figcaption>
</figure>"""


def _findings(entry: _Entry) -> str:
    area, labels = area_text(entry.found), escape(entry.labels)
    if area == "nothing marked":
        sentence = f"Nothing is marked as {labels}. That does not rule it out."
    else:
        sentence = f"{area[0].upper()}{area[1:]} of the picture is marked as {labels}."
    facts = _facts(
        [
            ("Area", escape(area)),
            ("Highest probability", _probability(entry.found.max_probability)),
            ("Threshold", f"{entry.thresholds} ({escape(_choice(entry))})"),
        ]
    )
    return f'<p class="finding">{sentence}</p>\n{facts}'


def _choice(entry: _Entry) -> str:
    return f"chosen by {entry.found.manifest.head.threshold_choice}"


def _identity(entry: _Entry, backbone: BackboneSpec) -> str:
    manifest = entry.found.manifest
    licences = (manifest.licence, backbone.licence, *(data.licence for data in manifest.data))
    made_for = escape(manifest.backbone.id)
    if manifest.backbone.weights_digest != backbone.weights_digest:
        made_for += f", other weights ({_short(manifest.backbone.weights_digest)}) than used here"
    return _facts(
        [
            ("Marks", "<br>".join(map(_target, manifest.targets))),
            ("Intended use", escape(manifest.intended_use)),
            ("Authors", escape(", ".join(manifest.authors))),
            ("Version", f"{escape(manifest.version)}, digest {_short(manifest.digest)}"),
            ("Made for", made_for),
            ("Licence", _licence(manifest.licence)),
            ("With data and backbone", escape(combination(licences))),
        ]
    )


def _target(target: Target) -> str:
    if target.code is None:
        return f"{escape(target.label)} (no SNOMED CT code)"
    code = escape(target.code.code)
    if _CODE_PATTERN.fullmatch(target.code.code):
        code = _link(f"https://browser.ihtsdotools.org/?perspective=full&conceptId1={code}", code)
    return f"{escape(target.label)} (SNOMED CT {code}, {escape(target.code.display)})"


def _data(data: DataUse) -> str:
    positive = ", ".join(map(str, data.n_positive))
    facts = [
        ("Data set", escape(data.title)),
        ("DOI", _doi(data.doi)),
        ("Split", escape(data.split)),
        ("Photographs", f"{data.n_images}, the target is drawn on {positive} of them"),
        ("Licence", _licence(data.licence)),
        ("Citation", escape(data.citation or "")),
    ]
    return _facts([(term, value) for term, value in facts if value])


def _measured(measured: Measured) -> str:
    shown = [(label, measured.values.get(name)) for name, label in _SHOWN_METRICS.items()]
    rows = "\n".join(_metric_row(label, value) for label, value in shown if value is not None)
    return f"""<p>{escape(measured.dataset)}, split {escape(measured.split)}: {measured.n_images}
photographs that it was not made from, unless the split is the one at the left; Dice at threshold
{measured.threshold:g}.</p>
<div class="scroll"><table class="figures">
<thead><tr><th scope="col"></th><th scope="col" class="number">Mean</th>
<th scope="col" class="number">95&nbsp;% interval</th><th scope="col" class="number">Lowest</th>
<th scope="col" class="number">Highest</th><th class="range" aria-hidden="true">
<span>0</span><span>1</span></th></tr></thead>
<tbody>
{rows}
</tbody>
</table></div>"""


def _metric_row(label: str, value: Interval) -> str:
    low, high = value.ci95
    return (
        f'<tr><th scope="row">{label}</th><td class="number">{value.mean:.3f}</td>'
        f'<td class="number">{low:.3f}&ndash;{high:.3f}</td>'
        f'<td class="number">{value.min:.3f}</td><td class="number">{value.max:.3f}</td>'
        f'<td class="range">{_range(value)}</td></tr>'
    )


def _range(value: Interval) -> str:
    """Draw an interval on a line from 0 to 1: thin the range, thick the interval, a dot the mean.

    The table's numbers say the same, so that those who listen to the page miss nothing.
    """
    low, high = value.ci95
    return (
        '<svg aria-hidden="true" width="100%" height="16">'
        '<line class="axis" x1="0" x2="100%" y1="8" y2="8"/>'
        f'<line class="thin" x1="{value.min:.1%}" x2="{value.max:.1%}" y1="8" y2="8"/>'
        f'<line class="thick" x1="{low:.1%}" x2="{high:.1%}" y1="8" y2="8"/>'
        f'<circle cx="{value.mean:.1%}" cy="8" r="4"/></svg>'
    )


def _making(entries: list[_Entry], image_name: str, backbone: BackboneSpec) -> str:
    pinned = [f"{one.found.manifest.name}@{one.found.manifest.version}" for one in entries]
    options = " ".join(f"-q {shlex.quote(name)}" for name in pinned)
    code = f"""from retq_hub import Pipeline

pipe = Pipeline.from_pretrained(queries={pinned!r})
result = pipe({image_name!r})"""
    versions = [f"{name} {version(name)}" for name in ("torch", "timm", "numpy", "pillow")]
    facts = _facts(
        [
            ("Backbone", f"{escape(backbone.title)} ({escape(backbone.id)})"),
            ("", escape(backbone.summary)),
            ("Weights digest", f"<code>{escape(backbone.weights_digest or 'not pinned')}</code>"),
            ("Backbone's licence", _licence(backbone.licence)),
            ("Software", f"retq-hub {retq_hub.__version__}, Python {platform.python_version()}, "),
            ("", ", ".join(versions)),
        ]
    )
    return f"""<section aria-labelledby="making">
<h2 id="making">How this was made</h2>
{facts}
<h3>To do it again</h3>
<pre><code>retq segment {escape(shlex.quote(image_name))} {escape(options)} -o out/</code></pre>
<pre><code>{escape(code)}</code></pre>
</section>"""


def _figure(picture: Image.Image, alt: str, caption: str) -> str:
    return f"""<figure>
<img src="{_data_uri(picture, "JPEG")}" width="{picture.width}" height="{picture.height}"
alt="{escape(alt)}">
<figcaption>{escape(caption)}</figcaption>
</figure>"""


def _scaled(image: Image.Image) -> Image.Image:
    small = image.copy()
    small.thumbnail((_PICTURE_PX, _PICTURE_PX), Image.Resampling.LANCZOS)
    return small


def _data_uri(picture: Image.Image, kind: str) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind, quality=88, subsampling=0, optimize=True)
    coded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{kind.lower()};base64,{coded}"


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    """Give a list of terms and their values, which are HTML already."""
    rows = "\n".join(f"<div><dt>{term}</dt><dd>{value}</dd></div>" for term, value in facts)
    return f"<dl>\n{rows}\n</dl>"


def _swatch(entry: _Entry) -> str:
    return (
        '<svg class="swatch" aria-hidden="true" viewBox="0 0 16 16">'
        f'<rect x="1" y="1" width="14" height="14" rx="3" fill="{entry.colour}"/></svg>'
    )


def _link(url: str, text: str) -> str:
    """Link text that is HTML already to an address that is escaped already."""
    return f'<a href="{url}" rel="noreferrer">{text}</a>'


def _doi(doi: str | None) -> str:
    if doi is None or not _DOI_PATTERN.fullmatch(doi):
        return escape(doi or "")
    return _link(f"https://doi.org/{quote(doi, safe='/')}", escape(doi))


def _licence(licence: Licence) -> str:
    named = escape(licence.name or licence.id)
    if licence.url and licence.url.startswith(("https://", "http://")):
        named = _link(escape(licence.url), named)
    use = {True: "allowed", False: "not allowed", None: "not known"}[licence.commercial_use]
    return f"{named}; commercial use {use}"


def _short(digest: str) -> str:
    return f'<code title="{escape(digest)}">{escape(digest[:12])}</code>'


def _probability(value: float) -> str:
    if 0 < value < 0.001:
        return "under 0.001"
    return "over 0.999" if 0.999 < value < 1 else f"{value:.3f}"

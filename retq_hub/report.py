"""One photograph's report: a page of HTML that stands alone, to read, to print and to send on.

Every text is escaped, since manifests come from strangers. The page loads nothing and runs nothing,
and tells the browser so. The same inputs give the same bytes.
"""

import platform
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from importlib.metadata import version
from itertools import cycle
from pathlib import Path

from PIL import Image

import retq_hub
from retq_hub.dossier import figures, identity, made_from
from retq_hub.grades import attention_figure, bars_table, overview_row, overview_table, sentence
from retq_hub.grading import Grading, grading, probability_text
from retq_hub.heatmap import colour_bar
from retq_hub.images import decode
from retq_hub.manifest import QueryManifest
from retq_hub.markup import data_uri, facts, figure, licence_text, swatch
from retq_hub.overlay import PALETTE, area_text, marks, probability_map, targets
from retq_hub.page import write_page
from retq_hub.result import Classification, Reading, Segmentation, ZeroShot
from retq_hub.spec import BackboneSpec

__all__ = ["write_report"]

_PICTURE_PX = 1200
_MAP_PX = 900
_PLAIN = "The photograph as it was given."


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A query as the page shows it."""

    anchor: str
    name: str
    found: Reading
    told: Grading | None

    @property
    def manifest(self) -> QueryManifest:
        return self.found.manifest


@dataclass(frozen=True, kw_only=True)
class _Marked(_Entry):
    """A query that marks pixels; texts speak of the whole photograph too."""

    found: Segmentation
    colour: str

    @property
    def labels(self) -> str:
        return ", ".join(target.label for target in self.manifest.targets)

    @property
    def thresholds(self) -> str:
        return ", ".join(f"{value:g}" for value in self.manifest.head.thresholds)

    @property
    def is_empty(self) -> bool:
        return area_text(self.found) == "nothing marked"


@dataclass(frozen=True, kw_only=True)
class _Graded(_Entry):
    """A query that speaks of the whole photograph alone."""

    found: Classification
    told: Grading


def write_report(
    path: Path,
    *,
    title: str,
    image: Image.Image,
    image_name: str,
    result: Mapping[str, Reading],
    backbone: BackboneSpec,
) -> None:
    """Write a page on what queries say of one photograph, whole or not at all.

    Args:
        path: The HTML file.
        title: The page's heading.
        image: The photograph that the queries were applied to.
        image_name: What to call it, for example its file's name.
        result: What they say, by the queries' names.
        backbone: The backbone that they were computed with.

    Raises:
        StorageError: The place cannot be written.
    """
    entries = list(_entries(result))
    picture = decode(image)
    sections = [
        _overview(entries, picture, image_name),
        *(_section(entry, picture, backbone) for entry in entries),
        _making(entries, image_name, backbone),
    ]
    subtitle = f"{image_name}, {picture.width} \u00d7 {picture.height} pixels"
    write_page(path, title=title, subtitle=subtitle, sections=sections)


def _entries(result: Mapping[str, Reading]) -> Iterator[_Entry]:
    """Number the queries; those that mark something have colours."""
    colours = cycle(PALETTE)
    for number, (name, found) in enumerate(result.items(), start=1):
        anchor, told = f"query-{number}", grading(found)
        if isinstance(found, Segmentation):
            yield _Marked(anchor=anchor, name=name, found=found, told=told, colour=next(colours))
        elif told is not None:
            yield _Graded(anchor=anchor, name=name, found=found, told=told)


def _overview(entries: list[_Entry], image: Image.Image, image_name: str) -> str:
    marked = [one for one in entries if isinstance(one, _Marked)]
    plain = marks(image, {}, max_side_px=_PICTURE_PX)
    pictures = [figure(plain, alt=f"The photograph {image_name}", caption=_PLAIN)]
    tables = []
    if marked:
        pictures.append(_marks_figure(marked, image))
        tables.append(_marks_table(marked))
    if told := [one for one in entries if one.told is not None]:
        rows = (overview_row(one.name, one.anchor, one.told) for one in told if one.told)
        tables.append(overview_table("".join(rows)))
    columns = "\n".join(pictures)
    return f"""<section aria-labelledby="overview">
<h2 id="overview">What was {"marked" if marked else "said"}</h2>
<div class="columns">
{columns}
</div>
{"".join(tables)}
</section>"""


def _marks_figure(entries: list[_Marked], image: Image.Image) -> str:
    drawn = marks(image, {one.name: one.found for one in entries}, max_side_px=_PICTURE_PX)
    said = "; ".join(f"{one.name}: {area_text(one.found)}" for one in entries)
    alt = f"The photograph with the marked places outlined. {said}"
    caption = "The same, with what each query marks outlined in its colour."
    if all(one.is_empty for one in entries):
        caption = "The same: no query marks anything."
    return figure(drawn, alt=alt, caption=caption)


def _marks_table(entries: list[_Marked]) -> str:
    return f"""<table class="overview">
<thead><tr><th scope="col">Query</th><th scope="col" class="number">Marked area</th>
<th scope="col" class="number">Highest probability</th>
<th scope="col" class="number">Threshold</th></tr></thead>
<tbody>
{"".join(map(_overview_row, entries))}</tbody>
</table>
<p class="small">The area is a share of the whole picture, black surround included. A place is
marked where the probability is above the query's threshold.</p>"""


def _overview_row(entry: _Marked) -> str:
    return f"""<tr><th scope="row"><div class="key">{swatch(entry.colour)}<div>
<a href="#{entry.anchor}">{escape(entry.name)}</a>
<small>{escape(entry.labels)}</small></div></div></th>
<td class="number">{escape(area_text(entry.found))}</td>
<td class="number">{probability_text(entry.found.max_probability)}</td>
<td class="number">{entry.thresholds}</td></tr>
"""


def _section(entry: _Entry, image: Image.Image, backbone: BackboneSpec) -> str:
    manifest = entry.manifest
    key = swatch(entry.colour) if isinstance(entry, _Marked) else ""
    shown, found = _seen(entry, image)
    return f"""<section class="query" aria-labelledby="{entry.anchor}">
<h2 id="{entry.anchor}">{key}{escape(entry.name)}</h2>
<p class="lead">{escape(manifest.summary)}</p>
<div class="columns">
{shown}
<div>
<h3>On this photograph</h3>
{found}
<h3>What it is</h3>
{identity(manifest, backbone)}
</div>
</div>
<div class="columns">
<div>
<h3>Made from</h3>
{made_from(manifest)}
</div>
<div>
<h3>How well it did</h3>
{figures(manifest)}
<h3>Limits</h3>
<p>{escape(manifest.limits)}</p>
</div>
</div>
</section>"""


def _seen(entry: _Entry, image: Image.Image) -> tuple[str, str]:
    """Give what stands at the left, a picture if there is one, and what was found."""
    told = f"{_told(entry.told)}\n{bars_table(entry.told)}" if entry.told else ""
    if isinstance(entry, _Marked) and isinstance(entry.found, ZeroShot):
        return _texts_figure(entry.found, image), f"{told}\n{facts(_threshold(entry))}"
    if isinstance(entry, _Marked):
        return _map_figure(entry, image), _findings(entry)
    if isinstance(entry.found, Classification) and entry.found.weights is not None:
        return attention_figure(image, entry.found, max_side_px=_MAP_PX), told
    assert entry.told is not None, "what marks nothing speaks of the whole photograph"
    return f"<div>\n{bars_table(entry.told)}\n</div>", _told(entry.told)


def _told(told: Grading) -> str:
    return f'<p class="finding">{escape(sentence(told))}</p>'


def _texts_figure(found: ZeroShot, image: Image.Image) -> str:
    """Show where each text was found: they compete, so that one map would not tell them apart."""
    labels = ", ".join(target.label for target in found.manifest.targets)
    return figure(
        targets(image, found, max_side_px=_MAP_PX),
        alt=f"The photograph with the places outlined that are nearest to each text: {labels}",
        caption="Where each text is the most likely one and above its threshold.",
    )


def _map_figure(entry: _Marked, image: Image.Image) -> str:
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


def _findings(entry: _Marked) -> str:
    area, labels = area_text(entry.found), escape(entry.labels)
    said = f"{area.capitalize()} of the picture is marked as {labels}."
    if entry.is_empty:
        said = f"Nothing is marked as {labels}. That does not rule it out."
    highest = ("Highest probability", probability_text(entry.found.max_probability))
    return f'<p class="finding">{said}</p>\n{facts([highest, *_threshold(entry)])}'


def _threshold(entry: _Marked) -> list[tuple[str, str]]:
    chosen = escape(entry.manifest.head.threshold_choice)
    return [("Threshold", entry.thresholds), ("Threshold chosen by", chosen)]


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

"""Pieces of HTML: pictures, lists of facts, links. Text comes out escaped, addresses checked.

A parameter named ``html`` is HTML already; every other one is plain text from anywhere.
"""

import base64
import io
import re
from collections.abc import Iterable
from html import escape
from urllib.parse import quote

from PIL import Image

from retq_hub.kinds import Estimate
from retq_hub.manifest import Concept, Interval, Licence, Target

__all__ = [
    "concept_link",
    "data_uri",
    "digest_code",
    "doi_link",
    "estimate_strip",
    "facts",
    "figure",
    "licence_text",
    "percent",
    "range_strip",
    "share_bar",
    "swatch",
    "target_text",
]

_CONCEPT = re.compile(r"[0-9]{6,18}")
_DOI = re.compile(r"10\.[0-9]{4,9}/[!-~]+")
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")


def figure(picture: Image.Image, *, alt: str, caption: str, html: str = "") -> str:
    """Give a figure that carries its picture within.

    Args:
        picture: It is put in as JPEG.
        alt: What it shows, for those who do not see it.
        caption: The line below.
        html: What stands between picture and caption.
    """
    return f"""<figure>
<img src="{data_uri(picture, "JPEG")}" width="{picture.width}" height="{picture.height}"
alt="{escape(alt)}">{html}
<figcaption>{escape(caption)}</figcaption>
</figure>"""


def data_uri(picture: Image.Image, kind: str) -> str:
    """Give a picture as the text of an address; ``kind`` is ``JPEG`` or ``PNG``."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, quality=88, subsampling=0, optimize=True)
    coded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{kind.lower()};base64,{coded}"


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Give a list of terms with their values, which are HTML already; empty ones are left out."""
    shown = [f"<div><dt>{escape(term)}</dt><dd>{html}</dd></div>" for term, html in rows if html]
    return "\n".join(["<dl>", *shown, "</dl>"])


def swatch(colour: str) -> str:
    """Give a small square of a colour, ``#RRGGBB``; drawn, so that it is printed too.

    Raises:
        ValueError: It is no such colour.
    """
    if not _COLOUR.fullmatch(colour):
        raise ValueError(f"{colour!r} is no colour of the form #RRGGBB")
    return (
        '<svg class="swatch" aria-hidden="true" viewBox="0 0 16 16">'
        f'<rect x="1" y="1" width="14" height="14" rx="3" fill="{colour}"/></svg>'
    )


def range_strip(value: Interval) -> str:
    """Draw a metric on a line from 0 to 1: thin its range, thick its interval, a dot the mean.

    It is for the eye only: the numbers have to stand beside it.
    """
    low, high = value.ci95
    return (
        '<svg aria-hidden="true" width="100%" height="16">'
        '<line class="axis" x1="0" x2="100%" y1="8" y2="8"/>'
        f'<line class="thin" x1="{value.min:.1%}" x2="{value.max:.1%}" y1="8" y2="8"/>'
        f'<line class="thick" x1="{low:.1%}" x2="{high:.1%}" y1="8" y2="8"/>'
        f'<circle cx="{value.mean:.1%}" cy="8" r="3.5"/></svg>'
    )


def estimate_strip(value: Estimate) -> str:
    """Draw a figure over all images as `range_strip` does: thick its interval, a dot the figure."""
    low, high = (max(0.0, one) for one in value.ci95)
    return (
        '<svg aria-hidden="true" width="100%" height="16">'
        '<line class="axis" x1="0" x2="100%" y1="8" y2="8"/>'
        f'<line class="thick" x1="{low:.1%}" x2="{high:.1%}" y1="8" y2="8"/>'
        f'<circle cx="{max(0.0, value.value):.1%}" cy="8" r="3.5"/></svg>'
    )


def share_bar(value: float, *, said: bool, threshold: float | None = None) -> str:
    """Draw a probability as a bar from 0 to 1, coloured if it is said, with a line at a threshold.

    It is for the eye only: the number has to stand beside it.
    """
    line = ""
    if threshold is not None:
        line = f'<line x1="{threshold:.1%}" x2="{threshold:.1%}" y1="0" y2="16"/>'
    return (
        f'<svg class="share{" said" if said else ""}" aria-hidden="true" width="100%" height="16">'
        '<rect class="ground" x="0" y="2" width="100%" height="12" rx="2"/>'
        f'<rect class="fill" x="0" y="2" width="{value:.1%}" height="12" rx="2"/>{line}</svg>'
    )


def doi_link(doi: str | None) -> str:
    """Give a DOI with a link to what it names; without one if it is not formed like a DOI."""
    if doi is None or not _DOI.fullmatch(doi):
        return escape(doi or "")
    return _link(f"https://doi.org/{quote(doi, safe='/')}", doi)


def concept_link(concept: Concept) -> str:
    """Give a SNOMED CT concept with a link to its page."""
    code = escape(concept.code)
    if _CONCEPT.fullmatch(concept.code):
        code = _link(f"http://snomed.info/id/{concept.code}", concept.code)
    return f"SNOMED CT {code}, {escape(concept.display)}"


def target_text(target: Target) -> str:
    """Give what a query marks, with its SNOMED CT code where it has one."""
    code = concept_link(target.code) if target.code else "no SNOMED CT code"
    return f"{escape(target.label)} ({code})"


def licence_text(licence: Licence) -> str:
    """Give a licence with a link to its text, and whether it lets people use things for money."""
    name = licence.name or licence.id
    web = licence.url is not None and licence.url.startswith(("https://", "http://"))
    named = _link(licence.url or "", name) if web else escape(name)
    use = {True: "allowed", False: "not allowed", None: "not known"}[licence.commercial_use]
    return f"{named}; commercial use {use}"


def percent(share: float, decimals: int) -> str:
    """Give a share as ``2.40 %``, with a space that does not break."""
    return f"{100 * share:.{decimals}f}&nbsp;%"


def digest_code(digest: str) -> str:
    """Give the beginning of a digest; the whole of it shows when pointed at."""
    return f'<code title="{escape(digest)}">{escape(digest[:12])}</code>'


def _link(url: str, text: str) -> str:
    return f'<a href="{escape(url)}" rel="noreferrer">{escape(text)}</a>'

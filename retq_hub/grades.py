"""Gradings as HTML: what is said of a whole photograph, its bars, and where a query looked.

Names and labels come out escaped.
"""

from html import escape

from PIL import Image

from retq_hub.grading import Grading, Share, probability_text
from retq_hub.heatmap import colour_bar
from retq_hub.markup import data_uri, figure, share_bar
from retq_hub.overlay import attention_map
from retq_hub.result import Classification

__all__ = ["attention_figure", "bars_table", "overview_row", "overview_table", "sentence"]


def overview_table(rows: str) -> str:
    """Give the table of what all queries say of the whole photograph.

    Args:
        rows: HTML, each an `overview_row`.
    """
    return f"""<h3>The photograph as a whole</h3>
<table class="overview">
<thead><tr><th scope="col">Query</th><th scope="col">Says</th>
<th scope="col" class="number">Probability</th><th class="range" aria-hidden="true">
<span>0</span><span>1</span></th></tr></thead>
<tbody>
{rows}</tbody>
</table>"""


def overview_row(name: str, anchor: str, told: Grading) -> str:
    """Give a query's row of that table.

    Args:
        name: The query's.
        anchor: Id of its section on the page.
        told: What it says.
    """
    shown = told.shown
    return f"""<tr><th scope="row"><a href="#{escape(anchor)}">{escape(name)}</a></th>
<td>{escape(told.text)}</td><td class="number">{probability_text(shown.probability)}</td>
<td class="range">{_bar(shown)}</td></tr>
"""


def sentence(told: Grading) -> str:
    """Say in a sentence what was found, as text."""
    if told.exclusive:
        said = told.text[:1].upper() + told.text[1:]
        return f"{said}, with a probability of {probability_text(told.shown.probability)}."
    if any(one.said for one in told.shares):
        return f"Above its threshold: {told.text}."
    return "Nothing is above its threshold. That does not rule it out."


def bars_table(told: Grading) -> str:
    """Give the probability of each target, with a bar for the eye."""
    rows = "".join(
        f'<tr class="{"said" if one.said else "other"}">'
        f'<th scope="row">{escape(one.target.label)}</th>'
        f'<td class="number">{probability_text(one.probability)}</td>'
        f'<td class="bars">{_bar(one)}</td></tr>\n'
        for one in told.shares
    )
    return f"""<table class="shares">
<thead><tr><th scope="col">Whole photograph</th><th scope="col" class="number">Probability</th>
<th class="bars" aria-hidden="true"></th></tr></thead>
<tbody>
{rows}</tbody>
</table>"""


def attention_figure(image: Image.Image, found: Classification, *, max_side_px: int) -> str:
    """Give the photograph with where the query looked.

    Args:
        image: The photograph.
        found: By a query that pools by attention.
        max_side_px: A larger photograph is scaled down to this.
    """
    scale = f"""
<div class="scale"><div class="bar"><img src="{data_uri(colour_bar(256, 1), "PNG")}"
alt="Colour scale from 0 at the left to the place that counted most"></div>
<p><span>did not count</span><span>counted most</span></p></div>"""
    return figure(
        attention_map(image, found, max_side_px=max_side_px),
        alt="How much each place counted, as colours over the grey photograph",
        caption="How much each place counted: the answer is computed from the places so weighted.",
        html=scale,
    )


def _bar(share: Share) -> str:
    return share_bar(share.probability, said=share.said, threshold=share.threshold)

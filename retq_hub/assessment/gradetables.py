"""The tables of an assessment's page, as HTML. Names come out escaped."""

from collections.abc import Mapping
from html import escape

from retq_hub.assessment.gradation import Figure
from retq_hub.assessment.gradebook import Assessment, ClassFigures, GradedImage, Other
from retq_hub.grading import probability_text
from retq_hub.headline import GRADED
from retq_hub.kinds import Estimate
from retq_hub.markup import estimate_strip

__all__ = [
    "confusion_table",
    "differences_table",
    "figures_table",
    "groups_table",
    "images_table",
    "interval",
    "labelled",
    "targets_table",
]

_SHADE = "0, 114, 178"


def figures_table(figures: Mapping[str, Figure], *, n: int) -> str:
    """Give figures over all of n photographs with their intervals, and a bar for the eye."""
    rows = "".join(
        f'<tr><th scope="row">{label}</th><td class="number">{_number(one.value, 4)}</td>'
        f'<td class="number">{interval(one, 4)}</td>'
        f'<td class="number extra">{one.n_resamples}</td>'
        f'<td class="range">{_strip(one)}</td></tr>\n'
        for label, one in labelled(figures)
    )
    return f"""<table class="figures wide">
<thead><tr><th scope="col">{n} photographs</th><th scope="col" class="number">Value</th>
<th scope="col" class="number">95&nbsp;%&nbsp;interval</th>
<th scope="col" class="number extra">Resamples</th>
<th class="range" aria-hidden="true"><span>0</span><span>1</span></th></tr></thead>
<tbody>
{rows}</tbody>
</table>"""


def targets_table(found: Assessment) -> str:
    """Give each target's figures against all others."""
    labels = {one.name: one.label for one in found.manifest.targets}
    rows = "".join(_class_row(one, labels[one.name]) for one in found.classes)
    return f"""<table class="wide">
<thead><tr><th scope="col"></th><th scope="col" class="number">True</th>
<th scope="col" class="number extra">Predicted</th><th scope="col" class="number">Sensitivity</th>
<th scope="col" class="number extra">Specificity</th>
<th scope="col" class="number">AUROC</th></tr></thead>
<tbody>
{rows}</tbody>
</table>"""


def confusion_table(found: Assessment) -> str:
    """Give photographs by true and predicted class, a cell shaded by its share of the row.

    Empty for findings, which do not exclude each other.
    """
    if found.confusion is None:
        return ""
    labels = {one.name: one.label for one in found.manifest.targets}
    names = [labels[name] for name in found.targets]
    head = "".join(
        f'<th scope="col" title="{escape(name)}">{number}</th>' for number, name in enumerate(names)
    )
    rows = "".join(
        f'<tr><th scope="row">{number} {escape(name)}</th>{_cells(number, counts)}</tr>\n'
        for number, (name, counts) in enumerate(zip(names, found.confusion, strict=True))
    )
    return f"""<table class="confusion">
<thead><tr><th scope="col">True, and across what was predicted</th>{head}</tr></thead>
<tbody>
{rows}</tbody>
</table>"""


def groups_table(found: Assessment) -> str:
    """Give the figures of each camera or site."""
    names = [name for name in GRADED if name in found.figures]
    head = "".join(
        f'<th scope="col" class="number{_extra(place)}">{GRADED[name]}</th>'
        for place, name in enumerate(names)
    )
    rows = "".join(
        f'<tr><th scope="row">{escape(group) or "not named"}</th>'
        f'<td class="number">{one.n_images}</td>'
        + "".join(_group_cell(one.figures.get(name), place) for place, name in enumerate(names))
        + "</tr>\n"
        for group, one in found.groups.items()
    )
    return f"""<table class="wide">
<thead><tr><th scope="col"></th><th scope="col" class="number">Photographs</th>{head}</tr></thead>
<tbody>
{rows}</tbody>
</table>"""


def differences_table(against: Other) -> str:
    """Give the differences from another query."""
    rows = "".join(
        f'<tr><th scope="row">{label}</th><td class="number">{_signed(one.value)}</td>'
        f'<td class="number">{_signed(one.ci95[0])} to {_signed(one.ci95[1])}</td></tr>\n'
        for label, one in labelled(against.differences)
    )
    return f"""<table class="wide">
<thead><tr><th scope="col"></th><th scope="col" class="number">Difference</th>
<th scope="col" class="number">95&nbsp;%&nbsp;interval</th></tr></thead>
<tbody>
{rows}</tbody>
</table>"""


def images_table(found: Assessment) -> str:
    """Give every photograph, by the falling probability of what is true."""
    labels = {one.name: one.label for one in found.manifest.targets}
    order = sorted(found.images, key=lambda one: (-one.merit, one.id))
    rows = "".join(_image_row(one, found, labels) for one in order)
    return f"""<table class="every wide">
<thead><tr><th scope="col">Photograph</th><th scope="col">True</th><th scope="col">Predicted</th>
<th scope="col" class="number extra">Its probability</th></tr></thead>
<tbody>
{rows}</tbody>
</table>"""


def labelled(figures: Mapping[str, Figure]) -> list[tuple[str, Figure]]:
    """Give figures with what they are called, in the order in which they are shown."""
    return [(label, figures[name]) for name, label in GRADED.items() if name in figures]


def interval(one: Figure, decimals: int) -> str:
    """Give an interval as HTML."""
    low, high = one.ci95
    return f"{_number(low, decimals)}&ndash;{_number(high, decimals)}"


def _class_row(one: ClassFigures, label: str) -> str:
    area = "&ndash;"
    if one.auroc:
        area = f"{one.auroc.value:.3f}<small>{interval(one.auroc, 3)}</small>"
    return f"""<tr><th scope="row">{escape(label)}</th><td class="number">{one.n_images}</td>
<td class="number extra">{one.n_predicted}</td><td class="number">{_share(one.sensitivity)}</td>
<td class="number extra">{_share(one.specificity)}</td><td class="number">{area}</td></tr>
"""


def _cells(number: int, counts: tuple[int, ...]) -> str:
    whole = max(1, sum(counts))
    return "".join(
        f"<td{' class=right' if number == column else ''} "
        f'style="background: rgba({_SHADE}, {0.6 * count / whole:.2f})">{count}</td>'
        for column, count in enumerate(counts)
    )


def _group_cell(one: Figure | None, place: int) -> str:
    if one is None:
        return f'<td class="number{_extra(place)}">&ndash;</td>'
    value = f"{_number(one.value, 3)}<small>{interval(one, 3)}</small>"
    return f'<td class="number{_extra(place)}">{value}</td>'


def _extra(place: int) -> str:
    """Mark what a narrow screen leaves out."""
    return "" if place == 0 else " extra"


def _image_row(one: GradedImage, found: Assessment, labels: Mapping[str, str]) -> str:
    camera = f"<small>{escape(one.group)}</small>" if one.group else ""
    chances = dict(zip(found.targets, one.probabilities, strict=True))
    values = ", ".join(probability_text(chances[name]) for name in one.predicted)
    true, said = (
        escape(", ".join(labels[name] for name in names)) or "&ndash;"
        for names in (one.label, one.predicted)
    )
    said = said if one.label == one.predicted else f"<strong>{said}</strong>"
    return (
        f'<tr><th scope="row">{escape(one.id)}{camera}</th><td>{true}</td><td>{said}</td>'
        f'<td class="number extra">{values or "&ndash;"}</td></tr>\n'
    )


def _strip(one: Figure) -> str:
    return estimate_strip(Estimate(value=one.value, ci95=one.ci95))


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "\u2212")


def _share(value: float | None) -> str:
    return "&ndash;" if value is None else f"{value:.3f}"


def _number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}".replace("-", "\u2212")

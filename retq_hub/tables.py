"""The tables of an evaluation's page, as HTML. Names come out escaped."""

from html import escape

from retq_hub.comparison import Comparison, Difference
from retq_hub.figures import Evaluation
from retq_hub.manifest import Interval
from retq_hub.markup import percent, range_strip
from retq_hub.metrics import ImageMetrics
from retq_hub.plots import difference_strip

__all__ = [
    "LABELS",
    "differences_table",
    "figures_table",
    "group_name",
    "groups_table",
    "images_table",
    "n_defined",
]

LABELS = {
    "dice": "Dice",
    "iou": "IoU",
    "dice_at_0.5": "Dice at 0.5",
    "iou_at_0.5": "IoU at 0.5",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "nsd": "Surface Dice",
    "hd95": "HD95, pixels",
}
"""What figures are called, in the order in which they are shown."""

_SHORT = ("dice", "auroc", "auprc", "nsd")
_COLUMNS = ("dice", "iou", "auroc", "auprc", "nsd", "hd95")


def figures_table(found: Evaluation) -> str:
    """Give each figure with mean, interval, worst and best, and a bar for the eye."""
    rows = "".join(
        _figure_row(found, name, label) for name, label in LABELS.items() if name in found.metrics
    )
    return f"""<table class="figures wide">
<thead><tr><th scope="col"></th><th scope="col" class="number">Mean</th>
<th scope="col" class="number">95&nbsp;%&nbsp;interval</th><th scope="col" class="number">Worst</th>
<th scope="col" class="number">Best</th><th scope="col" class="number extra">Photographs</th>
<th class="range" aria-hidden="true"><span>0</span><span>1</span></th></tr></thead>
<tbody>
{rows}</tbody>
</table>"""


def groups_table(found: Evaluation) -> str:
    """Give the means of each camera or site."""
    names = [name for name in _SHORT if name in found.metrics]
    head = "".join(f'<th scope="col" class="number">{LABELS[name]}</th>' for name in names)
    rows = "".join(
        f'<tr><th scope="row">{group_name(group)}</th><td class="number">'
        f"{sum(one.group == group for one in found.images)}</td>"
        + "".join(_group_cell(name, figures.get(name)) for name in names)
        + "</tr>\n"
        for group, figures in found.groups.items()
    )
    return f"""<table class="wide">
<thead><tr><th scope="col"></th><th scope="col" class="number">Photographs</th>{head}</tr></thead>
<tbody>
{rows}</tbody>
</table>"""


def differences_table(against: Comparison) -> str:
    """Give the differences from another query, and on how many images it is better or worse."""
    rows = "".join(
        _difference_row(name, label, against.differences[name])
        for name, label in LABELS.items()
        if name in against.differences
    )
    return f"""<table class="figures wide">
<thead><tr><th scope="col"></th><th scope="col" class="number">Mean</th>
<th scope="col" class="number">95&nbsp;%&nbsp;interval</th>
<th scope="col" class="number">Better</th><th scope="col" class="number extra">Equal</th>
<th scope="col" class="number">Worse</th><th class="range" aria-hidden="true"></th></tr></thead>
<tbody>
{rows}</tbody>
</table>"""


def images_table(found: Evaluation) -> str:
    """Give the figures of every image, by falling Dice."""
    head = "".join(
        f'<th scope="col" class="number{_extra(name)}">{LABELS[name]}</th>' for name in _COLUMNS
    )
    area = found.size_px**2
    rows = "".join(
        f'<tr><th scope="row">{escape(one.id)}{_camera(one)}</th>'
        f'<td class="number extra">{percent(one.n_positive / area, 2)}</td>'
        + "".join(
            f'<td class="number{_extra(name)}">{_cell(name, one.values[name])}</td>'
            for name in _COLUMNS
        )
        + "</tr>\n"
        for one in sorted(found.images, key=lambda one: (-one.values["dice"], one.id))
    )
    return f"""<table class="every wide">
<thead><tr><th scope="col">Photograph</th><th scope="col" class="number extra">Area drawn</th>
{head}</tr></thead>
<tbody>
{rows}</tbody>
</table>"""


def group_name(group: str) -> str:
    """Give a camera's name as HTML, and say so where an image names none."""
    return escape(group) if group else "not named"


def n_defined(found: Evaluation, name: str) -> int:
    """Count the images for which a figure is defined."""
    return sum(one.values[name] == one.values[name] for one in found.images)


def _figure_row(found: Evaluation, name: str, label: str) -> str:
    one = found.metrics[name]
    low, high = one.ci95
    worst, best = (one.max, one.min) if name == "hd95" else (one.min, one.max)
    strip = "" if name == "hd95" else range_strip(one)
    return f"""<tr><th scope="row">{label}</th><td class="number">{_number(name, one.mean)}</td>
<td class="number">{_number(name, low)}&ndash;{_number(name, high)}</td>
<td class="number">{_number(name, worst)}</td><td class="number">{_number(name, best)}</td>
<td class="number extra">{n_defined(found, name)}</td><td class="range">{strip}</td></tr>
"""


def _number(name: str, value: float) -> str:
    return f"{value:.1f}" if name == "hd95" else f"{value:.4f}"


def _group_cell(name: str, one: Interval | None) -> str:
    if one is None:
        return '<td class="number">&ndash;</td>'
    low, high = (_number(name, value) for value in one.ci95)
    mean = _number(name, one.mean)
    return f'<td class="number">{mean}<small>{low}&ndash;{high}</small></td>'


def _difference_row(name: str, label: str, one: Difference) -> str:
    low, high = (_signed(name, value) for value in one.ci95)
    return f"""<tr><th scope="row">{label}</th>
<td class="number">{_signed(name, one.mean)}</td><td class="number differing">{low} to {high}</td>
<td class="number">{one.wins}</td><td class="number extra">{one.ties}</td>
<td class="number">{one.losses}</td><td class="range">{difference_strip(one)}</td></tr>
"""


def _signed(name: str, value: float) -> str:
    text = f"{value:+.1f}" if name == "hd95" else f"{value:+.4f}"
    return text.replace("-", "\u2212")


def _extra(name: str) -> str:
    """Mark what a narrow screen leaves out."""
    return "" if name in ("dice", "auprc", "hd95") else " extra"


def _camera(one: ImageMetrics) -> str:
    return f"<small>{escape(one.group)}</small>" if one.group else ""


def _cell(name: str, value: float) -> str:
    return _number(name, value) if value == value else "&ndash;"

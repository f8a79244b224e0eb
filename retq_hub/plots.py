"""Curves and dots as inline SVG, made by hand: to read on a screen, on a phone and on paper.

Drawings carry classes; colours and line widths stand in ``report.css``. Names come out escaped.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from retq_hub.comparison import Difference
from retq_hub.lesions import RATES, Froc
from retq_hub.manifest import Interval
from retq_hub.pixels import Pooled

__all__ = [
    "calibration_plot",
    "difference_strip",
    "dot_strip",
    "froc_plot",
    "precision_recall_plot",
    "reliability_plot",
]

_WIDTH, _HEIGHT = 360, 310
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 348, 12, 262

Scale = Callable[[float], float]
Place = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """One side of a plot: where a value lies, from 0 to 1, and what is written beside it."""

    label: str
    ticks: Mapping[str, float]
    share: Scale


def _identity(value: float) -> float:
    return value


_UNIT = {"0": 0.0, "0.2": 0.2, "0.4": 0.4, "0.6": 0.6, "0.8": 0.8, "1": 1.0}
_RATES = dict(zip(("1/8", "1/4", "1/2", "1", "2", "4", "8"), RATES, strict=True))


def precision_recall_plot(pooled: Pooled, threshold: float) -> str:
    """Draw precision over recall, with the stored threshold and the share of positive pixels.

    Args:
        pooled: Figures over all pixels.
        threshold: The stored threshold.
    """
    x = _Axis(label="Recall", ticks=_UNIT, share=_identity)
    y = _Axis(label="Precision", ticks=_UNIT, share=_identity)
    curve = [(one.recall, one.precision) for one in pooled.precision_recall]
    at = min(pooled.precision_recall, key=lambda one: abs(one.threshold - threshold))
    chance = pooled.n_positive / pooled.n_pixels
    drawn = [
        _line(x, y, [(0, chance), (1, chance)], "guide"),
        _line(x, y, [(0, curve[0][1]), *curve], "curve"),
        _dot(x, y, (at.recall, at.precision), 5),
        _words(x, y, (at.recall, at.precision), f"threshold {threshold:g}"),
    ]
    return _plot(
        x,
        y,
        drawn,
        said=f"Precision over recall; average precision {pooled.auprc:.4f}; at the threshold "
        f"recall {at.recall:.2f} and precision {at.precision:.2f}",
    )


def reliability_plot(pooled: Pooled) -> str:
    """Draw the observed share of positive pixels over their probability; larger dots, more pixels.

    Args:
        pooled: Figures over all pixels.
    """
    bins = [(one.probability, one.observed, one.n_pixels) for one in pooled.reliability]
    said = (
        "Observed share of positive pixels over their probability; expected calibration error "
        f"{pooled.calibration_error:.4f}"
    )
    return calibration_plot(bins, said=said)


def calibration_plot(bins: Sequence[tuple[float, float, int]], *, said: str) -> str:
    """Draw how often predictions came true over their probability; larger dots, more of them.

    Args:
        bins: Probability, share that came true, and count of each.
        said: What it shows, for those who do not see it.
    """
    x = _Axis(label="Probability", ticks=_UNIT, share=_identity)
    y = _Axis(label="Observed share", ticks=_UNIT, share=_identity)
    places = [(probability, observed) for probability, observed, _ in bins]
    most = max(n for _, _, n in bins)
    drawn = [
        _line(x, y, [(0, 0), (1, 1)], "guide"),
        _line(x, y, places, "curve"),
        *(_dot(x, y, (one, other), _size(n, most)) for one, other, n in bins),
    ]
    return _plot(x, y, drawn, said=said)


def _size(n: int, most: int) -> float:
    """Give a dot's radius: counts of pixels differ by powers of ten, those of images do not."""
    return 2 + 4 * math.log1p(n) / math.log1p(most)


def froc_plot(froc: Froc) -> str:
    """Draw sensitivity for lesions over false positives per image, on a logarithmic axis.

    Args:
        froc: Figures over lesions.
    """
    low, high = math.log2(RATES[0]), math.log2(RATES[-1])
    x = _Axis(
        label="False positives per photograph",
        ticks=_RATES,
        share=lambda rate: (math.log2(rate) - low) / (high - low),
    )
    y = _Axis(label="Sensitivity", ticks=_UNIT, share=_identity)
    curve = [(RATES[0], froc.sensitivities[0])]
    for one in froc.points:
        if one.false_per_image > RATES[0]:
            # A step: what is found at a rate was not found just before it.
            curve += [(one.false_per_image, curve[-1][1]), (one.false_per_image, one.sensitivity)]
    curve.append((RATES[-1], froc.sensitivities[-1]))
    drawn = [
        _line(x, y, curve, "curve"),
        *(_dot(x, y, place, 4) for place in zip(RATES, froc.sensitivities, strict=True)),
    ]
    return _plot(
        x,
        y,
        drawn,
        said="Sensitivity for lesions over false positives per photograph; mean of seven "
        f"{froc.mean_sensitivity:.4f}",
    )


def dot_strip(values: Sequence[tuple[str, float]], summary: Interval, *, said: str) -> str:
    """Draw values on a line from 0 to 1, a dot each; a band for the interval, a line for the mean.

    Args:
        values: Each with the name that shows when it is pointed at.
        summary: Their mean and interval.
        said: What it shows, for those who do not see it.
    """
    rows = _stacked([value for _, value in values])
    height = 40 + 9 * max(rows.values(), default=0)
    base = height - 26
    low, high = summary.ci95
    dots = "".join(
        f'<circle cx="{value:.2%}" cy="{base - 8 - 9 * rows[at]}" r="4">'
        f"<title>{escape(name)}: {value:.4f}</title></circle>"
        for at, (name, value) in enumerate(values)
    )
    ticks = "".join(
        f'<line class="grid" x1="{share:.0%}" x2="{share:.0%}" y1="0" y2="{base + 4}"/>'
        f'<text x="{share:.0%}" y="{base + 19}" text-anchor="middle">{text}</text>'
        for text, share in _UNIT.items()
    )
    return f"""<svg class="strip" role="img" aria-label="{escape(said)}" width="100%"
height="{height}">{ticks}
<rect class="band" x="{low:.2%}" width="{max(high - low, 0.001):.2%}" y="0" height="{base}"/>
<line class="mean" x1="{summary.mean:.2%}" x2="{summary.mean:.2%}" y1="0" y2="{base}"/>
<line class="axis" x1="0" x2="100%" y1="{base}" y2="{base}"/>
{dots}</svg>"""


def difference_strip(difference: Difference) -> str:
    """Draw a difference with its interval on a line with zero in the middle.

    It is for the eye only: the numbers have to stand beside it. The line reaches as far as the
    interval does, at least.
    """
    reach = max(*map(abs, difference.ci95), abs(difference.mean), 1e-6) * 1.15
    low, mean, high = (
        0.5 + value / reach / 2
        for value in (difference.ci95[0], difference.mean, difference.ci95[1])
    )
    return (
        '<svg aria-hidden="true" width="100%" height="16">'
        '<line class="axis" x1="0" x2="100%" y1="8" y2="8"/>'
        '<line class="zero" x1="50%" x2="50%" y1="0" y2="16"/>'
        f'<line class="thick" x1="{low:.1%}" x2="{high:.1%}" y1="8" y2="8"/>'
        f'<circle cx="{mean:.1%}" cy="8" r="3.5"/></svg>'
    )


def _stacked(values: Sequence[float], width: float = 0.025) -> dict[int, int]:
    """Give each value a row, so that dots less than ``width`` apart do not hide each other."""
    rows: dict[int, int] = {}
    last: list[float] = []
    for at in sorted(range(len(values)), key=lambda number: values[number]):
        free = (row for row, value in enumerate(last) if values[at] - value >= width)
        row = next(free, len(last))
        last[row : row + 1] = [values[at]]
        rows[at] = row
    return rows


def _plot(x: _Axis, y: _Axis, drawn: Iterable[str], *, said: str) -> str:
    frame = [
        *(_x_tick(_across(x, value), text) for text, value in x.ticks.items()),
        *(_y_tick(_up(y, value), text) for text, value in y.ticks.items()),
        f'<text class="name" x="{(_LEFT + _RIGHT) / 2:g}" y="{_HEIGHT - 8}" '
        f'text-anchor="middle">{escape(x.label)}</text>',
        f'<text class="name" transform="translate(13 {(_TOP + _BOTTOM) / 2:g}) rotate(-90)" '
        f'text-anchor="middle">{escape(y.label)}</text>',
        f'<path class="axis" d="M{_LEFT} {_TOP}V{_BOTTOM}H{_RIGHT}"/>',
    ]
    return (
        f'<svg class="plot" role="img" aria-label="{escape(said)}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}">' + "\n".join([*frame, *drawn]) + "</svg>"
    )


def _x_tick(across: float, text: str) -> str:
    return (
        f'<line class="grid" x1="{across:.1f}" x2="{across:.1f}" y1="{_TOP}" y2="{_BOTTOM}"/>'
        f'<text x="{across:.1f}" y="{_BOTTOM + 18}" text-anchor="middle">{text}</text>'
    )


def _y_tick(up: float, text: str) -> str:
    return (
        f'<line class="grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{up:.1f}" y2="{up:.1f}"/>'
        f'<text x="{_LEFT - 8}" y="{up + 4:.1f}" text-anchor="end">{text}</text>'
    )


def _line(x: _Axis, y: _Axis, places: Sequence[Place], kind: str) -> str:
    points = " ".join(f"{_across(x, one[0]):.1f},{_up(y, one[1]):.1f}" for one in places)
    return f'<polyline class="{kind}" points="{points}"/>'


def _dot(x: _Axis, y: _Axis, place: Place, radius: float) -> str:
    return f'<circle cx="{_across(x, place[0]):.1f}" cy="{_up(y, place[1]):.1f}" r="{radius:.1f}"/>'


def _words(x: _Axis, y: _Axis, place: Place, text: str) -> str:
    """Write beside a dot, on the side where there is room, above it unless it is at the top."""
    across, up = _across(x, place[0]), _up(y, place[1])
    right = across < (_LEFT + _RIGHT) / 2
    up += 18 if up < _TOP + 24 or not right else -10
    across += 8 if right else -8
    anchor = "start" if right else "end"
    return (
        f'<text class="note" x="{across:.1f}" y="{up:.1f}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


def _across(x: _Axis, value: float) -> float:
    return _LEFT + (_RIGHT - _LEFT) * min(1.0, max(0.0, x.share(value)))


def _up(y: _Axis, value: float) -> float:
    return _BOTTOM - (_BOTTOM - _TOP) * min(1.0, max(0.0, y.share(value)))

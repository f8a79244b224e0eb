"""A training curve as a drawing: loss above, what stands beside it below, as SVG text.

Plain shapes and system fonts: no script, no style sheet, nothing to load.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from retq_hub.curve import Curve

__all__ = ["draw"]

_WIDTH, _LEFT, _RIGHT = 720, 76, 16
_TOP, _LOSS_HEIGHT, _GAP, _GAUGE_HEIGHT, _BOTTOM = 60, 240, 48, 110, 52
_HEIGHT = _TOP + _LOSS_HEIGHT + _GAP + _GAUGE_HEIGHT + _BOTTOM

_MANY = 6
"""About so many ticks are drawn on an axis."""

_LOSS_LOG_FROM, _GAUGE_LOG_FROM = 8.0, 1000.0
"""Values are drawn by their logarithm if the largest is so many times the smallest."""


def draw(curve: Curve, *, title: str) -> str:
    """Draw a curve.

    Args:
        curve: What to draw; at least one row.
        title: The heading, plain text.

    Returns:
        An SVG document.
    """
    steps = [row.step for row in curve.rows]
    losses = [row.loss for row in curve.rows]
    gauges = [row.gauge for row in curve.rows]
    loss = _Panel("loss", _TOP, _LOSS_HEIGHT, "#1f5fa8", _LOSS_LOG_FROM)
    gauge = _Panel(
        curve.gauge, _TOP + _LOSS_HEIGHT + _GAP, _GAUGE_HEIGHT, "#a8521f", _GAUGE_LOG_FROM
    )
    parts = [
        loss.draw(steps, losses),
        gauge.draw(steps, gauges),
        _text(_LEFT + _plot_width() / 2, _HEIGHT - 14, curve.step, anchor="middle"),
        _text(_LEFT, 26, title, size=16),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" role="img" font-family="sans-serif">\n'
        f"<title>{escape(title)}</title>\n"
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """The range of an axis and its ticks; ``log`` if distances are those of logarithms."""

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def share(self, value: float) -> float:
        """Say where a value lies, 0 at the low end, 1 at the high one."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def _axis(values: Sequence[float], log_from: float) -> _Axis:
    low, high = min(values), max(values)
    if low > 0 and high / low >= log_from:
        return _logarithmic(low, high)
    return _linear(low, high if high > low else low + (abs(low) or 1.0) / 10)


def _linear(low: float, high: float) -> _Axis:
    """Put ticks at multiples of 1, 2 or 5 times a power of ten; the ends are ticks."""
    gap = _gap((high - low) / _MANY)
    first, last = math.floor(low / gap + 1e-9), math.ceil(high / gap - 1e-9)
    ticks = [gap * number for number in range(first, last + 1)]
    return _Axis(low=ticks[0], high=ticks[-1], ticks=tuple(ticks))


def _counting(last: int) -> _Axis:
    """Count from 0 to ``last``, ticks at whole numbers."""
    gap = max(round(_gap(last / _MANY)), 1)
    return _Axis(low=0, high=last, ticks=tuple(range(0, last + 1, gap)))


def _logarithmic(low: float, high: float) -> _Axis:
    """Put ticks at 1, 2 and 5 times powers of ten; at powers only where these are many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if last - first > 3:
        gap = math.ceil((last - first) / _MANY)
        powers = [10.0**power for power in range(first, last + 1, gap)]
        return _Axis(low=10.0**first, high=10.0**last, ticks=tuple(powers), log=True)
    fine = [10.0**power * factor for power in range(first, last + 1) for factor in (1, 2, 5)]
    start = max(tick for tick in fine if tick <= low * 1.001)
    end = min(tick for tick in fine if tick >= high * 0.999)
    ticks = tuple(tick for tick in fine if start <= tick <= end)
    return _Axis(low=start, high=end, ticks=ticks, log=True)


def _gap(rough: float) -> float:
    """Round a distance up to 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)


@dataclass(frozen=True)
class _Panel:
    """One plot: grid lines with their numbers, the name of what is drawn, the line."""

    name: str
    top: float
    height: float
    colour: str
    log_from: float

    def draw(self, steps: Sequence[int], values: Sequence[float]) -> str:
        up, across = _axis(values, self.log_from), _counting(steps[-1])
        places = [
            (self._x(across, step), self._y(up, value))
            for step, value in zip(steps, values, strict=True)
        ]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        name = f"{self.name}, logarithmic scale" if up.log else self.name
        last = f"last {values[-1]:.4g}"
        return "\n".join(
            [
                _text(_LEFT, self.top - 8, name, fill=self.colour),
                _text(_WIDTH - _RIGHT, self.top - 8, last, anchor="end", fill=self.colour),
                *self._grid(up, across),
                f'<polyline points="{points}" fill="none" stroke="{self.colour}" '
                'stroke-width="2"/>',
                f'<circle cx="{places[-1][0]:.1f}" cy="{places[-1][1]:.1f}" r="3.5" '
                f'fill="{self.colour}"/>',
            ]
        )

    def _grid(self, up: _Axis, across: _Axis) -> Iterator[str]:
        for tick in up.ticks:
            y = self._y(up, tick)
            yield _line(_LEFT, y, _WIDTH - _RIGHT, y)
            yield _text(_LEFT - 8, y + 4, f"{tick:.6g}", anchor="end")
        for tick in across.ticks:
            x = self._x(across, tick)
            yield _line(x, self.top, x, self.top + self.height)
            yield _text(x, self.top + self.height + 18, f"{tick:g}", anchor="middle")

    def _x(self, across: _Axis, step: float) -> float:
        return _LEFT + across.share(step) * _plot_width()

    def _y(self, up: _Axis, value: float) -> float:
        return self.top + (1 - up.share(value)) * self.height


def _plot_width() -> int:
    return _WIDTH - _LEFT - _RIGHT


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="#dddddd"/>'


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 13, fill: str = "#333333"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'fill="{fill}">{escape(text)}</text>'
    )

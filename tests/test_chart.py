import xml.etree.ElementTree as ElementTree

import pytest

from retq_hub.chart import draw
from retq_hub.curve import Curve, CurveRow

SVG = "{http://www.w3.org/2000/svg}"


def curve(losses: list[float], gauges: list[float] | None = None) -> Curve:
    gauges = gauges or [0.01] * len(losses)
    return Curve(
        step="epoch",
        gauge="learning rate",
        rows=tuple(
            CurveRow(step=number, loss=loss, gauge=gauge, seconds=1.0)
            for number, (loss, gauge) in enumerate(zip(losses, gauges, strict=True), start=1)
        ),
    )


def drawn(one: Curve, title: str = "Training") -> ElementTree.Element:
    return ElementTree.fromstring(draw(one, title=title))


def words(root: ElementTree.Element) -> list[str]:
    return [str(text.text) for text in root.iter(f"{SVG}text")]


def lines(root: ElementTree.Element) -> list[list[tuple[float, float]]]:
    """Give the points of the two lines, loss first."""
    found = []
    for line in root.iter(f"{SVG}polyline"):
        pairs = [pair.split(",") for pair in line.attrib["points"].split()]
        found.append([(float(x), float(y)) for x, y in pairs])
    return found


def test_axes_are_named_and_the_last_values_are_said() -> None:
    found = words(drawn(curve([0.7, 0.5, 0.4321], [0.01, 0.02, 0.03])))
    assert {"loss", "learning rate", "epoch", "last 0.4321", "last 0.03"} <= set(found)


def test_a_point_lies_where_its_ticks_say() -> None:
    root = drawn(curve([0.4, 0.3, 0.2]))
    ticks = {
        str(text.text): (float(text.attrib["x"]), float(text.attrib["y"]))
        for text in root.iter(f"{SVG}text")
    }
    (x, y) = lines(root)[0][2]
    assert x == pytest.approx(ticks["3"][0])
    assert y == pytest.approx(ticks["0.2"][1] - 4)
    (_, y) = lines(root)[0][1]
    assert y == pytest.approx(ticks["0.3"][1] - 4)


def test_a_loss_that_falls_far_is_drawn_by_its_logarithm() -> None:
    root = drawn(curve([0.5, 0.05, 0.005]))
    assert "loss, logarithmic scale" in words(root)
    ys = [y for _, y in lines(root)[0]]
    assert ys[1] - ys[0] == pytest.approx(ys[2] - ys[1], abs=0.2)


@pytest.mark.parametrize(
    "losses",
    [[0.5], [0.5] * 7, [0.0, 0.0], [1e-12, 1.0], [0.0121, 0.012], [5.0, 0.02] * 200],
    ids=["one step", "flat", "zero", "far", "near", "long"],
)
def test_any_curve_lies_within_the_drawing_and_has_a_few_ticks(losses: list[float]) -> None:
    root = drawn(curve(losses, [loss / 7 for loss in losses]))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for line in lines(root):
        assert len(line) == len(losses)
        assert all(0 <= x <= width and 0 <= y <= height for x, y in line)
    assert 10 <= len(words(root)) <= 50


def test_a_title_is_text_whatever_it_holds() -> None:
    root = drawn(curve([0.5]), title='<script>alert("1")</script> & more')
    assert '<script>alert("1")</script> & more' in words(root)
    assert not list(root.iter(f"{SVG}script"))

import csv
from pathlib import Path

from retq_hub.curve import Curve, CurveRow

CURVE = Curve(
    step="epoch",
    gauge="learning rate",
    rows=(
        CurveRow(step=1, loss=0.6931471805599453, gauge=0.001, seconds=1.25),
        CurveRow(step=2, loss=0.1, gauge=1 / 3, seconds=0.5),
    ),
)


def test_the_file_holds_every_step_and_loses_no_digit(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "training.csv"
    CURVE.write(path)
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["epoch", "loss", "learning_rate", "seconds"]
    assert [int(row["epoch"]) for row in rows] == [1, 2]
    assert [float(row["loss"]) for row in rows] == [row.loss for row in CURVE.rows]
    assert [float(row["learning_rate"]) for row in rows] == [0.001, 1 / 3]
    assert [row["seconds"] for row in rows] == ["1.250", "0.500"]


def test_seconds_add_up() -> None:
    assert CURVE.seconds == 1.75
    assert Curve(step="epoch", gauge="learning rate", rows=()).seconds == 0

from pathlib import Path

import pytest
import torch

from retq_hub import savepoint
from retq_hub.curve import CurveRow
from retq_hub.progress import Silent
from retq_hub.savepoint import Savepoint

STATE = Savepoint(
    tensors={"vector": torch.tensor([[0.1, -2.0]]), "step": torch.tensor(7.0)},
    rows=(
        CurveRow(step=1, loss=0.1 + 0.2, gauge=1 / 3, seconds=1.5),
        CurveRow(step=2, loss=1e-300, gauge=0.0, seconds=0.1),
    ),
)


class Heard(Silent):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)


def test_what_is_stored_comes_back_to_the_bit(tmp_path: Path) -> None:
    path, heard = tmp_path / "runs" / "one.safetensors", Heard()
    savepoint.store(path, STATE, run="a" * 64)
    found = savepoint.load(path, run="a" * 64, progress=heard)
    assert found is not None
    assert found.rows == STATE.rows
    assert found.tensors.keys() == STATE.tensors.keys()
    assert all(torch.equal(found.tensors[name], one) for name, one in STATE.tensors.items())
    assert heard.lines == []
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_run_that_was_never_saved_has_none_and_nothing_is_said(tmp_path: Path) -> None:
    heard = Heard()
    assert savepoint.load(tmp_path / "none", run="a", progress=heard) is None
    assert heard.lines == []


def test_another_runs_is_not_used_and_it_is_said(tmp_path: Path) -> None:
    path, heard = tmp_path / "one.safetensors", Heard()
    savepoint.store(path, STATE, run="a" * 64)
    assert savepoint.load(path, run="b" * 64, progress=heard) is None
    assert heard.lines == [f"{path} belongs to another run: beginning anew"]


def flipped(blob: bytes) -> bytes:
    return blob[:-20] + bytes([blob[-20] ^ 1]) + blob[-19:]


@pytest.mark.parametrize(
    "damage",
    [
        flipped,
        lambda blob: blob[:-1],
        lambda blob: blob[:40],
        lambda _: b"",
        lambda _: b"not a file of ours" * 10,
        lambda blob: blob.replace(b"sha256", b"sha257"),
        lambda blob: blob.replace(b'"retq"', b'"mine"'),
        lambda _: b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00.",
    ],
    ids=["flipped", "cut", "stump", "empty", "text", "no digest", "no metadata", "pickle"],
)
def test_a_damaged_one_is_not_used_and_it_is_said(damage, tmp_path: Path) -> None:
    path, heard = tmp_path / "one.safetensors", Heard()
    savepoint.store(path, STATE, run="a" * 64)
    path.write_bytes(damage(path.read_bytes()))
    assert savepoint.load(path, run="a" * 64, progress=heard) is None
    assert heard.lines == [f"{path} is damaged: beginning anew"]

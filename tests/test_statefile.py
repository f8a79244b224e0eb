"""A training run's command line may lie beside its tensors; nothing that runs may."""

import argparse
from pathlib import Path

import pytest
import torch

from retq_hub import statefile
from retq_hub.errors import CheckpointError


def test_a_command_line_beside_the_tensors_is_read(tmp_path):
    saved = {"model": {"a": torch.ones(2)}, "args": argparse.Namespace(lr=0.1, gpus=[0, 1])}
    torch.save(saved, tmp_path / "w.pth")
    document = statefile.read(tmp_path / "w.pth")
    assert list(statefile.state_dict(document, "model", tmp_path)) == ["a"]


class Marker:
    """What would run on unpickling if anybody unpickled it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_command_line_cannot_smuggle_code(tmp_path):
    hidden = argparse.Namespace(model=Marker(tmp_path / "marker"))
    torch.save({"model": {}, "args": hidden}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="could run code"):
        statefile.read(tmp_path / "w.pth")
    assert not (tmp_path / "marker").exists()


def test_harmless_classes_are_allowed_only_while_reading(tmp_path):
    torch.save({"args": argparse.Namespace()}, tmp_path / "w.pth")
    statefile.read(tmp_path / "w.pth")
    assert argparse.Namespace not in torch.serialization.get_safe_globals()

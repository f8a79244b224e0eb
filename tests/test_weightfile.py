"""What cached weights hold, measured without torch."""

import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from retq_hub import weightfile, weights
from retq_hub.errors import CheckpointError
from retq_hub.progress import Silent


def test_the_file_has_the_digest_of_its_tensors(tiny, tmp_path):
    mixed = {
        **tiny.state,
        "half": torch.randn(3, 2).half(),
        "brain": torch.randn(5).bfloat16(),
        "count": torch.tensor(7),
        "none": torch.zeros(0, 4),
    }
    save_file(mixed, tmp_path / "w.safetensors", metadata={"a": "b"})
    assert weightfile.measured(tmp_path / "w.safetensors") == weights.digest_of(mixed)


def test_what_was_cached_is_found_with_its_digest(tiny, cache):
    assert weightfile.cached(tiny.spec) is None
    made = weights.ensure(tiny.spec, progress=Silent(), file=tiny.path.parent / "tiny.safetensors")
    assert weightfile.cached(tiny.spec) == made
    assert weightfile.measured(made.path) == made.digest == tiny.backbone.weights_digest


@pytest.mark.parametrize(
    "raw",
    [b"", b"x", b"\xff" * 100, b"\x02\0\0\0\0\0\0\0[]", b"\x02\0\0\0\0\0\0\0{}tail"],
    ids=["empty", "short", "huge header", "a list", "more than it says"],
)
def test_what_is_no_safetensors_is_refused(tmp_path, raw):
    path = tmp_path / "w.safetensors"
    path.write_bytes(raw)
    with pytest.raises(CheckpointError, match="cannot be read"):
        weightfile.measured(path)
    with pytest.raises(CheckpointError):
        weightfile.measured(tmp_path / "none.safetensors")


def test_it_needs_no_torch(tiny):
    path = tiny.path.parent / "tiny.safetensors"
    code = (
        "import sys; from pathlib import Path; from retq_hub import weightfile; "
        f"print(weightfile.measured(Path({str(path)!r}))); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == tiny.backbone.weights_digest, done.stderr

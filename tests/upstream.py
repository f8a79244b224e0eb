"""Checkpoints as upstream writes them, with numbers that anybody can make again.

Number i of a tensor is the i-th pair of bytes, little-endian, of SHAKE-256 over
``retq-golden-1/<name>``, over 32768, less 1: it lies in [-1, 1). Vectors are 0.2 of it, and 1 more
where they scale (weights of norms, layer scales, variances); what begins with an axis of 1 (class
token, positions) is half of it; everything else is it times the root of 3 over the product of all
axes but the first. Counters are 0, ``logit_scale`` is 4. DINOv3's periods are 100 to the power of
0, 1/16 ... 15/16, as its code computes them; the mask of its bias, whose keys' part it thereby
ignores, is dropped here.
"""

import hashlib
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

_SCALES = ("weight", "gamma", "gamma_1", "gamma_2", "running_var")


def tensor(name: str, shape: Sequence[int]) -> Tensor:
    """Make one tensor of a checkpoint."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros(tuple(shape), dtype=torch.int64)
    if name == "logit_scale":
        return torch.tensor(4.0)
    if name == "rope_embed.periods":
        return 100 ** (torch.arange(*shape) / shape[0])
    raw = hashlib.shake_256(f"retq-golden-1/{name}".encode()).digest(2 * prod(shape))
    uniform = np.frombuffer(raw, dtype="<u2").astype(np.float32) / np.float32(32768) - 1
    if len(shape) < 2:
        uniform = np.float32(0.2) * uniform + name.endswith(_SCALES)
    elif shape[0] == 1:
        uniform = np.float32(0.5) * uniform
    else:
        uniform = np.float32((3 / prod(shape[1:])) ** 0.5) * uniform
    return torch.from_numpy(uniform.astype(np.float32).reshape(shape))


def state(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Make all tensors of a checkpoint."""
    return {name: tensor(name, shape) for name, shape in shapes.items()}


def photograph() -> Image.Image:
    """Give the example photograph without its upper and lower rim: 1411 x 999 pixels."""
    with Image.open(Path(__file__).parent.parent / "examples/retina.jpg") as image:
        return image.convert("RGB").crop((0, 150, 1411, 1149))

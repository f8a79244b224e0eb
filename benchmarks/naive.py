"""Photographs to masks as one would write it first: what retq is measured against.

As RETFound-Green's README shows it: the network that timm builds, float32, one image at a time,
resized by torchvision, normalised, all blocks run. Then a query of one layer as the paper applies
it: dot products, bilinear upsampling to the photograph, sigmoid, a PNG.
"""

from collections.abc import Callable
from pathlib import Path

import timm
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.io import ImageReadMode, read_image
from torchvision.transforms import v2

from retq_hub.query import Query
from retq_hub.registry import backbone_spec
from retq_hub.weights import ensure, load

__all__ = ["Naive", "by_pillow", "by_torchvision"]


class Naive:
    """The naive path with a query's backbone and as much of its vector as one layer takes.

    Args:
        query: The query's name.
        reader: Reads a photograph, uint8 (3, H, W) or a PIL image.
    """

    def __init__(self, query: str, reader: Callable[[Path], Image.Image | Tensor]) -> None:
        from retq_hub.progress import Silent

        found = Query.from_pretrained(query)
        spec = backbone_spec(found.manifest.backbone.id)
        size = spec.preprocessing.size_px
        self.model = timm.create_model(spec.architecture.name, img_size=size, num_classes=0).eval()
        state = dict(load(ensure(spec, progress=Silent())))
        native = self.model.state_dict()["pos_embed"].shape
        if state["pos_embed"].shape != native:
            del state["pos_embed"]
        self.model.load_state_dict(state, strict=False)
        self._prefix, self._grid = spec.tokens.prefix, spec.tokens.grid
        self._vector = found.vector[:1, : spec.tokens.width]
        self._bias, self._reader = found.bias[:1], reader
        self._ready = v2.Compose(
            [
                v2.Resize((size, size), antialias=True),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(spec.preprocessing.mean, spec.preprocessing.std),
            ]
        )

    @torch.inference_mode()
    def __call__(self, path: Path, mask: Path) -> None:
        """Segment a photograph and write its mask."""
        image = self._reader(path)
        width, height = image.size if isinstance(image, Image.Image) else image.shape[:0:-1]
        tokens = self.model.forward_features(self._ready(image)[None])[:, self._prefix :]
        logits = (tokens @ self._vector.T + self._bias).reshape(1, 1, self._grid, self._grid)
        probability = interpolate(logits, (height, width), mode="bilinear").sigmoid()[0, 0]
        pixels = (probability > 0.5).to(torch.uint8) * 255
        Image.fromarray(pixels.numpy()).save(mask)


def by_pillow(path: Path) -> Image.Image:
    """Read a photograph with Pillow, and let Pillow resize it."""
    return Image.open(path).convert("RGB")


def by_torchvision(path: Path) -> Tensor:
    """Read a photograph as the README does, and let PyTorch resize it."""
    return read_image(str(path), ImageReadMode.RGB)

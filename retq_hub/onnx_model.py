"""A pipeline as one ONNX model, for runtimes without Python: squares in, logits out.

Normalisation, encoder, stitching of tiles, averaging over views, the queries' vectors and biases
are inside. Outside are what needs the photograph, making squares and pixel channels, and what
needs its size: the head that turns logits of the grid into pixels. The model's metadata say what
they are.

Axis letters: B images, T tiles, S side of a square, N tokens, D width, C targets, G grid side.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from retq_hub.basis import Basis
from retq_hub.channels import METHOD, N_CHANNELS, SIDE
from retq_hub.embedded import EXAMPLE_IMAGE
from retq_hub.engines.graph import Normalised, blank, write_onnx
from retq_hub.engines.hardware import package
from retq_hub.errors import EngineDrift, UsageError
from retq_hub.grids import upsample
from retq_hub.kinds import SEGMENTATION
from retq_hub.manifest import to_json
from retq_hub.pipeline import Pipeline
from retq_hub.plans import pass_keys
from retq_hub.preparation import Prepared
from retq_hub.query import Query
from retq_hub.storage import whole_file
from retq_hub.tiling import PassKey, stitching
from retq_hub.views import placed_back

__all__ = ["CHANNELS", "TOLERANCE", "Exported", "export", "feed", "input_name"]

CHANNELS = "channels"
TOLERANCE = 1e-4
"""Largest difference of logits, relative to the largest of them."""

_FORMAT = "retq-onnx-1"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A model that was written.

    Attributes:
        path: The file.
        inputs: Shape of each input by name; ``B`` is free.
        outputs: Shape of each query's logits by its name.
        difference: How far its logits of the example photograph are from the pipeline's, relative
            to the largest; None: onnxruntime is not installed, so that it could not be run.
    """

    path: Path
    inputs: Mapping[str, tuple[str | int, ...]]
    outputs: Mapping[str, tuple[str | int, ...]]
    difference: float | None


def export(pipeline: Pipeline, path: Path) -> Exported:
    """Write a pipeline as one ONNX model, and run it to compare with the pipeline.

    Args:
        pipeline: Its queries must mark pixels.
        path: The file.

    Raises:
        UsageError: A query or the backbone does things that the model could not.
        EngineDrift: The model gives other logits than the pipeline.
        StorageError: The place cannot be written.
    """
    _refuse(pipeline)
    network = _Network(pipeline)
    examples = network.examples()
    with whole_file(path) as temporary:
        found = write_onnx(network, examples, list(pipeline.queries), temporary)
        _describe(temporary, pipeline)
        difference = _difference(temporary, pipeline)
        if difference is not None and not difference <= TOLERANCE:
            raise EngineDrift(
                f"the model's logits are {difference:.2g} off the pipeline's, allowed {TOLERANCE}"
            )
    outputs = zip(pipeline.queries, found, strict=True)
    return Exported(
        path=path,
        inputs=dict(starmap(_shaped, examples.items())),
        outputs=dict(starmap(_shaped, outputs)),
        difference=difference,
    )


def input_name(key: PassKey) -> str:
    """Name the input that takes the squares of a pass; the final norm makes no difference."""
    overlap = f"_overlap{key.overlap_px}" if key.overlap_px else ""
    view = "" if key.view == "plain" else f"_{key.view}"
    return f"squares_{key.size_px}_{key.tiles}x{key.tiles}{overlap}{view}"


def feed(prepared: Prepared) -> dict[str, NDArray[Any]]:
    """Give a model's inputs for one image, B = 1.

    Args:
        prepared: From `Pipeline.prepare`.

    Returns:
        By name: (1, S, S, 3), or (1, T, S, S, 3) of tiles, and (1, 38416, 20) pixel channels.
    """
    found: dict[str, NDArray[Any]] = {}
    for key, squares in prepared.squares.items():
        found[input_name(key)] = squares[None] if key.tiles > 1 else squares
    if prepared.scene.channels is not None:
        found[CHANNELS] = prepared.scene.channels[None]
    return found


class _Network(nn.Module):
    """The squares of each pass and pixel channels in, the (B, C, G, G) logits of each query out."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__()
        self.spec = pipeline.backbone.spec
        self.encoder = pipeline.backbone.graphs.encoder()
        self.normalised = Normalised(self.spec)
        self._needs = pipeline.needs
        self._queries = list(pipeline.queries.values())

    def examples(self) -> dict[str, Tensor]:
        """Give inputs to trace it with, one image of each."""
        found = {}
        for key in self._needs.plan:
            squares = blank(self.spec, key.size_px)
            if key.tiles > 1:
                squares = squares[:, None].repeat(1, key.tiles**2, 1, 1, 1)
            found[input_name(key)] = squares
        if self._needs.channels:
            found[CHANNELS] = torch.zeros(2, SIDE**2, N_CHANNELS)
        return found

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        named = dict(zip(self.examples(), given, strict=True))
        tokens: dict[tuple[PassKey, int], Tensor] = {}
        for key, layers in self._needs.plan.items():
            squares = named[input_name(key)]
            flat = squares.flatten(0, 1) if key.tiles > 1 else squares
            found, _ = self.encoder(self.normalised(flat), layers, norm=key.norm, embed=False)
            tokens |= {(key, layer): one for layer, one in zip(layers, found, strict=True)}
        return tuple(self._logits(query, tokens, named.get(CHANNELS)) for query in self._queries)

    def _logits(
        self, query: Query, tokens: Mapping[tuple[PassKey, int], Tensor], channels: Tensor | None
    ) -> Tensor:
        """Give what a query says: the products come first, for all else is linear too."""
        basis = query.manifest.basis
        maps = []
        rest = query.vector
        for number in range(len(basis.passes)):
            width = self.spec.tokens.width * len(basis.passes[number].layers)
            maps.append(self._map(rest[:, :width], basis, number, tokens))
            rest = rest[:, width:]
        if basis.pixels:
            assert channels is not None, "the pipeline needs them"
            of_pixels = (channels @ rest.T).transpose(1, 2)
            maps.append(of_pixels.reshape(-1, len(query.bias), SIDE, SIDE))
        G = max(one.shape[-1] for one in maps)
        found = query.bias[:, None, None]
        for one in maps:
            found = found + upsample(one, G, G)
        return found

    def _map(
        self,
        vectors: Tensor,
        basis: Basis,
        number: int,
        tokens: Mapping[tuple[PassKey, int], Tensor],
    ) -> Tensor:
        """Give one pass's part of the logits, (B, C, G, G), averaged over the views."""
        one = basis.passes[number]
        views = []
        for key in pass_keys(one, basis):
            read = torch.cat([tokens[key, layer] for layer in one.layers], dim=-1)
            views.append(self._stitched(read @ vectors.T, key))
        return torch.stack(views).mean(0)

    def _stitched(self, logits: Tensor, key: PassKey) -> Tensor:
        """Bring (B * T, N, C) logits of squares to their places on the image, (B, C, G, G)."""
        g, C = key.size_px // self.spec.tokens.patch_px, logits.shape[-1]
        matrix = stitching(key, self.spec.tokens.patch_px)
        field = logits.reshape(-1, key.tiles, key.tiles, g, g, C)
        field = field.permute(1, 3, 2, 4, 0, 5).reshape(key.tiles * g, key.tiles * g, -1)
        field = torch.einsum("yi,xj,ijd->yxd", matrix, matrix, field)
        placed = placed_back(field, key.view)
        return placed.reshape(*placed.shape[:2], -1, C).permute(2, 3, 0, 1)


def _refuse(pipeline: Pipeline) -> None:
    """Refuse what a model of fixed operations cannot do."""
    for name, query in pipeline.queries.items():
        if not query.manifest.is_kind(SEGMENTATION):
            raise UsageError(
                f"{name} is of kind {query.manifest.kind}: only what marks pixels is exported",
                hint="leave it out",
            )
    spec = pipeline.backbone.spec
    if spec.preprocessing.aspect == "pad":
        raise UsageError(
            f"{spec.id} keeps the aspect of an image: where its tokens lie depends on the image",
            hint="use a Pipeline",
        )


def _describe(path: Path, pipeline: Pipeline) -> None:
    """Put into the model's metadata what it was made of and what is left to do."""
    import onnx

    spec, manifests = (
        pipeline.backbone.spec,
        {name: query.manifest for name, query in pipeline.queries.items()},
    )
    about = {
        "format": _FORMAT,
        "backbone": {
            "id": spec.id,
            "weights_digest": pipeline.backbone.weights_digest,
            "preprocessing_digest": spec.preprocessing_digest,
            "preprocessing": to_json(spec.preprocessing),
        },
        "inputs": {
            input_name(key): {
                "size_px": key.size_px,
                "tiles": key.tiles,
                "overlap_px": key.overlap_px,
                "view": key.view,
            }
            for key in pipeline.needs.plan
        }
        | ({CHANNELS: {"method": METHOD}} if pipeline.needs.channels else {}),
        "queries": {
            name: {
                "name": one.name,
                "version": one.version,
                "digest": one.digest,
                "targets": [target.name for target in one.targets],
                "head": to_json(one.head),
            }
            for name, one in manifests.items()
        },
    }
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"retq": json.dumps(about, sort_keys=True)})
    onnx.save(model, path)


def _difference(path: Path, pipeline: Pipeline) -> float | None:
    """Compare the model's logits of the example photograph with the pipeline's."""
    if package("onnxruntime") is None:
        return None
    from retq_hub.engines.onnx import Session

    plain = pipeline.with_engine("torch", "float32")
    prepared = plain.prepare(EXAMPLE_IMAGE)
    expected = [one.logits for one in plain.apply([prepared])[0].segmentations.values()]
    found = Session(path).run(feed(prepared), list(pipeline.queries))
    return max(
        float(np.abs(ours[0] - theirs).max() / max(1.0, np.abs(theirs).max()))
        for ours, theirs in zip(found, expected, strict=True)
    )


def _shaped(name: str, one: Tensor) -> tuple[str, tuple[str | int, ...]]:
    return name, ("B", *one.shape[1:])

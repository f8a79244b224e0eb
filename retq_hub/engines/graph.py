"""A backbone as ONNX graphs in the cache: what runtimes other than PyTorch run.

A graph holds normalisation and encoder, for one side of the squares. Its input is ``squares``, its
outputs are ``layer_0``, ``layer_1`` ... and ``embedding``; a runtime computes those that are asked
for. It is made once, by tracing the encoder, and is checked by its digest each time it is used, so
that neither the weights nor the network have to be loaded again.

Axis letters: B batch, S side of a square in pixels, N tokens, D width.
"""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from retq_hub.digest import file_digest, json_digest
from retq_hub.encoder import Encoder
from retq_hub.errors import RetqError, UsageError, storage_errors
from retq_hub.manifest import to_json
from retq_hub.schema import read_json
from retq_hub.spec import BackboneSpec
from retq_hub.storage import cache_dir, whole_folder, write_json

__all__ = ["EMBEDDING", "INPUT", "OPSET", "Graphs", "Normalised", "blank", "write_onnx"]

INPUT = "squares"
EMBEDDING = "embedding"
OPSET = 17
"""The first that has layer normalisation as one operation."""

_FORMAT = "retq-graph-1"


class Graphs:
    """The graphs of one backbone.

    Args:
        spec: The backbone's.
        weights_digest: Of its weights.
        encoder: Gives its encoder; called only where a graph has to be made.

    Attributes:
        spec: The backbone's.
        encoder: As it was given.
    """

    def __init__(
        self, *, spec: BackboneSpec, weights_digest: str, encoder: Callable[[], Encoder]
    ) -> None:
        self.spec = spec
        self.encoder = encoder
        facts = [_FORMAT, weights_digest, spec.preprocessing_digest, spec.pooling]
        self._key = [*facts, to_json(spec.architecture)]

    def path(self, size_px: int, *, norm: bool) -> Path:
        """Give a graph's file, made if the cache has none or a damaged one.

        Args:
            size_px: S.
            norm: Whether the final norm is applied to each layer's tokens.

        Raises:
            UsageError: The backbone cannot run at such a size.
            StorageError: The cache cannot be written.
        """
        folder = cache_dir() / "graphs" / json_digest([*self._key, size_px, norm])[:32]
        if not _is_whole(folder):
            self._make(folder, size_px, norm)
        return folder / "graph.onnx"

    def outputs(self, layers: Sequence[int], *, embed: bool) -> list[str]:
        """Name what a graph gives for some layers and, last, for the image embedding.

        Raises:
            UsageError: There is no such layer.
        """
        depth = self.spec.tokens.layers
        if wrong := [layer for layer in layers if not 0 <= layer < depth]:
            raise UsageError(f"{self.spec.id} has layers 0-{depth - 1}, not {wrong}")
        return [f"layer_{layer}" for layer in layers] + ([EMBEDDING] if embed else [])

    def _make(self, folder: Path, size_px: int, norm: bool) -> None:
        layers = range(self.spec.tokens.layers)
        network = _Whole(self.encoder(), layers, norm=norm)
        squares = blank(self.spec, size_px)
        with whole_folder(folder) as temporary:
            path = temporary / "graph.onnx"
            write_onnx(network, {INPUT: squares}, self.outputs(layers, embed=True), path)
            write_json(temporary / "graph.json", {"sha256": file_digest(path)})


class Normalised(nn.Module):
    """Scales squares as a backbone wants them: (B, S, S, 3), 0-255, to (B, 3, S, S) float32.

    Args:
        spec: The backbone's.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(spec.preprocessing.mean))
        self.register_buffer("std", torch.tensor(spec.preprocessing.std))

    def forward(self, squares: Tensor) -> Tensor:
        """Scale squares."""
        return ((squares.float() / 255 - self.mean) / self.std).permute(0, 3, 1, 2)


class _Whole(nn.Module):
    """Squares in, the tokens of all layers and the embedding out."""

    def __init__(self, encoder: Encoder, layers: Sequence[int], *, norm: bool) -> None:
        super().__init__()
        self.normalised = Normalised(encoder.spec)
        self.encoder = encoder
        self._layers, self._norm = tuple(layers), norm

    def forward(self, squares: Tensor) -> tuple[Tensor, ...]:
        tokens, embedding = self.encoder(
            self.normalised(squares), self._layers, norm=self._norm, embed=True
        )
        return (*tokens, embedding)


def blank(spec: BackboneSpec, size_px: int) -> Tensor:
    """Give a black square as a backbone takes it, (1, S, S, 3) uint8 or float32."""
    dtype = torch.float32 if spec.preprocessing.unrounded else torch.uint8
    return torch.zeros(1, size_px, size_px, 3, dtype=dtype)


def write_onnx(
    network: nn.Module, inputs: dict[str, Tensor], outputs: Sequence[str], path: Path
) -> list[Tensor]:
    """Trace a network and write it as ONNX; the first axis of all inputs and outputs stays free.

    Args:
        network: Tensors in, tensors out.
        inputs: Examples by name, in the order in which the network takes them.
        outputs: Names of what it gives, in its order.
        path: The file.

    Returns:
        What it gives for the examples.

    Raises:
        StorageError: The place cannot be written.
    """
    given = tuple(inputs.values())
    with torch.inference_mode(), warnings.catch_warnings(), storage_errors(path):
        # The exporter that needs no further package is called legacy, and sizes count as constants.
        warnings.simplefilter("ignore")
        # Positions at the squares' sizes are made here, so that they are constants of the trace.
        found = network.eval()(*given)
        torch.onnx.export(
            network,
            given,
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: {0: "B"} for name in (*inputs, *outputs)},
        )
    return list(found)


def _is_whole(folder: Path) -> bool:
    """Whether a folder of the cache holds the graph that was written there."""
    try:
        promised = read_json(folder / "graph.json")["sha256"]
        return bool(file_digest(folder / "graph.onnx") == promised)
    except (RetqError, OSError, KeyError, TypeError):
        return False

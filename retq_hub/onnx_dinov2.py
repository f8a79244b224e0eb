"""Read the backbone of an exported Hugging Face Dinov2 out of an ONNX graph.

In such an export the linear weights have lost their names: each is the right side of a MatMul whose
result is added to a bias that kept its name. That bias tells whose weight it is.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from retq_hub.errors import CheckpointError
from retq_hub.spec import BackboneSpec

__all__ = ["read_onnx"]

_EMBEDDINGS = "backbone.embeddings."
_LAYER_PARTS = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}


def read_onnx(path: Path, spec: BackboneSpec) -> dict[str, Tensor]:
    """Give the canonical (timm) state dict of the encoder in an ONNX file.

    Args:
        path: The ONNX file.
        spec: Names the initialisers that hold the position embedding.

    Raises:
        CheckpointError: It is no ONNX file, or not this model's.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(path, load_external_data=False).graph
    except (DecodeError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is no ONNX file ({error})", hint="get it again") from error
    if any(tensor.external_data for tensor in graph.initializer):
        raise CheckpointError(f"{path} keeps tensors in other files: it is another export")
    named = _named_arrays(graph)
    try:
        state = _canonical(named, spec)
    except KeyError as error:
        raise CheckpointError(f"{path} has no tensor {error}: it is another model's") from error
    return {name: torch.from_numpy(np.array(array)) for name, array in state.items()}


def _named_arrays(graph: Any) -> dict[str, NDArray[np.float32]]:  # noqa: ANN401 - onnx is not typed
    """Give all float tensors by name, the anonymous linear weights by the name of their bias."""
    from onnx import numpy_helper

    tensors = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == 1}
    adds = {name: node for node in graph.node if node.op_type == "Add" for name in node.input}
    named = {name: numpy_helper.to_array(tensor) for name, tensor in tensors.items()}
    for node in graph.node:
        weight = node.input[1] if node.op_type == "MatMul" else None
        if weight not in tensors or node.output[0] not in adds:
            continue
        for bias in adds[node.output[0]].input:
            if bias.endswith(".bias"):
                named[bias.removesuffix("bias") + "weight"] = named[weight].T
    return named


def _canonical(
    named: dict[str, NDArray[np.float32]], spec: BackboneSpec
) -> dict[str, NDArray[np.float32]]:
    position = [named[str(name)] for name in _position_names(spec)]
    projection = _EMBEDDINGS + "patch_embeddings.projection."
    state = {
        "cls_token": named[_EMBEDDINGS + "cls_token"],
        "pos_embed": np.concatenate(position, axis=1),
        "patch_embed.proj.weight": named[projection + "weight"],
        "patch_embed.proj.bias": named[projection + "bias"],
        "norm.weight": named["backbone.layernorm.weight"],
        "norm.bias": named["backbone.layernorm.bias"],
    }
    for number in range(spec.tokens.layers):
        source, goal = f"backbone.encoder.layer.{number}.", f"blocks.{number}."
        for kind in ("weight", "bias"):
            attention = source + "attention.attention."
            parts = [named[f"{attention}{part}.{kind}"] for part in ("query", "key", "value")]
            state[f"{goal}attn.qkv.{kind}"] = np.concatenate(parts)
            for ours, theirs in _LAYER_PARTS.items():
                state[f"{goal}{ours}.{kind}"] = named[f"{source}{theirs}.{kind}"]
        for scale in ("1", "2"):
            state[f"{goal}ls{scale}.gamma"] = named[f"{source}layer_scale{scale}.lambda1"]
    return state


def _position_names(spec: BackboneSpec) -> tuple[str | None, str | None]:
    return spec.checkpoint.position_class, spec.checkpoint.position_grid

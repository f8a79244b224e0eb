"""The network that timm builds from a spec's architecture: its shapes, and one pass through it.

Vision transformers (with learned or rotary positions) and ResNets are known. A ResNet's last map
is taken for the tokens of one layer without prefix tokens.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from retq_hub.errors import Finding, ManifestError
from retq_hub.spec import BackboneSpec

__all__ = ["build", "dense_block", "expected_shapes", "run", "wake"]


def expected_shapes(spec: BackboneSpec) -> dict[str, tuple[int, ...]]:
    """Give name and shape of each tensor in the canonical state dict.

    Beside timm's own there are the projection's, and the periods of rotary positions, which are
    in DINOv3's checkpoints with fewer digits than the formula gives.

    Raises:
        ManifestError: The spec contradicts itself, or timm cannot build it.
    """
    return {name: tuple(tensor.shape) for name, tensor in build(spec).state_dict().items()}


def build(spec: BackboneSpec) -> Any:  # noqa: ANN401 - timm is not typed
    """Build trunk and projection without allocating weights, and hold the spec against them.

    Returns:
        A module whose state dict has the canonical names.

    Raises:
        ManifestError: The spec contradicts itself, or timm cannot build it.
    """
    import timm

    name, args = spec.architecture.name, spec.architecture.args
    if not timm.is_model(name) or args.keys() & {"checkpoint_path", "pretrained"}:
        raise _contradiction(spec, f"timm has no model {name!r} to be built with {sorted(args)}")
    with torch.device("meta"):
        try:
            model: Any = timm.create_model(name, **args)
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:
            raise _contradiction(spec, f"timm cannot build it: {error}") from error
        have = _facts(model, spec)
        if hasattr(getattr(model, "rope", None), "periods"):
            model.rope.register_buffer("periods", model.rope.periods, persistent=True)
        if spec.architecture.projection is not None:
            model.projection = nn.Linear(
                model.num_features, spec.architecture.projection, bias=False
            )
    if wrong := [
        f"{key} is {value}" for key, value in have.items() if getattr(spec.tokens, key) != value
    ]:
        raise _contradiction(spec, ", ".join(wrong))
    return model


def wake(model: nn.Module) -> None:
    """Compute the buffers that no state dict holds, such as biases that are always zero."""
    for module in model.modules():
        asleep = [name for name, one in module.named_buffers(recurse=False) if one.is_meta]
        for name in asleep:
            setattr(module, name, torch.empty_like(getattr(module, name), device="cpu"))
        if asleep:
            module.init_non_persistent_buffers()  # type: ignore[operator]  # timm's own


def run(model: Any, pixels: Tensor, layers: Sequence[int]) -> list[tuple[Tensor, Tensor]]:  # noqa: ANN401 - timm is not typed
    """Run the network up to the last of some layers.

    Args:
        model: From `build`, with its weights.
        pixels: (B, 3, S, S) float32, normalised.
        layers: Ascending, counted from 0.

    Returns:
        For each layer (B, N, D) patch tokens and (B, P, D) prefix tokens, without final norm.
    """
    if not hasattr(model, "blocks"):
        tokens = model.forward_features(pixels).flatten(2).transpose(1, 2)
        return [(tokens, tokens[:, :0]) for _ in layers]
    found: list[tuple[Tensor, Tensor]] = model.forward_intermediates(
        pixels,
        indices=list(layers),
        norm=False,
        output_fmt="NLC",
        return_prefix_tokens=True,
        stop_early=True,
        intermediates_only=True,
    )
    return found


def dense_block(block: Any, tokens: Tensor) -> Tensor:  # noqa: ANN401 - timm is not typed
    """Run a transformer block in which each token attends to itself alone.

    Its attention gives the projected values. Language-image training aligns the class token with
    text and leaves the patches free; this makes them follow the same path.

    Source: Zhou, Loy and Dai, Extract Free Dense Labels from CLIP, ECCV 2022, arXiv:2112.01071.

    Args:
        block: timm's, with fused queries, keys and values.
        tokens: (B, N, D).

    Returns:
        (B, N, D).
    """
    width = tokens.shape[-1]
    weight, bias = block.attn.qkv.weight[2 * width :], block.attn.qkv.bias[2 * width :]
    tokens = tokens + block.ls1(block.attn.proj(linear(block.norm1(tokens), weight, bias)))
    result: Tensor = tokens + block.ls2(block.mlp(block.norm2(tokens)))
    return result


def _facts(model: Any, spec: BackboneSpec) -> dict[str, float]:  # noqa: ANN401 - timm is not typed
    """Give what a spec's ``tokens`` must say of a model."""
    import timm

    dense = bool(spec.architecture.dense)
    if isinstance(model, timm.models.ResNet) and not dense:
        last: Any = model.feature_info[-1]
        layers, prefix, patch = 1, 0, last["reduction"]
    elif isinstance(model, timm.models.VisionTransformer) or (
        isinstance(model, timm.models.Eva) and not dense
    ):
        layers, prefix = 1 if dense else len(model.blocks), model.num_prefix_tokens
        patch = int(model.patch_embed.patch_size[0])
    else:
        raise _contradiction(spec, f"{spec.architecture.name} is no vision transformer or ResNet")
    if spec.pooling == "class-token" and prefix == 0:
        raise _contradiction(spec, f"{spec.architecture.name} has no class token to be pooled")
    width = spec.architecture.projection if dense else model.num_features
    return {
        "width": width or 0,
        "layers": layers,
        "prefix": prefix,
        "patch_px": patch,
        "grid": spec.preprocessing.size_px / patch,
    }


def _contradiction(spec: BackboneSpec, what: str) -> ManifestError:
    finding = Finding(where="architecture", what=what)
    return ManifestError(f"backbone spec {spec.id}", [finding], hint="correct the spec")

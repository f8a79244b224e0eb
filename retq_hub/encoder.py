"""The frozen encoder as a module: pixels in, tokens out. It knows tensors only, no files.

Axis letters: B batch, N tokens, D width, g grid side, S input side in pixels.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from retq_hub.errors import CheckpointError, Finding, ManifestError, UsageError
from retq_hub.spec import BackboneSpec

__all__ = ["Encoder", "expected_shapes"]


def expected_shapes(spec: BackboneSpec) -> dict[str, tuple[int, ...]]:
    """Give name and shape of each tensor in the encoder's canonical (timm) state dict."""
    return {name: tuple(tensor.shape) for name, tensor in _skeleton(spec).state_dict().items()}


class Encoder(nn.Module):
    """A timm vision transformer, frozen, that gives the patch tokens of any of its blocks.

    Args:
        spec: How to build it.
        state: Its canonical state dict; must have exactly the names and shapes of
            `expected_shapes`.

    Raises:
        CheckpointError: A tensor is missing, extra or misshapen.
    """

    def __init__(self, *, spec: BackboneSpec, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        check_state(state, spec)
        self.spec = spec
        self.vit = _skeleton(spec)
        single = {name: tensor.float() for name, tensor in state.items()}
        self.vit.load_state_dict(single, strict=True, assign=True)
        self.native_position = self.vit.pos_embed.detach()
        self.size_px = self.vit.patch_embed.img_size[0]
        self.requires_grad_(False)
        self.eval()

    @torch.inference_mode()
    def forward(
        self, pixels: Tensor, layers: Sequence[int], *, norm: bool, embed: bool
    ) -> tuple[list[Tensor], Tensor | None]:
        """Run one pass.

        Args:
            pixels: (B, 3, S, S) float32, normalised; S a multiple of the patch size.
            layers: Blocks, counted from 0.
            norm: Apply the final norm to each block's tokens.
            embed: Also run the remaining blocks and pool an image embedding.

        Returns:
            For each layer (B, N, D) patch tokens row by row; and the (B, D) embedding or None.

        Raises:
            UsageError: There is no such layer.
        """
        depth = self.spec.tokens.layers
        if wrong := [layer for layer in layers if not 0 <= layer < depth]:
            raise UsageError(f"{self.spec.id} has layers 0-{depth - 1}, not {wrong}")
        self._set_size(pixels.shape[-1])
        needed = sorted({*layers, depth - 1} if embed else {*layers})
        raw = self.vit.forward_intermediates(
            pixels,
            indices=needed,
            norm=False,
            output_fmt="NLC",
            return_prefix_tokens=True,
            stop_early=True,
            intermediates_only=True,
        )
        blocks = dict(zip(needed, raw, strict=True))
        tokens = [self._normed(blocks[layer][0]) if norm else blocks[layer][0] for layer in layers]
        return tokens, self._pool(*blocks[depth - 1]) if embed else None

    def _normed(self, tokens: Tensor) -> Tensor:
        normed: Tensor = self.vit.norm(tokens)
        return normed

    def _pool(self, patches: Tensor, prefix: Tensor) -> Tensor:
        everything = self._normed(torch.cat([prefix, patches], dim=1))
        first_patch = self.spec.tokens.prefix
        if self.spec.pooling == "class-token":
            return everything[:, 0]
        start = first_patch if self.spec.pooling == "patch-mean" else 0
        return everything[:, start:].mean(dim=1)

    def _set_size(self, size_px: int) -> None:
        """Resize the position embedding from its native grid, as the spec says."""
        if size_px == self.size_px:
            return
        from timm.layers.pos_embed import resample_abs_pos_embed

        patch = self.spec.tokens.patch_px
        if size_px % patch:
            raise UsageError(f"{size_px} pixels is no multiple of {self.spec.id}'s patch, {patch}")
        prefix = 0 if self.vit.no_embed_class else self.vit.num_prefix_tokens
        grid = size_px // patch
        self.vit.pos_embed = nn.Parameter(
            resample_abs_pos_embed(
                self.native_position,
                [grid, grid],
                num_prefix_tokens=prefix,
                interpolation=self.spec.position_embedding.resize,
                antialias=self.spec.position_embedding.antialias,
            ),
            requires_grad=False,
        )
        self.vit.patch_embed.set_input_size(img_size=size_px)
        self.size_px = size_px


def check_state(state: Mapping[str, Tensor], spec: BackboneSpec) -> None:
    """Refuse a state dict that does not fit an encoder exactly.

    Raises:
        CheckpointError: A tensor is missing, extra or misshapen; the message names them.
    """
    wanted = expected_shapes(spec)
    missing = sorted(wanted.keys() - state.keys())
    extra = sorted(state.keys() - wanted.keys())
    misshapen = [
        f"{name} {tuple(state[name].shape)} instead of {wanted[name]}"
        for name in sorted(wanted.keys() & state.keys())
        if tuple(state[name].shape) != wanted[name]
    ]
    kinds = (("missing", missing), ("extra", extra), ("misshapen", misshapen))
    if found := [f"{len(names)} {kind} ({_some(names)})" for kind, names in kinds if names]:
        raise CheckpointError(
            f"the checkpoint does not fit {spec.id} ({spec.architecture.name}): "
            + ", ".join(found),
            hint="it is another model's, or incomplete",
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _skeleton(spec: BackboneSpec) -> Any:  # noqa: ANN401 - timm is not typed
    """Build the architecture without allocating its weights, and hold the spec against it."""
    import timm

    name, args = spec.architecture.name, spec.architecture.args
    if not timm.is_model(name) or args.keys() & {"checkpoint_path", "pretrained"}:
        raise _contradiction(spec, f"timm has no model {name!r} to be built with {sorted(args)}")
    try:
        with torch.device("meta"):
            model = timm.create_model(name, **args)
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise _contradiction(spec, f"timm cannot build it: {error}") from error
    if not isinstance(model, timm.models.VisionTransformer):
        raise _contradiction(spec, f"{name} is no vision transformer")
    patch = model.patch_embed.patch_size[0]
    have = {
        "width": model.embed_dim,
        "layers": len(model.blocks),
        "prefix": model.num_prefix_tokens,
        "patch_px": patch,
        "grid": spec.preprocessing.size_px / patch,
    }
    if wrong := [
        f"{key} is {value}" for key, value in have.items() if getattr(spec.tokens, key) != value
    ]:
        raise _contradiction(spec, ", ".join(wrong))
    return model


def _contradiction(spec: BackboneSpec, what: str) -> ManifestError:
    finding = Finding(where="architecture", what=what)
    return ManifestError(f"backbone spec {spec.id}", [finding], hint="correct the spec")

"""The frozen encoder as a module: pixels in, tokens out. It knows tensors only, no files.

Axis letters: B batch, N tokens, D width, g grid side, S input side in pixels.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from retq_hub import trunk
from retq_hub.errors import CheckpointError, UsageError
from retq_hub.spec import BackboneSpec
from retq_hub.trunk import expected_shapes

__all__ = ["Encoder", "check_state", "expected_shapes", "refuse_misfit"]


class Encoder(nn.Module):
    """A network of timm's, frozen, that gives the patch tokens of any of its layers.

    Args:
        spec: How to build it.
        state: Its canonical state dict; must have exactly the names and shapes of
            `expected_shapes`.

    Raises:
        CheckpointError: A tensor is missing, extra or misshapen.
    """

    def __init__(self, *, spec: BackboneSpec, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.spec = spec
        self.trunk: Any = trunk.build(spec)
        refuse_misfit(state, _shapes(self.trunk), _named(spec))
        single = {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in state.items()
        }
        self.trunk.load_state_dict(single, strict=True, assign=True)
        trunk.wake(self.trunk)
        position = getattr(self.trunk, "pos_embed", None)
        self.native_position = None if position is None else position.detach()
        self.size_px = 0 if position is None else int(self.trunk.patch_embed.img_size[0])
        self.requires_grad_(False)
        self.eval()

    @property
    def state(self) -> dict[str, Tensor]:
        """The canonical state dict that it was built of, in float32."""
        state: dict[str, Tensor] = self.trunk.state_dict()
        return (
            state if self.native_position is None else state | {"pos_embed": self.native_position}
        )

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
        if self.spec.architecture.dense:
            return self._dense(pixels, layers, norm=norm, embed=embed)
        needed = sorted({*layers, depth - 1} if embed else {*layers})
        blocks = dict(zip(needed, trunk.run(self.trunk, pixels, needed), strict=True))
        tokens = [self._normed(blocks[layer][0], norm) for layer in layers]
        return tokens, self._pool(*blocks[depth - 1]) if embed else None

    @torch.inference_mode()
    def shared(self, vectors: Tensor) -> Tensor:
        """Bring tokens or embeddings to the space shared with text; a dense encoder's are there.

        Args:
            vectors: (..., D) float32.

        Returns:
            (..., P) float32, not normalised.

        Raises:
            UsageError: The backbone shares no space with text.
        """
        if self.spec.architecture.projection is None:
            raise UsageError(
                f"{self.spec.id} shares no space with text",
                hint="use a backbone that was trained with text, such as flair",
            )
        if self.spec.architecture.dense:
            return vectors
        projected: Tensor = self.trunk.projection(vectors)
        return projected

    def _dense(
        self, pixels: Tensor, layers: Sequence[int], *, norm: bool, embed: bool
    ) -> tuple[list[Tensor], Tensor | None]:
        """Run one pass of which the tokens end in the space shared with text."""
        last = self.trunk.blocks[-1]
        before = len(self.trunk.blocks) - 2
        ((patches, prefix),) = trunk.run(self.trunk, pixels, [before])
        tokens = self._normed(trunk.dense_block(last, patches), norm)
        everything = last(torch.cat([prefix, patches], dim=1)) if embed else None
        found = [self.trunk.projection(tokens) for _ in layers]
        if everything is None:
            return found, None
        first = prefix.shape[1]
        pooled = self._pool(everything[:, first:], everything[:, :first])
        return found, self.trunk.projection(pooled)

    def _normed(self, tokens: Tensor, norm: bool = True) -> Tensor:
        if not norm or not hasattr(self.trunk, "norm"):
            return tokens
        normed: Tensor = self.trunk.norm(tokens)
        return normed

    def _pool(self, patches: Tensor, prefix: Tensor) -> Tensor:
        pooling = self.spec.pooling
        if pooling == "class-token":
            return self._normed(prefix[:, 0])
        tokens = patches if pooling.startswith("patch") else torch.cat([prefix, patches], dim=1)
        if pooling == "patch-mean-normed":
            return self._normed(tokens.mean(dim=1))
        return self._normed(tokens).mean(dim=1)

    def _set_size(self, size_px: int) -> None:
        """Resize the position embedding from its native grid, as the spec says."""
        if size_px == self.size_px:
            return
        patch = self.spec.tokens.patch_px
        if size_px % patch:
            raise UsageError(f"{size_px} pixels is no multiple of {self.spec.id}'s patch, {patch}")
        if self.native_position is not None:
            position = self._resampled(self.native_position, size_px // patch)
            self.trunk.pos_embed = nn.Parameter(position, requires_grad=False)
            self.trunk.patch_embed.set_input_size(img_size=size_px)
        self.size_px = size_px

    def _resampled(self, position: Tensor, grid: int) -> Tensor:
        """Bring (1, P + N, D) positions to another grid; those of the prefix stay."""
        how = self.spec.position_embedding
        count = 0 if self.trunk.no_embed_class else self.trunk.num_prefix_tokens
        prefix, native = position[:, :count], position[:, count:]
        side = round(native.shape[1] ** 0.5)
        if grid == side:
            return position
        size: dict[str, Any] = {"size": (grid, grid)}
        if how.offset is not None:
            size = {"scale_factor": (grid + how.offset) / side}
        plane = native.reshape(1, side, side, -1).permute(0, 3, 1, 2)
        plane = interpolate(plane, mode=how.resize, antialias=how.antialias, **size)
        return torch.cat([prefix, plane.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def check_state(state: Mapping[str, Tensor], spec: BackboneSpec) -> None:
    """Refuse a state dict that does not fit an encoder exactly.

    Raises:
        CheckpointError: A tensor is missing, extra or misshapen; the message names them.
    """
    refuse_misfit(state, expected_shapes(spec), _named(spec))


def refuse_misfit(
    state: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]], what: str
) -> None:
    """Refuse a state dict that has other names or shapes than a network.

    Args:
        state: The state dict.
        wanted: The network's names and shapes.
        what: The network, for the message.

    Raises:
        CheckpointError: A tensor is missing, extra or misshapen; the message names them.
    """
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
            f"the checkpoint does not fit {what}: " + ", ".join(found),
            hint="it is another model's, or incomplete",
        )


def _named(spec: BackboneSpec) -> str:
    return f"{spec.id} ({spec.architecture.name})"


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")

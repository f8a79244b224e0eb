"""Go down the paper's loss with AdamW, a batch at a time. Tensors only: no files, no images.

Axis letters: B batch, C targets, N tokens, D width, S pixels a side of the mask.

Source: RETQuerySeg, sections 2.1 (loss) and 2.3 (zeros, AdamW, bilinear upsampling).
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from retq_hub.grids import logit_map

__all__ = ["Descent"]

_VECTOR = "vector"


class Descent:
    """Queries on their way down from zero, with their optimiser.

    The targets' losses are added up, so that each query moves as it would alone.

    Args:
        targets: C.
        width: D.
        weight_decay: AdamW's.
    """

    def __init__(self, *, targets: int, width: int, weight_decay: float) -> None:
        self._vector = torch.zeros(targets, width, requires_grad=True)
        self._no_bias = torch.zeros(targets)
        self._optimiser = torch.optim.AdamW(
            [self._vector], lr=0.0, weight_decay=weight_decay, foreach=False
        )

    @property
    def vector(self) -> Tensor:
        """The queries now: (C, D) float32."""
        return self._vector.detach().clone()

    def step(self, tokens: Tensor, masks: Tensor, *, rate: float) -> float:
        """Go one step.

        Args:
            tokens: (B, N, D) float32, raw, not made in inference mode.
            masks: (B, C, S, S) float32, 0-1.
            rate: Learning rate.

        Returns:
            The loss before the step: its mean over images, targets and pixels.
        """
        grid = logit_map([tokens], self._vector, self._no_bias)
        logits = F.interpolate(grid, masks.shape[-2:], mode="bilinear", align_corners=False)
        losses = F.binary_cross_entropy_with_logits(logits, masks, reduction="none")
        by_target = losses.mean((0, 2, 3))
        self._optimiser.param_groups[0]["lr"] = rate
        self._optimiser.zero_grad()
        by_target.sum().backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        return by_target.mean().item()

    def state(self) -> dict[str, Tensor]:
        """Give all that `restore` needs to carry on from here; after the first step."""
        moments: Mapping[str, Tensor] = self._optimiser.state[self._vector]
        return {_VECTOR: self.vector, **moments}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Carry on from where `state` was taken."""
        moments = {name: tensor for name, tensor in state.items() if name != _VECTOR}
        with torch.no_grad():
            self._vector.copy_(state[_VECTOR])
        groups = self._optimiser.state_dict()["param_groups"]
        self._optimiser.load_state_dict({"state": {0: moments}, "param_groups": groups})

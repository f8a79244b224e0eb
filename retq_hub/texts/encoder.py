"""The frozen text encoder as a module: numbers of tokens in, points of the shared space out.

It knows tensors only, no files. Its tensors are called ``encoder.*`` as ``transformers`` has them,
``projection.0.weight`` and on, and ``log_scale``.
"""

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from retq_hub.encoder import refuse_misfit
from retq_hub.errors import Finding, ManifestError
from retq_hub.spec import TextSpec
from retq_hub.texts.tokenizer import EncodedPrompts, without_extra

__all__ = ["TextEncoder"]


class TextEncoder(nn.Module):
    """A text encoder of ``transformers`` with its projection, frozen.

    Args:
        spec: How to build it.
        state: Its state dict, in the names above.

    Raises:
        CheckpointError: A tensor is missing, extra or misshapen.
        ManifestError: The spec contradicts itself.
        UsageError: The extra ``text`` is not installed.
    """

    def __init__(self, spec: TextSpec, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.spec = spec
        self.encoder: Any = _built(spec)
        widths = (int(self.encoder.config.hidden_size), *spec.projection)
        self.projection = nn.ModuleList(
            nn.Linear(have, goal, bias=False) for have, goal in pairwise(widths)
        )
        self.log_scale = nn.Parameter(torch.zeros(()))
        wanted = {name: tuple(tensor.shape) for name, tensor in self.state_dict().items()}
        refuse_misfit(state, wanted, spec.title)
        self.load_state_dict({name: tensor.float() for name, tensor in state.items()}, strict=True)
        self.requires_grad_(False)
        self.eval()

    @property
    def scale(self) -> float:
        """By what cosines are multiplied: the temperature's inverse, as upstream uses it."""
        bounds = self.spec.log_scale or (-math.inf, math.inf)
        return float(self.log_scale.clamp(*bounds).exp())

    @torch.inference_mode()
    def forward(self, prompts: EncodedPrompts) -> Tensor:
        """Encode prompts, all at once: with ``layer-mean``, padding counts.

        Returns:
            (n, P) float32 of unit norm, n prompts in a space P wide.
        """
        ids, mask = torch.tensor(prompts.ids), torch.tensor(prompts.mask)
        found = self.encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        points = self._pool(found, mask)
        for number, layer in enumerate(self.projection):
            points = layer(gelu(points) if number else points)
        result: Tensor = points / points.norm(dim=-1, keepdim=True)
        return result

    def _pool(self, found: Any, mask: Tensor) -> Tensor:  # noqa: ANN401 - transformers' output
        """Give (n, D) from the hidden states."""
        if self.spec.pooling == "layer-mean":
            layers = [found.hidden_states[layer] for layer in self.spec.layers or ()]
            return torch.stack(layers).mean(dim=(0, 2))
        last: Tensor = found.last_hidden_state
        place = mask.sum(dim=1) - 1 if self.spec.pooling == "end-token" else 0
        return last[torch.arange(len(last)), place]


def _built(spec: TextSpec) -> Any:  # noqa: ANN401 - a class of transformers, imported lazily
    """Build the encoder; the numbers that it is filled with are replaced afterwards."""
    if found := list(_contradictions(spec)):
        findings = [Finding(where="text", what=what) for what in found]
        raise ManifestError(spec.title, findings, hint="correct the spec")
    try:
        import transformers
    except ImportError as error:
        raise without_extra() from error
    if spec.name == "BertModel":
        config = transformers.BertConfig(**spec.config)
        return transformers.BertModel(config, add_pooling_layer=False)
    model = transformers.CLIPTextModel(transformers.CLIPTextConfig(**spec.config))
    # Where a version wraps it, what it wraps has the names without prefix.
    return getattr(model, "text_model", model)


def _contradictions(spec: TextSpec) -> Iterator[str]:
    """Say what a schema cannot: numbers that do not go together."""
    width, heads = spec.config["hidden_size"], spec.config["num_attention_heads"]
    depth, positions = spec.config["num_hidden_layers"], spec.config["max_position_embeddings"]
    if width % heads:
        yield f"a width of {width} is no multiple of {heads} heads"
    if spec.max_tokens > positions:
        yield f"prompts of {spec.max_tokens} tokens have only {positions} positions"
    if (spec.pooling == "layer-mean") != bool(spec.layers):
        yield f"pooling {spec.pooling} and layers {spec.layers} do not go together"
    if spec.layers and max(spec.layers) > depth:
        yield f"layer {max(spec.layers)} is averaged, there are {depth}"

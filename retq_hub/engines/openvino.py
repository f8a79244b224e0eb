"""OpenVINO: an engine for CPUs that runs a backbone's graph, in bfloat16 where they have it.

The only module that imports openvino, an extra.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from retq_hub.engines.graph import Graphs
from retq_hub.errors import UsageError

__all__ = ["OpenVinoEngine"]

_HINTS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoEngine:
    """Runs a backbone's graphs on the CPU, in as many threads as PyTorch would take.

    Args:
        graphs: The backbone's.
        precision: ``float32`` or ``bfloat16``.

    Raises:
        UsageError: openvino is not installed.
    """

    name = "openvino"
    device = "cpu"

    def __init__(self, graphs: Graphs, *, precision: str = "float32") -> None:
        self.precision = precision
        self._graphs = graphs
        self._core = _core()
        self._compiled: dict[tuple[int, bool, int], _Compiled] = {}

    def __call__(
        self, squares: Tensor, layers: Sequence[int], *, norm: bool, embed: bool
    ) -> tuple[list[Tensor], Tensor | None]:
        """Run one pass; see `retq_hub.engines.engine.Engine`."""
        names = self._graphs.outputs(layers, embed=embed)
        depth = self._graphs.spec.tokens.layers if embed else max(layers)
        key = (squares.shape[1], norm, depth)
        ready = self._compiled.get(key)
        if ready is None or not ready.names >= {*names}:
            ready = self._compile(key, {*names} | (ready.names if ready else set()))
            self._compiled[key] = ready
        found = ready.run(squares, names)
        return found[: len(layers)], found[-1] if embed else None

    def _compile(self, key: tuple[int, bool, int], names: set[str]) -> "_Compiled":
        """Cut a graph down to some outputs, which ends the work with the last of them."""
        import openvino

        size_px, norm, _ = key
        whole = self._core.read_model(self._graphs.path(size_px, norm=norm))
        wanted = [one for one in whole.outputs if one.any_name in names]
        model = openvino.Model([one.node for one in wanted], whole.get_parameters())
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            # Pinned, the threads of all processes of a machine would share its first cores.
            "ENABLE_CPU_PINNING": False,
        }
        return _Compiled(self._core.compile_model(model, "CPU", options), names)


class _Compiled:
    """A graph that is ready to run."""

    def __init__(self, model: Any, names: set[str]) -> None:  # noqa: ANN401 - openvino is not typed
        self.names = names
        self._request = model.create_infer_request()

    def run(self, squares: Tensor, names: Sequence[str]) -> list[Tensor]:
        self._request.infer([squares.contiguous().numpy()], share_inputs=True, share_outputs=True)
        return [torch.from_numpy(self._request.get_tensor(name).data.copy()) for name in names]


def _core() -> Any:  # noqa: ANN401 - openvino is not typed
    try:
        import openvino
    except ImportError as error:
        raise UsageError(
            "the engine openvino is not installed", hint='pip install "retq-hub[openvino]"'
        ) from error
    return openvino.Core()

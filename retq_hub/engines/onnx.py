"""ONNX Runtime: an engine that runs a backbone's graph in float32 on the CPU.

The only module of the package that imports onnxruntime, an extra.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from retq_hub.engines.graph import INPUT, Graphs
from retq_hub.errors import UsageError

__all__ = ["OnnxEngine", "Session"]


class OnnxEngine:
    """Runs a backbone's graphs on the CPU, in as many threads as PyTorch would take.

    Args:
        graphs: The backbone's.

    Raises:
        UsageError: onnxruntime is not installed.
    """

    name = "onnx"
    precision = "float32"
    device = "cpu"

    def __init__(self, graphs: Graphs) -> None:
        _runtime()
        self._graphs = graphs
        self._sessions: dict[tuple[int, bool], Session] = {}

    def __call__(
        self, squares: Tensor, layers: Sequence[int], *, norm: bool, embed: bool
    ) -> tuple[list[Tensor], Tensor | None]:
        """Run one pass; see `retq_hub.engines.engine.Engine`."""
        names = self._graphs.outputs(layers, embed=embed)
        key = (squares.shape[1], norm)
        if key not in self._sessions:
            self._sessions[key] = Session(self._graphs.path(key[0], norm=norm))
        arrays = self._sessions[key].run({INPUT: squares.contiguous().numpy()}, names)
        found = [torch.from_numpy(one) for one in arrays]
        return found[: len(layers)], found[-1] if embed else None


class Session:
    """A graph that is ready to run.

    Args:
        path: An ONNX file.

    Raises:
        UsageError: onnxruntime is not installed.
    """

    def __init__(self, path: Path) -> None:
        runtime = _runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = runtime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self._only_what_is_asked = runtime.RunOptions()
        self._only_what_is_asked.only_execute_path_to_fetches = True

    def run(
        self, inputs: Mapping[str, NDArray[Any]], names: Sequence[str]
    ) -> list[NDArray[np.float32]]:
        """Give some outputs by name; what only others need is not computed."""
        found: list[NDArray[np.float32]] = self._session.run(
            list(names), dict(inputs), self._only_what_is_asked
        )
        return found


def _runtime() -> Any:  # noqa: ANN401 - onnxruntime is not typed
    try:
        import onnxruntime
    except ImportError as error:
        raise UsageError(
            "the engine onnx is not installed", hint='pip install "retq-hub[onnx]"'
        ) from error
    return onnxruntime

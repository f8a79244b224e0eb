"""Where a run was when it was last saved: tensors and curve in one file, whole or not at all.

The file is safetensors with JSON within; nothing in it is ever executed. What the tensors mean is
the run's business.
"""

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save, save_file
from torch import Tensor

from retq_hub.curve import CurveRow
from retq_hub.digest import bytes_digest
from retq_hub.progress import Progress
from retq_hub.storage import whole_file

__all__ = ["Savepoint", "load", "store"]

_ROWS = "curve"
_METADATA = "retq"


@dataclass(frozen=True, kw_only=True)
class Savepoint:
    """The state of a run between two steps.

    Attributes:
        tensors: All that the run needs to carry on, by name.
        rows: The curve so far.
    """

    tensors: Mapping[str, Tensor]
    rows: tuple[CurveRow, ...]


def store(path: Path, savepoint: Savepoint, *, run: str) -> None:
    """Replace the savepoint of a run.

    Args:
        path: Its file.
        savepoint: The state.
        run: Digest of all that makes the run what it is.

    Raises:
        StorageError: The place cannot be written.
    """
    rows = torch.tensor([astuple(row) for row in savepoint.rows], dtype=torch.float64)
    tensors = {**savepoint.tensors, _ROWS: rows}
    metadata = json.dumps({"run": run, "sha256": bytes_digest(save(tensors))}, sort_keys=True)
    with whole_file(path) as temporary:
        save_file(tensors, temporary, metadata={_METADATA: metadata})


def load(path: Path, *, run: str, progress: Progress) -> Savepoint | None:
    """Read the savepoint of a run; say so where there is one that cannot be used.

    Args:
        path: Its file.
        run: Digest of all that makes the run what it is.
        progress: Where to say it.

    Returns:
        The state, or None if there is none to carry on from.
    """
    if not path.exists():
        return None
    try:
        tensors, metadata = _read(path)
        whole = metadata["sha256"] == bytes_digest(save(tensors))
        other = metadata["run"] != run
        rows = tensors.pop(_ROWS)
    except (OSError, SafetensorError, ValueError, LookupError, TypeError):
        whole, other = False, False
    if not whole or other:
        reason = "belongs to another run" if other else "is damaged"
        progress.note(f"{path} {reason}: beginning anew")
        return None
    return Savepoint(tensors=tensors, rows=tuple(_row(values) for values in rows.tolist()))


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as stored:
        metadata: dict[str, str] = json.loads((stored.metadata() or {})[_METADATA])
        return {name: stored.get_tensor(name) for name in stored.keys()}, metadata  # noqa: SIM118


def _row(values: list[float]) -> CurveRow:
    step, loss, gauge, seconds = values
    return CurveRow(step=int(step), loss=loss, gauge=gauge, seconds=seconds)

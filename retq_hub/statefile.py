"""Read the tensors of a checkpoint file without executing anything that it holds."""

import argparse
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import safe_globals

from retq_hub.errors import CheckpointError

__all__ = ["read", "state_dict"]

_UNREADABLE = (
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
    struct.error,
)
"""All that torch.load was seen to raise over damaged pickles."""

_HARMLESS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [argparse.Namespace]
"""What training checkpoints hold beside tensors: the command line. It only carries attributes."""


def read(path: Path) -> object:
    """Read a ``.safetensors`` or, without executing anything, a ``.pth``.

    Where the format allows, tensors stay in the file until they are used: a training checkpoint
    holds twice as much beside the weights.

    Raises:
        CheckpointError: Not readable, or not safe.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings(), safe_globals(_HARMLESS):
            warnings.simplefilter("ignore", UserWarning)
            mapped = zipfile.is_zipfile(path)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        if "Unsupported global" not in str(error):
            raise CheckpointError(
                f"{path} is no checkpoint", hint="it may be a web page, or cut short: get it again"
            ) from error
        raise CheckpointError(
            f"{path} holds more than tensors; it was not opened, for it could run code",
            hint="get the official file, or convert it to safetensors where you trust it",
        ) from error
    except _UNREADABLE as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint ({line})", hint="it may be cut short"
        ) from error


def state_dict(document: object, key: str | None, path: Path) -> dict[str, Tensor]:
    """Give the state dict that a checkpoint holds.

    Args:
        document: From `read`.
        key: Where it lies; None: the document is the state dict.
        path: The file, for messages.

    Raises:
        CheckpointError: There is no such member, or it is no state dict.
    """
    if key is not None and isinstance(document, Mapping):
        if key not in document:
            raise CheckpointError(
                f"{path} has no member {key!r}, it has {sorted(map(str, document))[:5]}"
            )
        document = document[key]
    if not isinstance(document, Mapping):
        raise CheckpointError(f"{path} holds a {type(document).__name__}, not a state dict")
    state = {str(name): tensor for name, tensor in document.items() if isinstance(tensor, Tensor)}
    if len(state) != len(document):
        other = sorted(str(name) for name in document if str(name) not in state)
        raise CheckpointError(f"{path} is no plain state dict: {other[:3]} are no tensors")
    return state

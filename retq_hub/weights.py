"""Weights of a backbone: fetch a checkpoint, verify it, convert it once into a safetensors.

A source is pinned by SHA-256. What is fetched is checked against the pin before it is opened, and
opened without executing anything. In the cache lies one canonical safetensors per backbone, and
beside it what is known of it.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from retq_hub import lookalike, registry, statefile
from retq_hub.checkpoint import alone, fetch
from retq_hub.digest import TensorBytes, weights_digest
from retq_hub.encoder import check_state
from retq_hub.errors import CheckpointError, DigestMismatch, NotFoundError, storage_errors
from retq_hub.keymap import canonical
from retq_hub.progress import Progress
from retq_hub.spec import BackboneSpec, Source
from retq_hub.storage import whole_folder, write_json
from retq_hub.weightfile import CachedWeights, cached

__all__ = [
    "CachedWeights",
    "cached",
    "convert",
    "convert_text",
    "digest_of",
    "ensure",
    "load",
    "load_text",
]

_DTYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"}


def ensure(
    spec: BackboneSpec,
    *,
    progress: Progress,
    file: Path | None = None,
    sha256: str | None = None,
    again: bool = False,
) -> CachedWeights:
    """Give a backbone's weights out of the cache; fetch and convert them where they are not there.

    Args:
        spec: The backbone.
        progress: Where to report the download.
        file: A checkpoint on this disk, used instead of the spec's sources.
        sha256: The digest that the checkpoint must have, where the spec pins none.
        again: Fetch even if the cache has them.

    Raises:
        NetworkError: No source delivered; the message names each one's reason.
        DigestMismatch: The checkpoint or its weights are not the pinned ones.
        CheckpointError: It is no checkpoint of this backbone, or not safe to open.
        StorageError: The cache cannot be written.
    """
    wanted = file is None and not again
    if wanted and (found := cached(spec)) is not None:
        return found
    with alone(progress):
        if wanted and (found := cached(spec)) is not None:
            return found
        return _fetched(spec, progress=progress, file=file, sha256=sha256)


def _fetched(
    spec: BackboneSpec, *, progress: Progress, file: Path | None, sha256: str | None
) -> CachedWeights:
    """Fetch, convert and cache a backbone's weights."""
    sources = (Source(kind="file", path=str(file), sha256=sha256),) if file else spec.sources
    with fetch(sources, sha256=sha256, progress=progress) as (checkpoint, origin):
        state, text = convert(checkpoint, spec), convert_text(checkpoint, spec)
    digest, text_digest = digest_of(state), digest_of(text) if text else None
    if spec.weights_digest not in (None, digest):
        raise DigestMismatch(
            f"the weights from {origin}",
            expected=str(spec.weights_digest),
            actual=digest,
            hint=f"they are not those of {spec.id}",
        )
    folder = registry.weights_folder(spec)
    with whole_folder(folder) as temporary:
        _save(state, temporary / "weights.safetensors")
        note = {"digest": digest, "origin": origin}
        if text_digest is not None:
            _save(text, temporary / "text.safetensors")
            note["text_digest"] = text_digest
        write_json(temporary / "weights.json", note)
    return CachedWeights(
        path=folder / "weights.safetensors", digest=digest, origin=origin, text_digest=text_digest
    )


def load(found: CachedWeights) -> dict[str, Tensor]:
    """Load cached weights and check their digest.

    Raises:
        DigestMismatch: The file was changed since it was converted.
        CheckpointError: The file is no safetensors any more.
    """
    return _loaded(found.path, found.digest)


def load_text(found: CachedWeights, spec: BackboneSpec) -> dict[str, Tensor]:
    """Load the cached weights of a backbone's text encoder and check their digest.

    Raises:
        NotFoundError: The checkpoint that the weights came from held no text encoder.
        DigestMismatch: The file was changed since it was converted.
        CheckpointError: The file is no safetensors any more.
    """
    if found.text_digest is None:
        raise NotFoundError(
            f"the weights of {spec.id} that are here came without its text encoder",
            hint=f"`retq backbones fetch {spec.id} --again`, or --file with the whole checkpoint",
        )
    return _loaded(found.text_path, found.text_digest)


def _loaded(path: Path, digest: str) -> dict[str, Tensor]:
    hint = "`retq backbones fetch --again` makes it anew"
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read ({error})", hint=hint) from error
    if (actual := digest_of(state)) != digest:
        raise DigestMismatch(str(path), expected=digest, actual=actual, hint=hint)
    return state


def convert(path: Path, spec: BackboneSpec) -> dict[str, Tensor]:
    """Read a checkpoint in its upstream form and give the canonical state dict.

    Args:
        path: ``.safetensors``, ``.pth`` or ``.onnx``.
        spec: The backbone; says which form it is.

    Raises:
        CheckpointError: Not readable, not safe, or a tensor is missing, extra or misshapen.
    """
    if spec.checkpoint.format == "dinov2-onnx":
        from retq_hub.onnx_dinov2 import read_onnx

        state = read_onnx(path, spec)
        check_state(state, spec)
        return state
    document = statefile.read(path)
    try:
        state = canonical(
            statefile.state_dict(document, spec.checkpoint.key, path), spec.checkpoint.map
        )
        check_state(state, spec)
    except CheckpointError as error:
        specs = registry.backbone_specs().values()
        raise lookalike.named(error, document, spec.id, specs) from error
    return state


def convert_text(path: Path, spec: BackboneSpec) -> dict[str, Tensor]:
    """Read the text encoder out of a checkpoint in its upstream form.

    Args:
        path: ``.safetensors`` or ``.pth``.
        spec: The backbone.

    Returns:
        The tensors by the names of `retq_hub.texts.encoder`, which checks them; none where the
        backbone has no text encoder, or the checkpoint holds the image encoder alone.

    Raises:
        CheckpointError: Not readable, or not safe.
    """
    if spec.text is None:
        return {}
    document = statefile.read(path)
    state = canonical(statefile.state_dict(document, spec.checkpoint.key, path), spec.text.map)
    return state if any(name.startswith("encoder.") for name in state) else {}


def digest_of(state: Mapping[str, Tensor]) -> str:
    """Give the weights digest of a state dict.

    Raises:
        CheckpointError: A tensor has a type that weights do not have.
    """
    return weights_digest(_tensor_bytes(name, tensor) for name, tensor in state.items())


def _tensor_bytes(name: str, tensor: Tensor) -> TensorBytes:
    if tensor.dtype not in _DTYPES or tensor.layout != torch.strided or tensor.device.type != "cpu":
        kind = f"{tensor.dtype}, {tensor.layout}, on {tensor.device}"
        raise CheckpointError(f"tensor {name} is {kind}; weights are dense floats")
    raw = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    return TensorBytes(
        name=name, dtype=_DTYPES[tensor.dtype], shape=tuple(tensor.shape), data=raw.data
    )


def _save(state: Mapping[str, Tensor], path: Path) -> None:
    with storage_errors(path):
        try:
            save_file(
                {
                    name: tensor.clone(memory_format=torch.contiguous_format)
                    for name, tensor in state.items()
                },
                path,
            )
        except SafetensorError as error:
            raise OSError(28, str(error)) from error

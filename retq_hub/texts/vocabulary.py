"""Where the vocabulary of a backbone's tokenizer is: a folder of the user's, the cache, its source.

What is fetched is pinned by SHA-256 and checked each time it is used. A vocabulary of which nobody
has written down a digest is not fetched; the user names a folder that has it.
"""

import shutil
from pathlib import Path

from retq_hub.checkpoint import describe, fetch
from retq_hub.digest import file_digest
from retq_hub.errors import Finding, ManifestError, NotFoundError, UsageError, storage_errors
from retq_hub.progress import Progress
from retq_hub.spec import BackboneSpec, Source, TextSpec
from retq_hub.storage import cache_dir, whole_file
from retq_hub.texts.tokenizer import FILES

__all__ = ["find", "text_of"]


def text_of(spec: BackboneSpec, others: tuple[str, ...]) -> TextSpec:
    """Give a backbone's text encoder.

    Args:
        spec: The backbone.
        others: The ids of those that have one, for the message.

    Raises:
        UsageError: It has none.
        ManifestError: Texts and images do not end in one space.
    """
    if spec.text is None:
        raise UsageError(
            f"{spec.id} has no text encoder", hint=f"one of these has: {', '.join(others)}"
        )
    if spec.text.projection[-1] != spec.architecture.projection:
        what = f"ends {spec.text.projection[-1]} wide, images {spec.architecture.projection} wide"
        finding = Finding(where="text/projection", what=what)
        raise ManifestError(f"backbone spec {spec.id}", [finding], hint="correct the spec")
    return spec.text


def find(spec: BackboneSpec, text: TextSpec, *, folder: Path | None, progress: Progress) -> Path:
    """Give the file of a tokenizer's vocabulary.

    Args:
        spec: The backbone.
        text: Its text encoder.
        folder: Where the user has it; None: the cache, or its source.
        progress: Where to report a download.

    Raises:
        NotFoundError: The folder has no such file, or no digest of it is known.
        DigestMismatch: The source delivered another file.
        NetworkError: The source did not deliver.
        StorageError: The cache cannot be written.
    """
    if folder is not None:
        return _in_folder(folder, text)
    pinned = [one for one in text.tokenizer.sources if one.sha256 is not None]
    if not pinned:
        first = text.tokenizer.sources[0]
        raise NotFoundError(
            f"the vocabulary of {spec.id}'s text encoder is not fetched: no digest of "
            f"{describe(first)} is known",
            hint=f"{_how(first)}, then name its folder: --tokenizer DIR",
        )
    return _kept(pinned, progress)


def _in_folder(folder: Path, text: TextSpec) -> Path:
    wanted = FILES[text.tokenizer.kind]
    for name in wanted:
        if (folder / name).is_file():
            return folder / name
    raise NotFoundError(
        f"{folder} has no {' or '.join(wanted)}, the vocabulary of {text.title}",
        hint=_how(text.tokenizer.sources[0]),
    )


def _how(source: Source) -> str:
    """Say how a person gets the file."""
    if source.kind == "hub":
        return f"`hf download {source.repo} {source.filename} --local-dir DIR`"
    return f"get {describe(source)}"


def _kept(sources: list[Source], progress: Progress) -> Path:
    """Give the file from the cache, fetched where it is not there or not as it was."""
    for source in sources:
        kept = _place(source)
        if kept.is_file() and file_digest(kept) == source.sha256:
            return kept
    with fetch(sources, progress=progress) as (path, _):
        digest = file_digest(path)
        kept = _place(next(one for one in sources if one.sha256 == digest))
        with storage_errors(kept):
            kept.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(kept) as temporary:
            shutil.copyfile(path, temporary)
    return kept


def _place(source: Source) -> Path:
    name = Path(str(source.filename or source.url or source.path)).name
    return cache_dir() / "tokenizers" / str(source.sha256)[:12] / name

"""Prompts become numbers: WordPiece, as BERT has it, and the byte pairs of CLIP. No torch here.

A vocabulary is a text file. WordPiece has a token a line; byte pairs have a merge a line, and their
tokens follow from it: 256 bytes, the same at the end of a word, one for each merge, begin and end.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retq_hub.digest import json_digest
from retq_hub.errors import BadInputError, DigestMismatch, UsageError
from retq_hub.spec import TextSpec

__all__ = ["FILES", "EncodedPrompts", "Tokenizer", "without_extra"]

FILES = {
    "wordpiece": ("vocab.txt",),
    "bpe": ("bpe_simple_vocab_16e6.txt.gz", "merges.txt"),
}
"""How the file of a vocabulary is called, by kind; the first one that is there is read."""

_MAX_FILE_BYTES = 64 * 2**20
_BEGIN, _END = "<|startoftext|>", "<|endoftext|>"
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
"""What is one word before pairs of bytes are merged, as CLIP splits it."""


@dataclass(frozen=True, kw_only=True)
class EncodedPrompts:
    """Prompts as numbers of tokens.

    Attributes:
        ids: n rows of equal length, padded at the end.
        mask: 1 where a row has a token, 0 where it is padded.
    """

    ids: tuple[tuple[int, ...], ...]
    mask: tuple[tuple[int, ...], ...]


class Tokenizer:
    """The tokenizer of a text encoder.

    Args:
        spec: The text encoder.
        path: The file of its vocabulary.

    Attributes:
        digest: SHA-256 of the canonical JSON of kind, lower case and all tokens (for byte pairs all
            merges) in their order; it does not depend on which file they came in.

    Raises:
        BadInputError: The file is no vocabulary, or not one of this encoder's size.
        DigestMismatch: It is another vocabulary than the spec's.
        UsageError: The extra ``text`` is not installed.
    """

    def __init__(self, spec: TextSpec, path: Path) -> None:
        kind, lowercase = spec.tokenizer.kind, spec.tokenizer.lowercase
        lines = _lines(path)
        size = int(spec.config["vocab_size"])
        entries = _merges(lines, size) if kind == "bpe" else lines
        have = 514 + len(entries) if kind == "bpe" else len(entries)
        if have != size:
            raise BadInputError(
                f"{path} makes {have} tokens, the text encoder ({spec.title}) has {size}",
                hint="it is another model's vocabulary",
            )
        self.digest = json_digest({"kind": kind, "lowercase": lowercase, "entries": entries})
        if spec.tokenizer.digest not in (None, self.digest):
            raise DigestMismatch(
                f"the vocabulary in {path}",
                expected=str(spec.tokenizer.digest),
                actual=self.digest,
                hint="it is another model's vocabulary",
            )
        self._max_tokens = spec.max_tokens
        make = _bpe if kind == "bpe" else _wordpiece
        self._backend = make(entries, lowercase, path)

    def __call__(self, prompts: Sequence[str]) -> EncodedPrompts:
        """Encode prompts, padded to the longest of them.

        Raises:
            UsageError: One is longer than the encoder takes.
        """
        found = self._backend.encode_batch(list(prompts))
        for prompt, one in zip(prompts, found, strict=True):
            if (count := sum(one.attention_mask)) > self._max_tokens:
                raise UsageError(
                    f"the prompt {_short(prompt)} has {count} tokens, at most {self._max_tokens} "
                    "fit, begin and end counted",
                    hint="shorten it, or make it several prompts of one target",
                )
        return EncodedPrompts(
            ids=tuple(tuple(one.ids) for one in found),
            mask=tuple(tuple(one.attention_mask) for one in found),
        )


def without_extra() -> UsageError:
    """Give the error for an import that fails where the extra ``text`` is not installed."""
    return UsageError(
        "text needs the extra `text`, which is not installed", hint='pip install "retq-hub[text]"'
    )


def _lines(path: Path) -> list[str]:
    """Read the lines of a text file, packed or not."""
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise BadInputError(f"{path} is larger than 64 MiB, a vocabulary is not")
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = _unpacked(data, path)
        return data.decode("utf-8").replace("\r\n", "\n").rstrip("\n").split("\n")
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path} is no text in UTF-8", hint="get it again") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadInputError(f"{path} cannot be read ({reason})", hint="get it again") from error


def _unpacked(data: bytes, path: Path) -> bytes:
    stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        unpacked = stream.decompress(data, _MAX_FILE_BYTES)
    except zlib.error as error:
        raise BadInputError(f"{path} is no gzip file ({error})", hint="get it again") from error
    if not stream.eof:
        raise BadInputError(f"{path} is cut short, or too large unpacked", hint="get it again")
    return unpacked


def _merges(lines: Sequence[str], size: int) -> list[str]:
    """Give the merges that make a vocabulary of a size, without the head of the file."""
    head = 1 if lines[0].startswith(("#", '"')) else 0
    return list(lines[head : head + size - 514])


def _wordpiece(tokens: Sequence[str], lowercase: bool, path: Path) -> Any:  # noqa: ANN401 - tokenizers' Tokenizer, imported lazily
    lib = _library()
    if lacking := [token for token in _SPECIAL if token not in tokens]:
        raise BadInputError(f"{path} is no WordPiece vocabulary: it lacks {', '.join(lacking)}")
    vocabulary = {token: number for number, token in enumerate(tokens)}
    backend = lib.Tokenizer(lib.models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = lib.normalizers.BertNormalizer(lowercase=lowercase)
    backend.pre_tokenizer = lib.pre_tokenizers.BertPreTokenizer()
    ends = [(token, vocabulary[token]) for token in ("[SEP]", "[CLS]")]
    backend.post_processor = lib.processors.BertProcessing(*ends)
    backend.enable_padding(pad_id=vocabulary["[PAD]"], pad_token="[PAD]")
    return backend


def _bpe(merges: Sequence[str], lowercase: bool, path: Path) -> Any:  # noqa: ANN401 - tokenizers' Tokenizer, imported lazily
    lib = _library()
    pairs = [tuple(merge.split(" ")) for merge in merges]
    letters = _byte_letters()
    tokens = [*letters, *(letter + "</w>" for letter in letters), *map("".join, pairs)]
    vocabulary = {token: number for number, token in enumerate([*tokens, _BEGIN, _END])}
    for pair in pairs:
        if len(pair) != 2 or not all(part in vocabulary for part in pair):
            raise BadInputError(f"{path} has a line that is no merge: {' '.join(pair)[:40]!r}")
    model = lib.models.BPE(vocabulary, pairs, end_of_word_suffix="</w>", unk_token=_END)
    backend = lib.Tokenizer(model)
    space = lib.normalizers.Replace(lib.Regex(r"\s+"), " ")
    lower = [lib.normalizers.Lowercase()] if lowercase else []
    backend.normalizer = lib.normalizers.Sequence([lib.normalizers.NFC(), space, *lower])
    words = lib.pre_tokenizers.Split(lib.Regex(_WORDS), behavior="removed", invert=True)
    to_bytes = lib.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = lib.pre_tokenizers.Sequence([words, to_bytes])
    ends = [(token, vocabulary[token]) for token in (_END, _BEGIN)]
    backend.post_processor = lib.processors.BertProcessing(*ends)
    backend.enable_padding(pad_id=0, pad_token=letters[0])
    return backend


def _byte_letters() -> list[str]:
    """Give a printable letter for each byte, in the order in which CLIP numbers them.

    Bytes that print stand for themselves and come first; the others get letters from 256 on.
    """
    printing = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = 256 - len(printing)
    return [chr(code) for code in (*printing, *range(256, 256 + others))]


def _library() -> Any:  # noqa: ANN401 - the module, where the extra is installed
    try:
        import tokenizers
    except ImportError as error:
        raise without_extra() from error
    return tokenizers


def _short(prompt: str) -> str:
    return repr(prompt if len(prompt) <= 40 else prompt[:37] + "...")
